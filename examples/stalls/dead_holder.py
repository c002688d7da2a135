"""A lock whose holder has died: whoever wants it waits for ever.

No line blocks here and the loop gets on, so no stall is told. `epicycle tasks` shows who waits for a lock that nobody
holds any more.
"""

import asyncio

from stage import play


async def withdraw(lock: asyncio.Lock) -> None:
    await lock.acquire()
    await asyncio.sleep(0.1)
    raise ValueError("no money; and the lock stays locked")


async def withdraw_cured(lock: asyncio.Lock) -> None:
    async with lock:
        await asyncio.sleep(0.1)
        raise ValueError("no money")


async def deposit(lock: asyncio.Lock) -> None:
    async with lock:
        await asyncio.sleep(0.1)


async def trouble() -> None:
    lock = asyncio.Lock()
    await asyncio.gather(withdraw(lock), deposit(lock), deposit(lock), return_exceptions=True)


async def cure() -> None:
    lock = asyncio.Lock()
    await asyncio.gather(withdraw_cured(lock), deposit(lock), deposit(lock), return_exceptions=True)


if __name__ == "__main__":
    play(trouble, cure)

"""Two tasks in a circle: each holds the lock that the other one wants.

The loop gets on, so no stall is told. `epicycle top` marks the two with `circle`, and its lints name them.
"""

import asyncio

from stage import play


async def transfer(source: asyncio.Lock, target: asyncio.Lock) -> None:
    async with source:
        await asyncio.sleep(0.1)
        async with target:
            await asyncio.sleep(0.1)


async def trouble() -> None:
    ada, bob = asyncio.Lock(), asyncio.Lock()
    async with asyncio.TaskGroup() as group:
        group.create_task(transfer(ada, bob), name="from Ada to Bob")
        group.create_task(transfer(bob, ada), name="from Bob to Ada")


async def transfer_cured(source: asyncio.Lock, target: asyncio.Lock) -> None:
    """In the same order whichever way the money goes."""
    first, second = sorted((source, target), key=id)
    await transfer(first, second)


async def cure() -> None:
    ada, bob = asyncio.Lock(), asyncio.Lock()
    async with asyncio.TaskGroup() as group:
        group.create_task(transfer_cured(ada, bob), name="from Ada to Bob")
        group.create_task(transfer_cured(bob, ada), name="from Bob to Ada")


if __name__ == "__main__":
    play(trouble, cure)

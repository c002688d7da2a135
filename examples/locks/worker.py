"""A process that wants the lock: it does what the ledger tells it, and says how long things took."""

import asyncio
import contextlib
import json
import signal
import time
from typing import Any

from reaching import ServiceError, reach

from locks import lock_of


class Contender:
    """One lock, and one connection to the ledger."""

    def __init__(self, lock: Any, reader: Any, writer: Any) -> None:
        self.lock = lock
        self.reader = reader
        self.writer = writer
        self.token = -1

    async def say(self, **message: Any) -> None:
        self.writer.write(json.dumps(message).encode() + b"\n")
        await self.writer.drain()

    async def heard(self) -> Any:
        line = await self.reader.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    async def enter(self) -> bool:
        await self.say(enter=self.token)
        return bool((await self.heard())["welcome"])

    async def take(self) -> bool:
        """Get the lock and come in."""
        self.token = await self.lock.acquire()
        return await self.enter()

    async def leave(self) -> None:
        await self.say(leave=self.token)
        await self.heard()
        await self.lock.release()

    async def write(self) -> bool:
        """Use the ledger again, with the token of old; whether it was accepted."""
        return await self.enter()

    async def rounds(self, count: int) -> dict[str, Any]:
        """Take the lock and give it back `count` times: seconds waited for each, CPU seconds of this process."""
        waits = []
        cpu = time.process_time()
        for _ in range(count):
            began = time.perf_counter()
            self.token = await self.lock.acquire()
            waits.append(time.perf_counter() - began)
            await self.enter()
            await self.leave()
        return {"waits": waits, "cpu": time.process_time() - cpu}

    async def forget(self) -> None:
        await self.lock.forget()


async def contend(way: str, address: str, name: str, lease: float, port: int, patience: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lock = None
    loop = type(asyncio.get_running_loop())
    try:
        lock = lock_of(way, address, name, lease)
        contender = Contender(lock, reader, writer)
        await reach(f"{way} at {address.rpartition('@')[2]}", lock.open, patience, is_down)
        await contender.say(done=f"{loop.__module__}.{loop.__qualname__}")
        while True:
            order = await contender.heard()
            try:
                result = await getattr(contender, order["do"])(*order["args"])
            except lock.errors as error:
                raise ServiceError(f"lost {way}", error) from error
            await contender.say(done=result)
    except EOFError:
        pass
    except ServiceError as error:
        what, _, text = str(error).partition(": ")
        writer.write(json.dumps({"failed": [what, text]}).encode() + b"\n")
    finally:
        if lock is not None:
            await lock.close()
        writer.close()


def is_down(error: Exception) -> bool:
    """Whether waiting may help: nobody listens there, or not yet."""
    text = str(error).lower()
    return not any(word in text for word in ("denied", "auth", "password", "unknown database", "acl"))


def work(*args: Any) -> None:
    """The body of the process."""
    # Ctrl-C is the parent's to hear; without it the connection ends, and this process with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The parent may be gone in the middle of a word.
    with contextlib.suppress(OSError):
        asyncio.run(contend(*args))

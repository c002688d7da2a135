"""A producer that outruns its socket: `write` without `drain` takes all memory in the end.

The loop gets on, so no stall is told. The table of connections says `the peer is slow`, with what waits to be sent, and
the lints that the buffer only grows.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from stage import play

CHUNK = b"x" * 50_000
SECONDS = 20


async def read_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1000):
            await asyncio.sleep(0.05)
    writer.close()


async def produce(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(CHUNK)
        await asyncio.sleep(0.01)


async def produce_cured(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(CHUNK)
        await writer.drain()
        await asyncio.sleep(0.01)


async def connect(write: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
    async with await asyncio.start_server(read_slowly, "127.0.0.1", 0) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                await write(writer)
        writer.transport.abort()


async def trouble() -> None:
    await connect(produce)


async def cure() -> None:
    await connect(produce_cured)


if __name__ == "__main__":
    play(trouble, cure)

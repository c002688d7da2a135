"""The server of a network row: `python server.py LOOP KIND` prints its port, echoes until stdin ends."""

import asyncio
import contextlib
import sys
import threading
from typing import cast

import loops

KINDS = ("protocol", "streams")


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every loop's transports are asyncio's to isinstance.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(kind: str) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def watch_input() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    if kind == "protocol":
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1024)
    else:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    threading.Thread(target=watch_input, daemon=True).start()
    await ended.wait()
    server.close()


def main() -> None:
    name, kind = sys.argv[1:]
    with asyncio.Runner(loop_factory=loops.factory(name)) as runner:
        runner.run(serve(kind))


if __name__ == "__main__":
    main()

"""The server of a network row: prints where it listens, and echoes until its standard input ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
from typing import cast

from . import loops

__all__ = ("main",)

HOST = "127.0.0.1"
BACKLOG = 1024


class Echo(asyncio.Protocol):
    """Sends back what it receives."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every loop's transports are asyncio's to isinstance.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class DatagramEcho(asyncio.DatagramProtocol):
    """Sends every datagram back to where it came from."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Echo over streams."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def echo_sockets(listener: socket.socket) -> None:
    """Accept for ever, and echo with the loop's own methods for sockets."""
    loop = asyncio.get_running_loop()
    served = set()

    async def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(connection, 65536):
                await loop.sock_sendall(connection, data)

    while True:
        connection, _ = await loop.sock_accept(listener)
        connection.setblocking(False)
        task = loop.create_task(serve(connection))
        served.add(task)
        task.add_done_callback(served.discard)


def listening(family: socket.AddressFamily, address: str | tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(address)
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


async def protocol_server() -> str:
    server = await asyncio.get_running_loop().create_server(Echo, HOST, 0, backlog=BACKLOG)
    return str(server.sockets[0].getsockname()[1])


async def streams_server() -> str:
    server = await asyncio.start_server(echo, HOST, 0, backlog=BACKLOG)
    return str(server.sockets[0].getsockname()[1])


async def tls_server() -> str:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A throw-away key that everybody has: it proves nothing and protects nothing, and serves on 127.0.0.1 only.
    context.load_cert_chain(os.path.join(os.path.dirname(__file__), "localhost.pem"))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, HOST, 0, backlog=BACKLOG, ssl=context)
    return str(server.sockets[0].getsockname()[1])


async def udp_server() -> str:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(DatagramEcho, local_addr=(HOST, 0))
    return str(transport.get_extra_info("sockname")[1])


async def unix_server() -> str:
    # Without a name Linux makes one up outside the file system: nothing to remove, however the server ends.
    listener = listening(socket.AF_UNIX, "")
    await asyncio.get_running_loop().create_unix_server(Echo, sock=listener, backlog=BACKLOG)
    return "@" + cast(bytes, listener.getsockname())[1:].decode("ascii")


async def sock_server() -> str:
    listener = listening(socket.AF_INET, (HOST, 0))
    task = asyncio.get_running_loop().create_task(echo_sockets(listener))
    # The loop itself holds tasks weakly.
    running.append(task)
    return str(listener.getsockname()[1])


running: list[asyncio.Task[None]] = []
SERVERS = {
    "protocol": protocol_server,
    "streams": streams_server,
    "tls": tls_server,
    "udp": udp_server,
    "unix": unix_server,
    "sock": sock_server,
}


async def serve(kind: str) -> None:
    """Print the port, or the name of the Unix socket behind an ``@``, and serve until standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def watch_input() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    try:
        where = await SERVERS[kind]()
    except NotImplementedError as error:
        print(f"lacks {error or kind}", flush=True)
        return
    print(where, flush=True)
    threading.Thread(target=watch_input, daemon=True).start()
    await ended.wait()


def main(name: str, kind: str) -> None:
    """Serve ``kind`` on the loop ``name``."""
    with asyncio.Runner(loop_factory=loops.factory(name)) as runner:
        runner.run(serve(kind))

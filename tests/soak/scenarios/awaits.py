"""What is cancelled: each await that opens something, against peers that answer, and peers that do not.

Each is an asynchronous context manager that prepares its peers and gives a function, which starts the await anew and
puts what it made, if it got that far, into the list it is handed.
"""

import asyncio
import contextlib
import itertools
import pathlib
import socket
import ssl
import subprocess

from scenarios.setting import contexts_for_tls
from toolkit import Recorder, full_listener, refusing, serving, tcp_pair, until


class Made:
    """What awaits made before they could be cancelled: to be closed by whoever asked."""

    def __init__(self):
        self._ends = []

    def transport(self, transport, protocol):
        self._ends.append((transport.abort, lambda: getattr(protocol, "is_lost", True)))

    def streams(self, writer):
        self._ends.append((writer.transport.abort, lambda: writer.transport.is_closing()))

    def server(self, server):
        self._ends.append((server.close, lambda: not server.is_serving()))

    def socket(self, sock):
        self._ends.append((sock.close, lambda: sock.fileno() == -1))

    async def end(self):
        """Close it all, and wait for the end."""
        while self._ends:
            close, is_closed = self._ends.pop()
            close()
            await until(is_closed)


@contextlib.asynccontextmanager
async def connection(loop, folder):
    """create_connection() to a server, by number."""
    async with serving() as (_, port, _):

        async def connect(made):
            made.transport(*await loop.create_connection(Recorder, "127.0.0.1", port))

        yield connect


@contextlib.asynccontextmanager
async def connection_by_name(loop, folder):
    """create_connection() to a server, by name."""
    async with serving() as (_, port, _):

        async def connect(made):
            made.transport(*await loop.create_connection(Recorder, "localhost", port, family=socket.AF_INET))

        yield connect


@contextlib.asynccontextmanager
async def connection_in_vain(loop, folder):
    """create_connection() that gets no answer."""
    with full_listener() as address:
        yield lambda made: loop.create_connection(Recorder, *address)


@contextlib.asynccontextmanager
async def connection_refused(loop, folder):
    """create_connection() that is refused."""
    with refusing() as address:
        yield lambda made: loop.create_connection(Recorder, *address)


@contextlib.asynccontextmanager
async def connection_raced(loop, folder):
    """create_connection() with attempts at a dead, a refusing and a live address at once."""
    with full_listener() as dead, refusing() as refused:
        async with serving() as (_, port, _):

            async def resolved(host, port_, **options):
                addresses = (dead, refused, ("127.0.0.1", port))
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

            async def connect(made):
                made.transport(*await loop.create_connection(Recorder, "a.name", 80, happy_eyeballs_delay=0))

            loop.getaddrinfo = resolved
            try:
                yield connect
            finally:
                del loop.getaddrinfo


@contextlib.asynccontextmanager
async def sock_connect(loop, folder):
    """sock_connect() to a server by its name: to a number it may be connected at once, and nothing can be cancelled."""
    async with serving() as (_, port, _):

        async def connect(made):
            sock = socket.socket()
            made.socket(sock)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("localhost", port))

        yield connect


@contextlib.asynccontextmanager
async def sock_connect_in_vain(loop, folder):
    """sock_connect() that gets no answer, of a socket that is closed as soon as it is cancelled."""
    with full_listener() as address:

        async def connect(made):
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)

        yield connect


@contextlib.asynccontextmanager
async def open_streams(loop, folder):
    """open_connection() to a server, and a line to it."""

    class Echo(Recorder):
        def data_received(self, data):
            self.transport.write(data)

    async with serving(Echo) as (_, port, _):

        async def connect(made):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            made.streams(writer)
            writer.write(b"hello\n")
            assert await reader.readline() == b"hello\n"

        yield connect


@contextlib.asynccontextmanager
async def open_streams_in_vain(loop, folder):
    """open_connection() that gets no answer."""
    with full_listener() as address:
        yield lambda made: asyncio.open_connection(*address)


@contextlib.asynccontextmanager
async def server(loop, folder):
    """create_server() by number."""

    async def create(made):
        made.server(await loop.create_server(Recorder, ["127.0.0.1", "::1"], 0))

    yield create


@contextlib.asynccontextmanager
async def server_by_name(loop, folder):
    """create_server() by name."""

    async def create(made):
        made.server(await loop.create_server(Recorder, "localhost", 0))

    yield create


@contextlib.asynccontextmanager
async def unix_connection(loop, folder):
    """create_unix_connection() to a server."""
    path = str(folder / "live")
    protocols = []

    def remembered():
        protocols.append(Recorder())
        return protocols[-1]

    unix_server = await loop.create_unix_server(remembered, path)

    async def connect(made):
        made.transport(*await loop.create_unix_connection(Recorder, path))

    yield connect
    unix_server.close()
    await until(lambda: all(protocol.is_lost for protocol in protocols if protocol.transport))
    await unix_server.wait_closed()


@contextlib.asynccontextmanager
async def unix_connection_in_vain(loop, folder):
    """create_unix_connection() to a socket that nobody accepts from, and to one that is not there."""
    path = str(folder / "dead")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)

        async def connect(made):
            with contextlib.suppress(OSError):
                await loop.create_unix_connection(Recorder, path + " is not there")
            made.transport(*await loop.create_unix_connection(Recorder, path))

        yield connect
    pathlib.Path(path).unlink()


@contextlib.asynccontextmanager
async def tls_connection(loop, folder):
    """create_connection() with TLS."""
    mine, theirs = contexts_for_tls(folder)
    async with serving(ssl=mine) as (_, port, _):

        async def connect(made):
            made.transport(
                *await loop.create_connection(
                    Recorder, "127.0.0.1", port, ssl=theirs, server_hostname="localhost"
                )
            )

        yield connect


@contextlib.asynccontextmanager
async def tls_connection_in_vain(loop, folder):
    """create_connection() with TLS to a peer that does not answer the handshake."""
    context = ssl.create_default_context()
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1000))
        listening.setblocking(False)
        address = listening.getsockname()

        async def connect(made):
            try:
                await loop.create_connection(Recorder, *address, ssl=context, server_hostname="localhost")
            finally:
                with contextlib.suppress(BlockingIOError):
                    listening.accept()[0].close()

        yield connect


@contextlib.asynccontextmanager
async def start_tls(loop, folder):
    """start_tls() on both ends of a connection."""
    mine, theirs = contexts_for_tls(folder)

    async def upgrade(made):
        with tcp_pair() as (one, two):
            halves = [one.dup(), two.dup()]
        tasks = []
        plain = []
        try:
            for sock in halves:
                plain.append(await loop.create_connection(Recorder, sock=sock))
            for (transport, protocol), context, is_server in zip(
                plain, (theirs, mine), (False, True), strict=True
            ):
                secured = loop.start_tls(
                    transport, protocol, context, server_side=is_server, server_hostname="localhost"
                )
                tasks.append(loop.create_task(secured))
            await asyncio.gather(*tasks)
        finally:
            # This wait may be the one that is cancelled.
            for task in tasks:
                task.cancel()
            for transport, _ in plain:
                transport.abort()
            for sock in halves[len(plain) :]:
                sock.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    yield upgrade


@contextlib.asynccontextmanager
async def start_tls_in_vain(loop, folder):
    """start_tls() with a peer that does not answer the handshake, or answers with something else."""
    context = ssl.create_default_context()
    numbers = itertools.count()

    async def upgrade(made):
        with tcp_pair() as (one, two):
            mine = one.dup()
            mine.setblocking(False)
            try:
                transport, protocol = await loop.create_connection(Recorder, sock=mine)
            except BaseException:
                mine.close()
                raise
            if next(numbers) % 3 == 0:
                two.send(b"HTTP/1.1 400 This is not TLS\r\n\r\n")
            try:
                with contextlib.suppress(ssl.SSLError):
                    await loop.start_tls(transport, protocol, context, server_hostname="localhost")
            finally:
                transport.abort()

    yield upgrade


class Watched(asyncio.SubprocessProtocol):
    """Notes the end of its child."""

    def connection_lost(self, error):
        self.is_lost = True


@contextlib.asynccontextmanager
async def process(loop, folder):
    """create_subprocess_exec() and communicate() with a child that answers."""
    children = []

    async def start(made):
        children[:] = [child for child in children if child.returncode is None]
        child = await asyncio.create_subprocess_exec(
            "/bin/cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            assert await child.communicate(b"hello") == (b"hello", b"")
        finally:
            children.append(child)
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()

    yield start
    for child in children:
        await child.wait()


@contextlib.asynccontextmanager
async def process_in_vain(loop, folder):
    """subprocess_exec() of a child that never ends by itself, and of a program that is not there."""
    transports = []

    async def start(made):
        transports[:] = [protocol for protocol in transports if not protocol.is_lost]
        with contextlib.suppress(FileNotFoundError):
            await loop.subprocess_exec(Watched, "/is/not/there")
        transport, protocol = await loop.subprocess_exec(Watched, "/bin/sleep", "1000")
        protocol.is_lost = False
        transports.append(protocol)
        transport.kill()
        transport.close()

    yield start
    await until(lambda: all(protocol.is_lost for protocol in transports))


# How often each is cancelled in time in the whole soak: ten thousand for each method, over all its ways.
AWAITS = {
    # create_connection()
    connection: 3000,
    connection_by_name: 2000,
    connection_in_vain: 2000,
    connection_refused: 1000,
    connection_raced: 2000,
    # sock_connect()
    sock_connect: 6000,
    sock_connect_in_vain: 4000,
    # open_connection()
    open_streams: 6000,
    open_streams_in_vain: 4000,
    # create_server()
    server: 6000,
    server_by_name: 4000,
    # create_unix_connection()
    unix_connection: 1000,
    unix_connection_in_vain: 1000,
    # create_connection() with TLS
    tls_connection: 2000,
    tls_connection_in_vain: 1000,
    # start_tls()
    start_tls: 6000,
    start_tls_in_vain: 4000,
    # subprocess_exec()
    process: 7000,
    process_in_vain: 3000,
}

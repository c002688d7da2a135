"""What the tests of TLS share: connections of two protocols, and a peer that does only what it is told."""

import asyncio
import contextlib
import ssl
import threading

from toolkit import Recorder, accepted, dropped, listener, serving


@contextlib.asynccontextmanager
async def secured(server_context, client_context, client=Recorder, server=Recorder, serve=(), **options):
    """A client's and a server's protocol, joined by a TLS connection."""
    loop = asyncio.get_running_loop()
    options.setdefault("server_hostname", "localhost")
    async with serving(server, ssl=server_context, **dict(serve)) as (_, port, protocols):
        transport, protocol = await loop.create_connection(
            client, "127.0.0.1", port, ssl=client_context, **options
        )
        try:
            yield protocol, await accepted(protocols)
        finally:
            await dropped(protocol, transport)


class Peer:
    """One end of a TLS connection, over a plain socket, a step at a time."""

    def __init__(self, sock, context, **options):
        self.sock = sock
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, **options)

    async def flush(self):
        if self.outgoing.pending:
            await asyncio.get_running_loop().sock_sendall(self.sock, self.outgoing.read())

    async def more(self):
        """Takes what arrives.  Whether there was anything but the end."""
        data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
        self.incoming.write(data)
        return bool(data)

    async def until_done(self, step):
        """The result of `step` once the other end has sent what it needs."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self.flush()
                if not await self.more():
                    raise EOFError("the other end has hung up") from None
            else:
                await self.flush()
                return result

    async def handshake(self):
        await self.until_done(self.session.do_handshake)

    async def send(self, data):
        view = memoryview(data)
        while view:
            view = view[self.session.write(view) :]
        await self.flush()

    async def receive(self, count):
        data = b""
        while len(data) < count:
            data += await self.until_done(lambda: self.session.read(count))
        return data

    async def receive_all(self):
        """Everything up to the other end's goodbye."""
        parts = []
        while part := await self.until_done(self.read_or_end):
            parts.append(part)
        return b"".join(parts)

    def read_or_end(self):
        try:
            return self.session.read(1 << 14)
        except ssl.SSLZeroReturnError:
            return b""

    async def goodbye(self):
        """Sends close_notify, and does not wait for the other's."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.session.unwrap()
        await self.flush()


@contextlib.asynccontextmanager
async def connected_peer(server_context, client_context, protocol, **options):
    """A client of the loop's, and the server's end in the test's hands."""
    loop = asyncio.get_running_loop()
    options.setdefault("server_hostname", "localhost")
    with listener() as listening:
        listening.setblocking(False)
        connecting = asyncio.ensure_future(
            loop.create_connection(lambda: protocol, *listening.getsockname(), ssl=client_context, **options)
        )
        sock, _ = await loop.sock_accept(listening)
        with sock:
            peer = Peer(sock, server_context, server_side=True)
            await peer.handshake()
            transport, _ = await connecting
            try:
                yield transport, peer
            finally:
                await dropped(protocol, transport)


@contextlib.contextmanager
def blocking_server(server_context, serve):
    """A TLS server in a thread: `serve(connection)` for its one client.  Gives its address."""
    with listener() as listening:
        listening.settimeout(10)
        problems = []

        def run():
            try:
                sock, _ = listening.accept()
                sock.settimeout(10)
                with server_context.wrap_socket(sock, server_side=True) as connection:
                    serve(connection)
            except BaseException as error:
                problems.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            thread.join(15)
        assert not thread.is_alive(), "the server's thread hangs"
        for problem in problems:
            raise problem

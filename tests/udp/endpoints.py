"""What the datagram tests share: a recording protocol, endpoints that are closed at the end."""

import asyncio
import contextlib
import socket

from toolkit import until


class Listener(asyncio.DatagramProtocol):
    """Notes every call it gets, in order."""

    def __init__(self):
        self.calls = []
        self.received = []
        self.errors = []
        self.transport = None
        self.is_lost = False
        self.lost = None

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def datagram_received(self, data, addr):
        self.calls.append("datagram")
        self.received.append((data, addr))

    def error_received(self, exc):
        self.calls.append("error")
        self.errors.append(exc)

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, exc):
        self.calls.append("lost")
        self.lost = exc
        self.is_lost = True


@contextlib.asynccontextmanager
async def endpoint(protocol=None, **options):
    """An endpoint's transport and protocol; aborted at the end."""
    loop = asyncio.get_running_loop()
    protocol = protocol or Listener()
    transport, _ = await loop.create_datagram_endpoint(lambda: protocol, **options)
    try:
        yield transport, protocol
    finally:
        # asyncio fails to abort what is gone.
        if not protocol.is_lost:
            transport.abort()
        await until(lambda: protocol.is_lost)


@contextlib.contextmanager
def plain(host="127.0.0.1"):
    """A plain UDP socket of the other side."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(10)
        yield sock


@contextlib.contextmanager
def nobody():
    """The address of a UDP port that nobody has: whoever sends there is told so."""
    with plain() as sock:
        address = sock.getsockname()
    yield address


@contextlib.contextmanager
def crowded(path):
    """A Unix socket that takes no more datagrams, and the function that empties it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(path)
        reader.setblocking(False)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            filler.connect(path)
            with contextlib.suppress(BlockingIOError):
                while True:
                    filler.send(b"filling")

        def drain():
            drained = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    drained.append(reader.recv(65536))
            return [data for data in drained if data != b"filling"]

        yield drain

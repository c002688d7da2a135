"""What fails in the loop's own work for one connection is reported, and the loop goes on."""

import asyncio
import contextlib
import gc
import socket
import struct

import pytest

from toolkit import Recorder, finish, until


def connected_pair():
    """Two ends of a TCP connection, neither of which blocks."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        peer, _ = listening.accept()
    ours.setblocking(False)
    peer.setblocking(False)
    return ours, peer


def reset(sock):
    """Close in a way that the other end notices at once: without its buffer sent, with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_the_writing_half_cannot_be_ended_any_more(loop, errors):
    ours, peer = connected_pair()

    class ResetWhenSent(Recorder):
        def resume_writing(self):
            super().resume_writing()
            reset(peer)

    async def main():
        transport, protocol = await loop.create_connection(ResetWhenSent, sock=ours)
        transport.set_write_buffer_limits(0)
        transport.write(bytes(1 << 23))
        transport.write_eof()
        while peer.fileno() >= 0:
            with contextlib.suppress(BlockingIOError):
                peer.recv(1 << 20)
            await asyncio.sleep(0)
        await until(lambda: protocol.is_lost)

    finish(loop, main())
    assert [type(context["exception"]) for context in errors] == [OSError]


# asyncio then takes its transport for an unclosed one.
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
def test_a_socket_whose_closing_fails(loop, errors):
    class Stubborn(socket.socket):
        def close(self):
            if self.fileno() >= 0:
                super().close()
                raise OSError("closing failed")

    one, two = socket.socketpair()
    stubborn = Stubborn(fileno=one.detach())
    stubborn.setblocking(False)

    async def main():
        transport, protocol = await loop.create_connection(Recorder, sock=stubborn)
        transport.abort()
        await until(lambda: protocol.is_lost)
        await asyncio.sleep(0)

    with two:
        finish(loop, main())
    assert [str(context["exception"]) for context in errors] == ["closing failed"]
    gc.collect()

"""sock_recvfrom, sock_recvfrom_into, sock_sendto."""

import asyncio
import socket
import ssl

import pytest
from endpoints import crowded, endpoint, plain

from toolkit import cancelled, finish, tcp_pair


def non_blocking():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def test_what_is_there_is_received(loop):
    async def main():
        with non_blocking() as mine, plain() as peer:
            peer.sendto(b"hello", mine.getsockname())
            return await loop.sock_recvfrom(mine, 100) == (b"hello", peer.getsockname())

    assert finish(loop, main())


def test_what_is_not_there_yet_is_waited_for(loop):
    async def main():
        with non_blocking() as mine, plain() as peer:
            task = loop.create_task(loop.sock_recvfrom(mine, 3))
            await asyncio.sleep(0)
            assert not task.done()
            peer.sendto(b"late", mine.getsockname())
            return await task == (b"lat", peer.getsockname())

    assert finish(loop, main())


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(("nbytes", "expected"), [(None, 5), (0, 5), (3, 3)])
def test_a_buffer_is_filled(loop, waits, nbytes, expected):
    async def main():
        buffer = bytearray(10)
        with non_blocking() as mine, plain() as peer:
            most = () if nbytes is None else (nbytes,)
            task = loop.create_task(loop.sock_recvfrom_into(mine, buffer, *most))
            if waits:
                await asyncio.sleep(0)
                assert not task.done()
            peer.sendto(b"hello", mine.getsockname())
            return await task == (expected, peer.getsockname()), bytes(buffer)

    assert finish(loop, main()) == (True, b"hello"[:expected].ljust(10, b"\0"))


def test_a_datagram_is_sent(loop):
    async def main():
        with non_blocking() as mine, plain() as peer:
            sent = await loop.sock_sendto(mine, b"hello", peer.getsockname())
            return sent, peer.recv(100)

    assert finish(loop, main()) == (5, b"hello")


def test_sending_waits_for_room(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        with crowded(path) as drain, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mine:
            mine.setblocking(False)
            # One that is not connected is told of no room by the receiver alone.
            mine.connect(path)
            task = loop.create_task(loop.sock_sendto(mine, b"hello", path))
            await asyncio.sleep(0)
            assert not task.done()
            drain()
            return await task, drain()

    assert finish(loop, main()) == (5, [b"hello"])


@pytest.mark.parametrize("method", ["sock_recvfrom", "sock_recvfrom_into"])
def test_a_cancelled_receive_leaves_no_reader(loop, method):
    async def main():
        with non_blocking() as mine, plain() as peer:
            task = loop.create_task(
                getattr(loop, method)(mine, 4 if method == "sock_recvfrom" else bytearray(4))
            )
            await asyncio.sleep(0)
            await cancelled(task)
            assert not loop.remove_reader(mine)
            peer.sendto(b"kept", mine.getsockname())
            return await loop.sock_recvfrom(mine, 100) == (b"kept", peer.getsockname())

    assert finish(loop, main())


def test_a_cancelled_send_leaves_no_writer(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        with crowded(path) as drain, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mine:
            mine.setblocking(False)
            mine.connect(path)
            task = loop.create_task(loop.sock_sendto(mine, b"never", path))
            await asyncio.sleep(0)
            await cancelled(task)
            assert not loop.remove_writer(mine)
            return drain()

    assert finish(loop, main()) == []


def call(loop, method, sock):
    arguments = {
        "sock_recvfrom": (10,),
        "sock_recvfrom_into": (bytearray(10),),
        "sock_sendto": (b"x", ("127.0.0.1", 9)),
    }
    return getattr(loop, method)(sock, *arguments[method])


METHODS = ["sock_recvfrom", "sock_recvfrom_into", "sock_sendto"]


@pytest.mark.parametrize("method", METHODS)
def test_blocking_sockets_are_refused_in_debug_mode(loop, method):
    loop.set_debug(True)

    async def main():
        with plain() as sock, pytest.raises(ValueError, match="the socket must be non-blocking"):
            await call(loop, method, sock)

    finish(loop, main())


@pytest.mark.parametrize("method", METHODS)
def test_sockets_with_tls_are_refused(loop, method):
    async def main():
        context = ssl.create_default_context()
        with (
            tcp_pair() as (one, _),
            context.wrap_socket(one, server_hostname="x", do_handshake_on_connect=False) as wrapped,
        ):
            with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                await call(loop, method, wrapped)

    finish(loop, main())


@pytest.mark.parametrize("method", ["sock_recvfrom", "sock_recvfrom_into"])
def test_the_socket_of_a_transport_is_refused(loop, method):
    async def main():
        async with endpoint(local_addr=("127.0.0.1", 0)) as (transport, _):
            with pytest.raises(RuntimeError, match="is used by transport"):
                await call(loop, method, socket_of(transport))

    finish(loop, main())


def socket_of(transport):
    return transport._sock


@pytest.mark.parametrize("method", METHODS)
def test_a_closed_socket_is_an_error(loop, method):
    async def main():
        sock = non_blocking()
        sock.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            await call(loop, method, sock)

    finish(loop, main())

"""Sockets driven by `sock_recv`, `sock_recv_into`, `sock_sendall`, `sock_accept` and `sock_connect`."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl

import pytest

from toolkit import (
    Recorder,
    attached,
    cancelled,
    finish,
    full_listener,
    listener,
    refusing,
    script,
    tcp_pair,
)

METHODS = ["sock_recv", "sock_recv_into", "sock_sendall", "sock_accept", "sock_connect"]


def test_what_is_there_is_received(loop):
    async def main():
        with tcp_pair() as (one, two):
            two.send(b"hello")
            return await loop.sock_recv(one, 3), await loop.sock_recv(one, 100)

    assert finish(loop, main()) == (b"hel", b"lo")


def test_what_is_not_there_yet_is_waited_for(loop):
    async def main():
        with tcp_pair() as (one, two):
            task = loop.create_task(loop.sock_recv(one, 100))
            await asyncio.sleep(0)
            assert not task.done()
            two.send(b"late")
            return await task

    assert finish(loop, main()) == b"late"


def test_the_end_of_the_stream_is_empty(loop):
    async def main():
        with tcp_pair() as (one, two):
            task = loop.create_task(loop.sock_recv(one, 100))
            await asyncio.sleep(0)
            two.shutdown(socket.SHUT_WR)
            return await task

    assert finish(loop, main()) == b""


@pytest.mark.parametrize(
    "make", [bytearray, lambda n: memoryview(bytearray(n))], ids=["bytearray", "memoryview"]
)
def test_a_buffer_is_filled(loop, make):
    async def main():
        buffer = make(10)
        with tcp_pair() as (one, two):
            two.send(b"now")
            first = await loop.sock_recv_into(one, buffer)
            task = loop.create_task(loop.sock_recv_into(one, memoryview(buffer)[first:]))
            await asyncio.sleep(0)
            two.send(b"later")
            return first, await task, bytes(buffer)

    assert finish(loop, main()) == (3, 5, b"nowlater\0\0")


def test_a_buffer_that_cannot_be_written_is_refused(loop):
    async def main():
        with tcp_pair() as (one, two):
            two.send(b"x")
            with pytest.raises((TypeError, BufferError)):
                await loop.sock_recv_into(one, b"constant")

    finish(loop, main())


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview], ids=lambda make: make.__name__)
def test_everything_is_sent(loop, make):
    payload = bytes(range(256)) * 8192

    async def receive(sock):
        data = bytearray()
        while len(data) < len(payload):
            data += await loop.sock_recv(sock, 65536)
        return data

    async def main():
        with tcp_pair() as (one, two):
            received, sent = await asyncio.gather(receive(one), loop.sock_sendall(two, make(payload)))
            return received == payload, sent

    assert finish(loop, main()) == (True, None)


def test_nothing_to_send_is_sent_at_once(loop):
    async def main():
        with tcp_pair() as (one, _):
            assert await loop.sock_sendall(one, b"") is None

    finish(loop, main())


def test_sending_and_receiving_on_one_socket_at_once(loop):
    payload = bytes(1 << 20)

    async def main():
        with tcp_pair() as (one, two):
            receiving = loop.create_task(loop.sock_recv(one, 10))
            sending = loop.create_task(loop.sock_sendall(one, payload))
            await asyncio.sleep(0)
            two.send(b"hi")
            assert await receiving == b"hi"
            left = len(payload)
            while left:
                left -= len(await loop.sock_recv(two, 1 << 16))
            await sending

    finish(loop, main())


def test_a_connection_is_made_and_accepted(loop):
    async def main():
        with listener() as server, socket.socket() as client:
            server.setblocking(False)
            client.setblocking(False)
            accepting = loop.create_task(loop.sock_accept(server))
            assert await loop.sock_connect(client, server.getsockname()) is None
            accepted, address = await accepting
            with accepted:
                assert address == client.getsockname()
                assert accepted.gettimeout() == 0
                assert isinstance(accepted, socket.socket)
                await loop.sock_sendall(client, b"ping")
                assert await loop.sock_recv(accepted, 10) == b"ping"

    finish(loop, main())


def test_a_connection_that_waits_is_accepted_at_once(loop):
    async def main():
        with listener() as server:
            server.setblocking(False)
            with socket.create_connection(server.getsockname()):
                accepted, _ = await loop.sock_accept(server)
                accepted.close()

    finish(loop, main())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_connecting_resolves_the_host(loop, host):
    async def main():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with listener("::1" if ":" in host else "127.0.0.1") as server, socket.socket(family) as client:
            client.setblocking(False)
            await loop.sock_connect(client, (host, server.getsockname()[1]))
            assert client.getpeername()[1] == server.getsockname()[1]

    finish(loop, main())
    finish(loop, loop.shutdown_default_executor())


def test_unix_sockets_connect_too(loop, tmp_path):
    async def main():
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(path)
            server.listen()
            server.setblocking(False)
            client.setblocking(False)
            await loop.sock_connect(client, path)
            accepted, _ = await loop.sock_accept(server)
            with accepted:
                await loop.sock_sendall(accepted, b"unix")
                assert await loop.sock_recv(client, 10) == b"unix"

    finish(loop, main())


def test_a_refused_connection_is_an_error(loop):
    async def main():
        with refusing() as address, socket.socket() as client:
            client.setblocking(False)
            with pytest.raises(ConnectionRefusedError) as caught:
                await loop.sock_connect(client, address)
            # It may be refused before connect() has even returned, which says less.
            assert str(caught.value) in (
                f"[Errno 111] Connect call failed {address!r}",
                "[Errno 111] Connection refused",
            )

    finish(loop, main())


def test_a_broken_connection_is_an_error(loop):
    async def main():
        with tcp_pair() as (one, two):
            task = loop.create_task(loop.sock_recv(one, 10))
            await asyncio.sleep(0)
            two.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            two.close()
            with pytest.raises(ConnectionResetError):
                await task
            with pytest.raises(BrokenPipeError):
                await loop.sock_sendall(one, b"x")

    finish(loop, main())


@pytest.mark.parametrize(
    "method", ["sock_recv", "sock_recv_into", "sock_sendall", "sock_accept", "sock_connect"]
)
def test_a_closed_socket_is_an_error(loop, method):
    sock = socket.socket()
    sock.setblocking(False)
    sock.close()
    with pytest.raises(OSError) as caught:
        finish(loop, call(loop, method, sock))
    assert caught.value.errno == 9


def call(loop, method, sock):
    arguments = {
        "sock_recv": (10,),
        "sock_recv_into": (bytearray(10),),
        "sock_sendall": (b"data",),
        "sock_accept": (),
        "sock_connect": (("127.0.0.1", 1),),
    }
    return getattr(loop, method)(sock, *arguments[method])


@pytest.mark.parametrize("method", METHODS)
def test_sockets_of_ssl_are_refused(loop, method):
    with ssl.create_default_context().wrap_socket(socket.socket(), server_hostname="localhost") as sock:
        sock.setblocking(False)
        with pytest.raises(TypeError, match="^Socket cannot be of type SSLSocket$"):
            finish(loop, call(loop, method, sock))


@pytest.mark.parametrize("method", METHODS)
def test_in_debug_mode_blocking_sockets_are_refused(loop, method):
    loop.set_debug(True)
    with socket.socket() as sock:
        with pytest.raises(ValueError, match="^the socket must be non-blocking$"):
            finish(loop, call(loop, method, sock))
        sock.settimeout(1)
        with pytest.raises(ValueError, match="^the socket must be non-blocking$"):
            finish(loop, call(loop, method, sock))


def test_a_socket_of_a_transport_is_refused(loop):
    async def main():
        async with attached(Recorder()) as (transport, _):
            sock = socket.socket(fileno=socket.dup(transport.get_extra_info("socket").fileno()))
            with sock:
                sock.setblocking(False)
                # Another number for the same connection is nobody's.
                waiting = loop.create_task(loop.sock_recv(sock, 1))
                await asyncio.sleep(0)
                await cancelled(waiting)
            own = socket.socket(fileno=transport.get_extra_info("socket").fileno())
            try:
                with pytest.raises(RuntimeError, match="is used by transport"):
                    await loop.sock_recv(own, 1)
            finally:
                own.detach()

    finish(loop, main())


def test_waiting_to_receive_can_be_cancelled(loop):
    async def main():
        with tcp_pair() as (one, two):
            for make in (lambda: loop.sock_recv(one, 10), lambda: loop.sock_recv_into(one, bytearray(10))):
                task = loop.create_task(make())
                await asyncio.sleep(0)
                await cancelled(task)
                assert loop.remove_reader(one) is False
                two.send(b"kept")
                assert await loop.sock_recv(one, 10) == b"kept"

    finish(loop, main())


def test_waiting_to_send_can_be_cancelled(loop):
    async def main():
        with tcp_pair() as (one, _):
            task = loop.create_task(loop.sock_sendall(one, bytes(1 << 24)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not task.done()
            await cancelled(task)
            assert loop.remove_writer(one) is False

    finish(loop, main())


def test_waiting_to_accept_can_be_cancelled(loop):
    async def main():
        with listener() as server:
            server.setblocking(False)
            task = loop.create_task(loop.sock_accept(server))
            await asyncio.sleep(0)
            await cancelled(task)
            assert loop.remove_reader(server) is False
            with socket.create_connection(server.getsockname()):
                accepted, _ = await loop.sock_accept(server)
                accepted.close()

    finish(loop, main())


def test_waiting_to_connect_can_be_cancelled(loop):
    async def main():
        with full_listener() as address, socket.socket() as client:
            client.setblocking(False)
            task = loop.create_task(loop.sock_connect(client, address))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not task.done()
            await cancelled(task)
            assert loop.remove_writer(client) is False

    finish(loop, main())


def test_what_arrives_as_the_waiter_is_cancelled_is_not_lost(loop):
    async def main():
        with tcp_pair() as (one, two):
            task = loop.create_task(loop.sock_recv(one, 10))
            await asyncio.sleep(0)
            task.cancel()
            two.send(b"kept")
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await loop.sock_recv(one, 10) == b"kept"

    finish(loop, main())


def test_a_reader_replaced_by_a_receive_is_gone(loop):
    seen = []

    async def main():
        with tcp_pair() as (one, two):
            loop.add_reader(one, seen.append, "reader")
            task = loop.create_task(loop.sock_recv(one, 10))
            await asyncio.sleep(0)
            two.send(b"x")
            assert await task == b"x"
            assert loop.remove_reader(one) is False

    finish(loop, main())
    assert seen == []


@pytest.mark.epicycle_only
@pytest.mark.parametrize("method", ["sock_recv", "sock_recv_into", "sock_connect"])
def test_a_socket_closed_meanwhile_keeps_its_number_until_the_end(loop, method):
    """asyncio closes it at once; the number may then be another file's, which the waiter would be served from."""

    async def main():
        with contextlib.ExitStack() as stack:
            if method == "sock_connect":
                address = stack.enter_context(full_listener())
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                task = loop.create_task(loop.sock_connect(sock, address))
            else:
                sock, _ = stack.enter_context(tcp_pair())
                argument = 10 if method == "sock_recv" else bytearray(10)
                task = loop.create_task(getattr(loop, method)(sock, argument))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            number = sock.fileno()
            sock.close()
            with open("/dev/null", "rb") as other:
                assert other.fileno() != number
                await cancelled(task)
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(number)

    finish(loop, main())


@pytest.mark.epicycle_only
def test_what_a_socket_closed_meanwhile_receives_is_returned(loop):
    async def main():
        with tcp_pair() as (one, two):
            task = loop.create_task(loop.sock_recv(one, 10))
            await asyncio.sleep(0)
            one.close()
            two.send(b"late")
            assert await task == b"late"

    finish(loop, main())


SEEN = """
import asyncio, socket
seen = []

def noted(owner, name):
    method = getattr(owner, name)
    def wrapper(*args, **kwargs):
        seen.append(name)
        return method(*args, **kwargs)
    setattr(owner, name, wrapper)

def loop():
    for owner, name in REPLACED:
        noted(owner, name)
    return new_loop()

async def echo(reader, writer):
    writer.write(await reader.readexactly(4))
    await writer.drain()
    writer.close()

async def talk():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, server.sockets[0].getsockname())
        await loop.sock_sendall(sock, b"ping")
        assert await loop.sock_recv(sock, 100) == b"ping"
        assert await loop.sock_recv_into(sock, bytearray(9)) == 0
    server.close()

with asyncio.Runner(loop_factory=loop) as runner:
    runner.run(talk())
print(*sorted(set(seen)))
"""


def test_methods_that_were_replaced_before_the_first_loop_are_called(loop_name):
    """A program that guards or counts them has done so by then."""
    names = ["connect", "recv", "recv_into", "send"]
    replaced = ", ".join(f"(socket.socket, {name!r})" for name in names)
    replaced += ", (asyncio.StreamReader, 'feed_data')"
    ended = script(loop_name, SEEN.replace("REPLACED", f"[{replaced}]"))
    assert ended.stdout.split() == sorted([*names, "feed_data"])


def test_methods_that_are_replaced_between_two_calls_are_called(loop, monkeypatch):
    async def main():
        with tcp_pair() as (one, two):
            await loop.sock_sendall(one, b"a")
            seen = []

            def noting(name):
                method = getattr(socket.socket, name)

                def wrapper(*args):
                    seen.append(name)
                    return method(*args)

                monkeypatch.setattr(socket.socket, name, wrapper)

            for name in ["recv", "recv_into", "send"]:
                noting(name)
            await loop.sock_sendall(one, b"b")
            assert await loop.sock_recv(two, 1) == b"a"
            buffer = bytearray(1)
            assert await loop.sock_recv_into(two, buffer) == 1
            assert (bytes(buffer), seen) == (b"b", ["send", "recv", "recv_into"])

    finish(loop, main())


@pytest.mark.parametrize("size", [1, 1000, 262_144, 262_145, 1_000_000])
def test_no_more_is_received_than_was_asked_for(loop, size):
    async def main():
        data = os.urandom(1_000_000 if size > 1 else 50)
        with tcp_pair() as (one, two):
            sending = loop.create_task(loop.sock_sendall(one, data))
            received = bytearray()
            while len(received) < len(data):
                piece = await loop.sock_recv(two, size)
                assert 0 < len(piece) <= size
                received += piece
            await sending
            assert received == data

    finish(loop, main(), timeout=30)


@pytest.mark.parametrize("size", [-1, 1.5, "1", None])
def test_a_size_that_is_none_is_refused(loop, size):
    async def main():
        with tcp_pair() as (one, _):
            with pytest.raises((TypeError, ValueError)) as caught:
                await loop.sock_recv(one, size)
            with pytest.raises(type(caught.value)) as oracle:
                one.recv(size)
            assert str(caught.value) == str(oracle.value)

    finish(loop, main())


@pytest.mark.parametrize("method", ["sock_recv", "sock_recv_into"])
def test_a_detached_socket_does_not_receive_what_is_anothers(loop, method):
    async def main():
        with tcp_pair() as (one, two):
            argument = 100 if method == "sock_recv" else bytearray(100)
            task = loop.create_task(getattr(loop, method)(one, argument))
            await asyncio.sleep(0)
            moved = socket.socket(fileno=one.detach())
            with moved:
                moved.setblocking(False)
                two.send(b"for the new owner")
                with pytest.raises(OSError) as caught:
                    await task
                assert caught.value.errno == errno.EBADF
                assert await loop.sock_recv(moved, 100) == b"for the new owner"

    finish(loop, main())


@pytest.mark.epicycle_only
def test_a_connection_within_the_machine_is_there_at_once(loop):
    async def main():
        with listener() as server, socket.socket() as sock:
            sock.setblocking(False)
            task = loop.create_task(loop.sock_connect(sock, server.getsockname()))
            await asyncio.sleep(0)
            assert task.done()
            assert sock.getpeername() == server.getsockname()

    finish(loop, main())

"""`create_server` with each of its options."""

import asyncio
import errno
import os
import socket
import ssl
import sys

import pytest

from toolkit import Recorder, accepted, finish, listener, serving, until


async def reachable(host, port):
    """Whether something accepts there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return False
    writer.transport.abort()
    return True


def families(server):
    return sorted(sock.family for sock in server.sockets)


def test_a_server_serves(loop):
    async def main():
        async with serving() as (_, port, protocols):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello")
            protocol = await accepted(protocols)
            await until(lambda: protocol.data == b"hello")
            writer.close()
            await writer.wait_closed()

    finish(loop, main())


def test_many_clients_at_once_are_all_served(loop):
    async def client(port, number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"%d\n" % number)
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return int(answer)

    class Echo(Recorder):
        def data_received(self, data):
            self.transport.write(data)

    async def main():
        async with serving(Echo) as (_, port, _):
            return await asyncio.gather(*(client(port, number) for number in range(90)))

    assert finish(loop, main()) == list(range(90))


@pytest.mark.parametrize("host", [None, ""])
def test_no_host_is_every_interface(loop, host):
    async def main():
        async with serving(Recorder, host, 0) as (server, _, _):
            assert families(server) == [socket.AF_INET, socket.AF_INET6]
            for sock in server.sockets:
                address = "::1" if sock.family == socket.AF_INET6 else "127.0.0.1"
                assert await reachable(address, sock.getsockname()[1])

    finish(loop, main())
    finish(loop, loop.shutdown_default_executor())


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_several_hosts(loop, kind):
    async def main():
        async with serving(Recorder, kind(["127.0.0.1", "::1", "127.0.0.2"]), 0) as (server, _, _):
            addresses = sorted(sock.getsockname()[0] for sock in server.sockets)
            assert addresses == ["127.0.0.1", "127.0.0.2", "::1"]
            for sock in server.sockets:
                assert await reachable(*sock.getsockname()[:2])

    finish(loop, main())


def test_a_host_given_twice_is_bound_once(loop):
    async def main():
        async with serving(Recorder, ["127.0.0.1", "127.0.0.1"], 0) as (server, _, _):
            assert len(server.sockets) == 1

    finish(loop, main())


def test_a_name_is_resolved_and_a_family_chosen(loop):
    async def main():
        async with serving(Recorder, "localhost", 0, family=socket.AF_INET) as (server, _, _):
            assert families(server) == [socket.AF_INET]
            assert await reachable("127.0.0.1", server.sockets[0].getsockname()[1])

    finish(loop, main())
    finish(loop, loop.shutdown_default_executor())


def test_no_port_is_any_port(loop):
    async def main():
        async with serving(Recorder, "127.0.0.1") as (server, _, _):
            assert server.sockets[0].getsockname()[1] > 0

    finish(loop, main())


def test_ports_may_be_text(loop):
    async def main():
        async with serving(Recorder, "127.0.0.1", "0") as (server, _, _):
            assert server.sockets[0].getsockname()[1] > 0

    finish(loop, main())


def test_sockets_of_the_newer_family_take_only_it(loop):
    async def main():
        async with serving(Recorder, "::", 0) as (server, _, _):
            assert server.sockets[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
            assert not await reachable("127.0.0.1", server.sockets[0].getsockname()[1])

    finish(loop, main())


@pytest.mark.parametrize(("given", "expected"), [(None, True), (True, True), (False, False)])
def test_addresses_are_reused_unless_told_otherwise(loop, given, expected):
    async def main():
        async with serving(reuse_address=given) as (server, _, _):
            assert bool(server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)) is expected

    finish(loop, main())


def test_a_port_may_be_shared(loop):
    async def main():
        async with serving(reuse_port=True) as (first, port, _):
            async with serving(port=port, reuse_port=True):
                with pytest.raises(OSError) as caught:
                    await loop.create_server(Recorder, "127.0.0.1", port)
                assert caught.value.errno == errno.EADDRINUSE
                first.close()
                assert await reachable("127.0.0.1", port)

    finish(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="keep_alive came with 3.13")
@pytest.mark.parametrize("given", [None, False, True])
def test_connections_may_be_kept_alive(loop, given):
    async def main():
        async with serving(keep_alive=given) as (server, _, _):
            assert bool(server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is bool(given)

    finish(loop, main())


@pytest.mark.parametrize("backlog", [1, 5, 4096])
def test_a_backlog_may_be_given(loop, backlog):
    async def main():
        async with serving(backlog=backlog) as (_, port, _):
            for _ in range(3):
                assert await reachable("127.0.0.1", port)

    finish(loop, main())


def test_serving_may_start_later(loop):
    async def main():
        async with serving(start_serving=False) as (server, port, _):
            assert not server.is_serving()
            assert not await reachable("127.0.0.1", port)
            await server.start_serving()
            assert server.is_serving()
            await server.start_serving()
            assert await reachable("127.0.0.1", port)

    finish(loop, main())


def test_a_socket_may_be_given(loop):
    async def main():
        sock = listener()
        port = sock.getsockname()[1]
        async with serving(sock=sock) as (server, _, _):
            assert sock.gettimeout() == 0
            assert server.sockets[0].fileno() == sock.fileno()
            assert await reachable("127.0.0.1", port)
        assert sock.fileno() == -1

    finish(loop, main())


def test_a_unix_socket_may_be_given(loop, tmp_path):
    async def main():
        path = str(tmp_path / "socket")
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        async with serving(sock=sock) as (_, _, protocols):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.send(b"over unix")
                protocol = await accepted(protocols)
                await until(lambda: protocol.data == b"over unix")
            await until(lambda: protocol.is_lost)

    finish(loop, main())


def test_sockets_block_nobody_and_are_inherited_by_nobody(loop):
    async def main():
        async with serving() as (server, port, protocols):
            with socket.create_connection(("127.0.0.1", port)):
                protocol = await accepted(protocols)
                for sock in (server.sockets[0], protocol.transport.get_extra_info("socket")):
                    assert sock.gettimeout() == 0
                    assert os.get_blocking(sock.fileno()) is False
                    assert os.get_inheritable(sock.fileno()) is False

    finish(loop, main())


def test_a_port_in_use_is_an_error(loop):
    async def main():
        with listener() as sock:
            address = sock.getsockname()
            with pytest.raises(OSError, match="error while attempting to bind on address") as caught:
                await loop.create_server(Recorder, *address)
            assert caught.value.errno == errno.EADDRINUSE
            assert repr(address) in str(caught.value) and "address already in use" in str(caught.value)

    finish(loop, main())


def test_one_port_in_use_closes_the_others(loop):
    async def main():
        with listener() as sock:
            port = sock.getsockname()[1]
            with pytest.raises(OSError) as caught:
                await loop.create_server(Recorder, ["127.0.0.2", "127.0.0.1", "127.0.0.3"], port)
            assert caught.value.errno == errno.EADDRINUSE

    finish(loop, main())


def test_an_address_of_somebody_else_is_an_error(loop):
    async def main():
        # Newer versions pass over an address that is not there, and complain that none is left.
        text = "could not bind on any address|error while attempting to bind on address"
        with pytest.raises(OSError, match=text):
            await loop.create_server(Recorder, "192.0.2.1", 0)

    finish(loop, main())


def test_an_unknown_host_is_an_error(loop):
    with pytest.raises(socket.gaierror):
        finish(loop, loop.create_server(Recorder, "no.such.host.invalid", 0), timeout=30)
    finish(loop, loop.shutdown_default_executor())


def test_a_host_of_another_family_is_an_error(loop):
    with pytest.raises(socket.gaierror):
        finish(loop, loop.create_server(Recorder, "127.0.0.1", 0, family=socket.AF_INET6))
    finish(loop, loop.shutdown_default_executor())


WRONG = {
    "neither host nor socket": ({}, ValueError, "Neither host/port nor sock were specified"),
    "ssl that is true": (
        {"host": "127.0.0.1", "ssl": True},
        TypeError,
        "ssl argument must be an SSLContext or None",
    ),
    "ssl that is false": (
        {"host": "127.0.0.1", "ssl": False},
        TypeError,
        "ssl argument must be an SSLContext or None",
    ),
    "a handshake without ssl": (
        {"host": "127.0.0.1", "ssl_handshake_timeout": 1},
        ValueError,
        "ssl_handshake_timeout is only meaningful with ssl",
    ),
    "a shutdown without ssl": (
        {"host": "127.0.0.1", "ssl_shutdown_timeout": 1},
        ValueError,
        "ssl_shutdown_timeout is only meaningful with ssl",
    ),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_options_that_make_no_sense_are_refused(loop, name):
    options, error, text = WRONG[name]
    with pytest.raises(error) as caught:
        finish(loop, loop.create_server(Recorder, **options))
    assert str(caught.value) == text


def test_host_and_socket_exclude_each_other(loop):
    with socket.socket() as sock:
        for options in ({"host": "127.0.0.1"}, {"port": 0}):
            with pytest.raises(ValueError, match="host/port and sock can not be specified at the same time"):
                finish(loop, loop.create_server(Recorder, sock=sock, **options))


def test_only_streams_are_served(loop):
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(ValueError) as caught:
        finish(loop, loop.create_server(Recorder, sock=sock))
    assert str(caught.value).startswith("A Stream Socket was expected, got <socket.socket")


def test_a_socket_of_ssl_is_refused(loop):
    with ssl.create_default_context().wrap_socket(socket.socket(), server_hostname="localhost") as sock:
        with pytest.raises(TypeError, match="^Socket cannot be of type SSLSocket$"):
            finish(loop, loop.create_server(Recorder, sock=sock))

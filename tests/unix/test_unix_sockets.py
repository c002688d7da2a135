"""create_unix_server, create_unix_connection, connect_accepted_socket."""

import asyncio
import contextlib
import os
import pathlib
import socket
import ssl
import sys

import pytest

from toolkit import Recorder, accepted, cancelled, dropped, finish, outcome, tcp_pair, until

CLEANS_UP = sys.version_info >= (3, 13)


@contextlib.asynccontextmanager
async def unix_serving(path=None, **options):
    """A server on a Unix socket and the protocols of its connections; all closed at the end."""
    loop = asyncio.get_running_loop()
    protocols = []

    def factory():
        protocols.append(Recorder())
        return protocols[-1]

    server = await loop.create_unix_server(factory, path, **options)
    try:
        yield server, protocols
    finally:
        server.close()
        # A connection taken from the system's queue may still be on its way to its protocol.
        for _ in range(5):
            await asyncio.sleep(0)
        for protocol in protocols:
            if protocol.transport is not None:
                await dropped(protocol, protocol.transport)
        await server.wait_closed()


@contextlib.asynccontextmanager
async def unix_connected(path=None, **options):
    """A client's transport and protocol; aborted at the end."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_unix_connection(Recorder, path, **options)
    try:
        yield transport, protocol
    finally:
        await dropped(protocol, transport)


def plain_listener(path):
    """A listening Unix socket of the test's own."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    sock.listen()
    return sock


@pytest.mark.parametrize("form", [str, os.fsencode, pathlib.Path], ids=["str", "bytes", "path object"])
def test_a_conversation_over_a_path(loop, tmp_path, form):
    path = form(str(tmp_path / "socket"))

    async def main():
        async with unix_serving(path) as (_, protocols), unix_connected(path) as (transport, protocol):
            transport.write(b"question")
            served = await accepted(protocols)
            await until(lambda: served.data)
            served.transport.write(b"answer")
            await until(lambda: protocol.data)
            return bytes(served.data), bytes(protocol.data)

    assert finish(loop, main()) == (b"question", b"answer")


def test_addresses_are_paths(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        async with unix_serving(path) as (server, protocols), unix_connected(path) as (transport, _):
            served = await accepted(protocols)
            assert [sock.getsockname() for sock in server.sockets] == [path]
            assert transport.get_extra_info("socket").family == socket.AF_UNIX
            names = [
                (each.get_extra_info("peername"), each.get_extra_info("sockname"))
                for each in (transport, served.transport)
            ]
            assert served.transport.get_extra_info("socket").family == socket.AF_UNIX
            return names

    assert finish(loop, main()) == [(path, ""), ("", path)]


@pytest.mark.parametrize("kind", [str, bytes])
def test_abstract_names(loop, kind):
    name = f"\0epicycle test {os.getpid()} {id(loop)}"
    name = name if kind is str else name.encode()

    async def main():
        async with unix_serving(name) as (_, protocols), unix_connected(name) as (transport, _):
            transport.write(b"hello")
            served = await accepted(protocols)
            await until(lambda: served.data)
            return transport.get_extra_info("peername"), served.transport.get_extra_info("sockname")

    expected = name.encode() if kind is str else name
    assert finish(loop, main()) == (expected, expected)


def test_sockets_of_ones_own(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        client = socket.socket(socket.AF_UNIX)
        async with unix_serving(sock=plain_listener(path)) as (_, protocols):
            client.connect(path)
            async with unix_connected(sock=client) as (transport, _):
                transport.write(b"hello")
                served = await accepted(protocols)
                await until(lambda: served.data)
                return bytes(served.data), client.gettimeout()

    assert finish(loop, main()) == (b"hello", 0)


def test_streams_over_unix_sockets(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def echo(reader, writer):
        writer.write(await reader.read())
        writer.close()

    async def main():
        server = await asyncio.start_unix_server(echo, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"there and back")
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return answer

    assert finish(loop, main()) == b"there and back"


def test_a_stale_socket_file_is_replaced(loop, tmp_path):
    path = str(tmp_path / "socket")
    plain_listener(path).close()

    async def main():
        async with unix_serving(path), unix_connected(path) as (transport, _):
            return transport.get_extra_info("peername")

    assert finish(loop, main()) == path


def test_another_file_in_the_way_stays(loop, tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")

    async def main():
        with pytest.raises(OSError) as caught:
            await loop.create_unix_server(Recorder, path)
        return str(caught.value)

    assert f"Address {str(path)!r} is already in use" in finish(loop, main())
    assert path.read_text() == "precious"


def test_an_abstract_name_in_use_is_refused(loop):
    name = f"\0epicycle test {os.getpid()} {id(loop)}"

    async def main():
        async with unix_serving(name):
            with pytest.raises(OSError, match="is already in use"):
                await loop.create_unix_server(Recorder, name)

    finish(loop, main())


def test_a_folder_that_is_not_there(loop, tmp_path):
    async def main():
        with pytest.raises(FileNotFoundError):
            await loop.create_unix_server(Recorder, tmp_path / "nowhere" / "socket")
        with pytest.raises(FileNotFoundError):
            await loop.create_unix_connection(Recorder, tmp_path / "nowhere" / "socket")

    finish(loop, main())


def test_nobody_listens_any_more(loop, tmp_path):
    path = str(tmp_path / "socket")
    plain_listener(path).close()

    async def main():
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(Recorder, path)

    finish(loop, main())


# ---- the socket's file ----


def test_the_file_goes_with_the_server_where_the_version_does_that(loop, tmp_path):
    path = tmp_path / "socket"

    async def main():
        async with unix_serving(path):
            assert path.exists()

    finish(loop, main())
    assert path.exists() is not CLEANS_UP


needs_cleanup = pytest.mark.skipif(not CLEANS_UP, reason="cleanup_socket came with 3.13")


@needs_cleanup
def test_the_file_of_a_socket_of_ones_own_goes_too(loop, tmp_path):
    path = tmp_path / "socket"

    async def main():
        async with unix_serving(sock=plain_listener(str(path))):
            assert path.exists()

    finish(loop, main())
    assert not path.exists()


@needs_cleanup
def test_a_file_that_somebody_removed_is_not_missed(loop, tmp_path):
    path = tmp_path / "socket"

    async def main():
        async with unix_serving(path):
            path.unlink()

    finish(loop, main())


@needs_cleanup
def test_a_file_that_somebody_replaced_stays(loop, tmp_path):
    path = tmp_path / "socket"

    async def main():
        async with unix_serving(path):
            # Kept, so that its inode is not given to the new one.
            path.rename(tmp_path / "aside")
            path.write_text("new")

    finish(loop, main())
    assert path.read_text() == "new"


@needs_cleanup
def test_the_file_stays_if_told_so(loop, tmp_path):
    path = tmp_path / "socket"

    async def main():
        async with unix_serving(path, cleanup_socket=False):
            pass

    finish(loop, main())
    assert path.exists()


@pytest.mark.epicycle_only
@pytest.mark.parametrize("cleanup", [True, False])
def test_every_version_can_be_told_whether_the_file_goes(loop, tmp_path, cleanup):
    path = tmp_path / "socket"

    async def main():
        async with unix_serving(path, cleanup_socket=cleanup):
            pass

    finish(loop, main())
    assert path.exists() is not cleanup


# ---- refusals ----


def unix_socket(kind=socket.SOCK_STREAM):
    return socket.socket(socket.AF_UNIX, kind)


CONTEXT = ssl.create_default_context()
REFUSED = {
    "server: neither path nor socket": lambda loop, sock: loop.create_unix_server(Recorder),
    "server: path and socket": lambda loop, sock: loop.create_unix_server(Recorder, "/x", sock=sock),
    "server: ssl=True": lambda loop, sock: loop.create_unix_server(Recorder, "/x", ssl=True),
    "server: timeout without ssl": lambda loop, sock: loop.create_unix_server(
        Recorder, "/x", ssl_handshake_timeout=1
    ),
    "server: shutdown timeout without ssl": lambda loop, sock: loop.create_unix_server(
        Recorder, "/x", ssl_shutdown_timeout=1
    ),
    "server: an empty path": lambda loop, sock: loop.create_unix_server(Recorder, ""),
    "server: no path": lambda loop, sock: loop.create_unix_server(Recorder, 5),
    "client: neither path nor socket": lambda loop, sock: loop.create_unix_connection(Recorder),
    "client: path and socket": lambda loop, sock: loop.create_unix_connection(Recorder, "/x", sock=sock),
    "client: no path": lambda loop, sock: loop.create_unix_connection(Recorder, 5),
    "client: a name without ssl": lambda loop, sock: loop.create_unix_connection(
        Recorder, "/x", server_hostname="x"
    ),
    "client: ssl without a name": lambda loop, sock: loop.create_unix_connection(Recorder, "/x", ssl=CONTEXT),
    "client: timeout without ssl": lambda loop, sock: loop.create_unix_connection(
        Recorder, "/x", ssl_handshake_timeout=1
    ),
    "client: shutdown timeout without ssl": lambda loop, sock: loop.create_unix_connection(
        Recorder, "/x", ssl_shutdown_timeout=1
    ),
    "accepted: timeout without ssl": lambda loop, sock: loop.connect_accepted_socket(
        Recorder, sock, ssl_handshake_timeout=1
    ),
    "accepted: shutdown timeout without ssl": lambda loop, sock: loop.connect_accepted_socket(
        Recorder, sock, ssl_shutdown_timeout=1
    ),
}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("name", list(REFUSED))
def test_what_does_not_fit_is_refused_as_asyncio_refuses_it(loop, name):
    def attempt(loop):
        with unix_socket() as sock:
            return loop.run_until_complete(REFUSED[name](loop, sock))

    oracle = asyncio.SelectorEventLoop()
    expected = outcome(attempt, oracle)
    oracle.close()
    assert expected[0] == "raised"
    assert outcome(attempt, loop) == expected


@pytest.mark.parametrize(
    "method", ["create_unix_server", "create_unix_connection", "connect_accepted_socket"]
)
def test_datagram_sockets_are_refused(loop, method):
    async def main():
        with (
            unix_socket(socket.SOCK_DGRAM) as sock,
            pytest.raises(ValueError, match="Socket was expected, got <socket"),
        ):
            await getattr(loop, method)(Recorder, sock=sock)

    finish(loop, main())


@pytest.mark.parametrize("method", ["create_unix_server", "create_unix_connection"])
def test_internet_sockets_are_refused(loop, method):
    async def main():
        with (
            socket.socket() as sock,
            pytest.raises(ValueError, match="A UNIX Domain Stream Socket was expected"),
        ):
            await getattr(loop, method)(Recorder, sock=sock)

    finish(loop, main())


def test_a_socket_with_tls_of_its_own_is_refused(loop):
    async def main():
        with (
            tcp_pair() as (one, _),
            CONTEXT.wrap_socket(one, server_hostname="x", do_handshake_on_connect=False) as wrapped,
        ):
            with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                await loop.connect_accepted_socket(Recorder, wrapped)

    finish(loop, main())


# ---- cancelled, accepted elsewhere ----


def test_a_connection_that_waits_for_room_can_be_cancelled(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        with plain_listener(path) as server, contextlib.ExitStack() as stack:
            server.listen(0)
            while True:
                filler = stack.enter_context(unix_socket())
                filler.setblocking(False)
                try:
                    filler.connect(path)
                except BlockingIOError:
                    break
            task = loop.create_task(loop.create_unix_connection(Recorder, path))
            await asyncio.sleep(0)
            assert not task.done()
            await cancelled(task)

    finish(loop, main())


@pytest.mark.epicycle_only
def test_a_server_cancelled_while_it_begins_is_closed(loop, tmp_path):
    path = tmp_path / "socket"

    async def main():
        task = loop.create_task(loop.create_unix_server(Recorder, path))
        await asyncio.sleep(0)
        await cancelled(task)

    finish(loop, main())


def test_connections_accepted_elsewhere(loop):
    async def main():
        with tcp_pair() as (one, two):
            mine = one.dup()
            transport, protocol = await loop.connect_accepted_socket(Recorder, mine)
            assert protocol.events == ["made"]
            two.send(b"hello")
            await until(lambda: protocol.data)
            transport.write(b"and back")
            answer = await loop.sock_recv(two, 100)
            names = transport.get_extra_info("peername") == two.getsockname()
            await dropped(protocol, transport)
            return bytes(protocol.data), answer, names, mine.fileno()

    assert finish(loop, main()) == (b"hello", b"and back", True, -1)

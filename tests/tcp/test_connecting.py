"""`create_connection` with each of its options."""

import contextlib
import errno
import socket
import ssl
import sys

import pytest

from toolkit import (
    Recorder,
    connected,
    finish,
    full_listener,
    listener,
    refusing,
    serving,
    tcp_pair,
    until,
)


@contextlib.contextmanager
def resolving(monkeypatch, *addresses):
    """`some.name` leads to `addresses`, in this order."""
    infos = []
    for address in addresses:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        full = (*address[:2], 0, 0) if family == socket.AF_INET6 else address[:2]
        infos.append((family, socket.SOCK_STREAM, 6, "", full))
    genuine = socket.getaddrinfo

    def replaced(host, *args, **kwargs):
        return infos if host == "some.name" else genuine(host, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", replaced)
        yield


@pytest.fixture(autouse=True)
def executor_shut_down(loop):
    yield
    finish(loop, loop.shutdown_default_executor())


async def done_with(transport, protocol):
    transport.abort()
    await until(lambda: protocol.is_lost)


def test_a_connection_is_made_before_it_is_given(loop):
    async def main():
        async with serving(Recorder) as (_, port, _):
            transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
            assert isinstance(protocol, Recorder)
            assert protocol.events == ["made"] and protocol.transport is transport
            assert transport.get_extra_info("peername") == ("127.0.0.1", port)
            await done_with(transport, protocol)

    finish(loop, main())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_hosts_by_name_and_number(loop, host):
    async def main():
        async with serving(Recorder, host="::1" if host == "::1" else "127.0.0.1") as (_, port, _):
            transport, protocol = await loop.create_connection(Recorder, host, port)
            await done_with(transport, protocol)

    finish(loop, main())


def test_a_connected_socket_may_be_given(loop):
    async def main():
        with tcp_pair(blocking=True) as (one, two):
            transport, protocol = await loop.create_connection(Recorder, sock=one)
            assert one.gettimeout() == 0
            transport.write(b"through the socket")
            two.settimeout(10)
            assert two.recv(100) == b"through the socket"
            await done_with(transport, protocol)
            assert one.fileno() == -1

    finish(loop, main())


def test_a_unix_socket_may_be_given(loop):
    async def main():
        one, two = socket.socketpair()
        with two:
            transport, protocol = await loop.create_connection(Recorder, sock=one)
            transport.write(b"over unix")
            two.settimeout(10)
            assert two.recv(100) == b"over unix"
            await done_with(transport, protocol)

    finish(loop, main())


def test_the_local_address_may_be_chosen(loop):
    async def main():
        async with serving(Recorder) as (_, port, _):
            local = ("127.0.0.2", 0)
            transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port, local_addr=local)
            assert transport.get_extra_info("sockname")[0] == "127.0.0.2"
            await done_with(transport, protocol)

    finish(loop, main())


def test_a_local_address_that_is_taken_is_an_error(loop):
    async def main():
        with listener() as taken:
            async with serving(Recorder) as (_, port, _):
                with pytest.raises(OSError, match="error while attempting to bind on address") as caught:
                    await loop.create_connection(Recorder, "127.0.0.1", port, local_addr=taken.getsockname())
                assert caught.value.errno == errno.EADDRINUSE

    finish(loop, main())


def test_a_local_address_of_another_family_is_an_error(loop):
    async def main():
        async with serving(Recorder) as (_, port, _):
            with pytest.raises(OSError, match="no matching local address with family=.* found"):
                await loop.create_connection(Recorder, "127.0.0.1", port, local_addr=("::1", 0))

    finish(loop, main())


def test_a_refused_connection_is_an_error(loop):
    async def main():
        with refusing() as address, pytest.raises(ConnectionRefusedError) as caught:
            await loop.create_connection(Recorder, *address)
        assert caught.value.errno == errno.ECONNREFUSED
        assert str(caught.value) == f"[Errno 111] Connect call failed {address!r}"

    finish(loop, main())


def test_the_protocol_is_not_made_when_there_is_no_connection(loop):
    made = []

    async def main():
        with refusing() as address, pytest.raises(ConnectionRefusedError):
            await loop.create_connection(lambda: made.append(1), *address)

    finish(loop, main())
    assert made == []


def test_an_unknown_host_is_an_error(loop):
    with pytest.raises(socket.gaierror):
        finish(loop, loop.create_connection(Recorder, "no.such.host.invalid", 80), timeout=30)


def test_a_name_without_an_address_is_an_error(loop, monkeypatch):
    with resolving(monkeypatch), pytest.raises(OSError, match=r"^getaddrinfo\(\) returned empty list$"):
        finish(loop, loop.create_connection(Recorder, "some.name", 80))


def test_the_next_address_is_tried(loop, monkeypatch):
    async def main():
        async with serving(Recorder) as (_, port, _):
            with (
                refusing() as one,
                refusing("::1") as two,
                resolving(monkeypatch, one, two, ("127.0.0.1", port)),
            ):
                transport, protocol = await loop.create_connection(Recorder, "some.name", 80)
                assert transport.get_extra_info("peername") == ("127.0.0.1", port)
                await done_with(transport, protocol)

    finish(loop, main())


def test_a_resolver_put_on_the_loop_is_asked(loop):
    async def main():
        async with serving(Recorder) as (_, port, _):

            async def replaced(host, wanted, *, family=0, type=0, proto=0, flags=0):
                assert (host, wanted, type) == ("some.name", 80, socket.SOCK_STREAM)
                return [(socket.AF_INET, type, 6, "", ("127.0.0.1", port))]

            loop.getaddrinfo = replaced
            transport, protocol = await loop.create_connection(Recorder, "some.name", 80)
            assert transport.get_extra_info("peername") == ("127.0.0.1", port)
            await done_with(transport, protocol)

    finish(loop, main())


def test_several_failures_are_told_together(loop, monkeypatch):
    async def main():
        with refusing() as one, refusing() as two, resolving(monkeypatch, one, two):
            with pytest.raises(OSError) as caught:
                await loop.create_connection(Recorder, "some.name", 80)
        assert str(caught.value) == (
            f"Multiple exceptions: [Errno 111] Connect call failed {one!r}, "
            f"[Errno 111] Connect call failed {two!r}"
        )

    finish(loop, main())


def test_failures_that_read_the_same_are_told_once(loop, monkeypatch):
    async def main():
        with refusing() as one, resolving(monkeypatch, one, one):
            with pytest.raises(ConnectionRefusedError) as caught:
                await loop.create_connection(Recorder, "some.name", 80)
        assert str(caught.value) == f"[Errno 111] Connect call failed {one!r}"

    finish(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="all_errors came with 3.12")
@pytest.mark.parametrize("delay", [None, 10])
def test_all_failures_may_be_asked_for(loop, monkeypatch, delay):
    async def main():
        with refusing() as one, refusing("::1") as two, resolving(monkeypatch, one, two):
            with pytest.raises(ExceptionGroup) as caught:
                await loop.create_connection(
                    Recorder, "some.name", 80, all_errors=True, happy_eyeballs_delay=delay
                )
        assert caught.value.message == "create_connection failed"
        assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError] * 2
        assert repr(one) in str(caught.value.exceptions[0])

    finish(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="all_errors came with 3.12")
def test_even_a_single_failure_may_be_asked_for_in_a_group(loop):
    async def main():
        with refusing() as one, pytest.raises(ExceptionGroup) as caught:
            await loop.create_connection(Recorder, *one, all_errors=True)
        assert len(caught.value.exceptions) == 1

    finish(loop, main())


@pytest.mark.parametrize(
    ("interleave", "expected"),
    [(None, "66644"), (0, "66644"), (1, "64646"), (2, "66464"), (3, "66644")],
)
def test_families_may_be_interleaved(loop, monkeypatch, interleave, expected):
    async def main():
        with contextlib.ExitStack() as stack:
            newer = [stack.enter_context(refusing("::1")) for _ in range(3)]
            older = [stack.enter_context(refusing()) for _ in range(2)]
            stack.enter_context(resolving(monkeypatch, *newer, *older))
            with pytest.raises(OSError) as caught:
                await loop.create_connection(Recorder, "some.name", 80, interleave=interleave)
        return str(caught.value)

    tried = finish(loop, main()).split("Connect call failed")[1:]
    assert "".join("6" if "::1" in text else "4" for text in tried) == expected


def test_a_slow_address_gives_way_to_the_next(loop, monkeypatch):
    async def main():
        async with serving(Recorder) as (_, port, _):
            with full_listener() as slow, resolving(monkeypatch, slow, ("127.0.0.1", port)):
                transport, protocol = await loop.create_connection(
                    Recorder, "some.name", 80, happy_eyeballs_delay=0.01
                )
                assert transport.get_extra_info("peername") == ("127.0.0.1", port)
                await done_with(transport, protocol)

    finish(loop, main())


def test_a_failing_address_gives_way_at_once(loop, monkeypatch):
    async def main():
        async with serving(Recorder) as (_, port, _):
            with refusing("::1") as bad, resolving(monkeypatch, bad, ("127.0.0.1", port)):
                # The delay is longer than the test may take.
                transport, protocol = await loop.create_connection(
                    Recorder, "some.name", 80, happy_eyeballs_delay=3600
                )
                await done_with(transport, protocol)

    finish(loop, main())


def test_only_one_of_several_answers_is_kept(loop, monkeypatch):
    async def main():
        async with serving(Recorder) as (_, one, first), serving(Recorder, host="::1") as (_, two, second):
            with resolving(monkeypatch, ("127.0.0.1", one), ("::1", two)):
                transport, protocol = await loop.create_connection(
                    Recorder, "some.name", 80, happy_eyeballs_delay=0
                )
                await done_with(transport, protocol)
                await until(lambda: all(p.is_lost for p in first + second))

    finish(loop, main())


WRONG = {
    "nothing": ({}, ValueError, "host and port was not specified and no sock specified"),
    "a name without ssl": (
        {"host": "127.0.0.1", "port": 1, "server_hostname": "name"},
        ValueError,
        "server_hostname is only meaningful with ssl",
    ),
    "a handshake without ssl": (
        {"host": "127.0.0.1", "port": 1, "ssl_handshake_timeout": 1},
        ValueError,
        "ssl_handshake_timeout is only meaningful with ssl",
    ),
    "a shutdown without ssl": (
        {"host": "127.0.0.1", "port": 1, "ssl_shutdown_timeout": 1},
        ValueError,
        "ssl_shutdown_timeout is only meaningful with ssl",
    ),
    "ssl without a name": (
        {"ssl": True, "port": 1},
        ValueError,
        "You must set server_hostname when using ssl without a host",
    ),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_options_that_make_no_sense_are_refused(loop, name):
    options, error, text = WRONG[name]
    with pytest.raises(error) as caught:
        finish(loop, loop.create_connection(Recorder, **options))
    assert str(caught.value) == text


def test_host_and_socket_exclude_each_other(loop):
    with socket.socket() as sock:
        for options in ({"host": "127.0.0.1"}, {"port": 1}):
            with pytest.raises(ValueError, match="host/port and sock can not be specified at the same time"):
                finish(loop, loop.create_connection(Recorder, sock=sock, **options))


def test_only_streams_are_connected(loop):
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(ValueError) as caught:
        finish(loop, loop.create_connection(Recorder, sock=sock))
    assert str(caught.value).startswith("A Stream Socket was expected, got <socket.socket")


def test_a_socket_of_ssl_is_refused(loop):
    with ssl.create_default_context().wrap_socket(socket.socket(), server_hostname="localhost") as sock:
        with pytest.raises(TypeError, match="^Socket cannot be of type SSLSocket$"):
            finish(loop, loop.create_connection(Recorder, sock=sock))


def test_a_socket_of_another_transport_is_refused(loop, loop_name):
    if loop_name == "asyncio" and not (3, 12) <= sys.version_info < (3, 14):
        pytest.skip("older versions do not notice, newer ones close the descriptor that is not theirs")

    async def main():
        async with connected() as (client, _):
            same = socket.socket(fileno=client.transport.get_extra_info("socket").fileno())
            try:
                with pytest.raises(RuntimeError, match="is used by transport"):
                    await loop.create_connection(Recorder, sock=same)
                assert not client.is_lost
            finally:
                same.detach()

    finish(loop, main())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_factory_that_raises_is_an_error(loop):
    def factory():
        raise LookupError("no protocol today")

    async def main():
        async with serving(Recorder) as (_, port, _):
            with pytest.raises(LookupError, match="no protocol today"):
                await loop.create_connection(factory, "127.0.0.1", port)

    finish(loop, main())


def test_an_accepted_socket_may_be_given(loop):
    async def main():
        with tcp_pair(blocking=True) as (one, two):
            transport, protocol = await loop.connect_accepted_socket(Recorder, one)
            two.send(b"hello")
            await until(lambda: protocol.data == b"hello")
            assert transport.get_extra_info("peername") == two.getsockname()
            await done_with(transport, protocol)

    finish(loop, main())


def test_an_accepted_socket_must_be_a_plain_stream(loop):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(ValueError, match="A Stream Socket was expected"):
            finish(loop, loop.connect_accepted_socket(Recorder, sock))
    with socket.socket() as sock:
        with pytest.raises(ValueError, match="ssl_handshake_timeout is only meaningful with ssl"):
            finish(loop, loop.connect_accepted_socket(Recorder, sock, ssl_handshake_timeout=1))

"""create_datagram_endpoint: every option, every refusal."""

import asyncio
import logging
import os
import socket

import pytest
from endpoints import Listener, endpoint, nobody, plain

from toolkit import cancelled, finish, outcome, until


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_datagrams_go_both_ways(loop, host):
    async def main():
        async with endpoint(local_addr=(host, 0)) as (server, heard):
            address = server.get_extra_info("sockname")
            async with endpoint(remote_addr=address[:2]) as (client, answered):
                client.sendto(b"question")
                await until(lambda: heard.received)
                [(question, asker)] = heard.received
                assert asker == client.get_extra_info("sockname")
                server.sendto(b"answer", asker)
                await until(lambda: answered.received)
                return question, answered.received == [(b"answer", address)]

    assert finish(loop, main()) == (b"question", True)


def test_the_transport_says_where_it_is(loop):
    async def main():
        with plain() as peer:
            async with endpoint(local_addr=("127.0.0.1", 0), remote_addr=peer.getsockname()) as (
                transport,
                _,
            ):
                sock = transport.get_extra_info("socket")
                assert sock.getsockname() == transport.get_extra_info("sockname")
                assert transport.get_extra_info("peername") == peer.getsockname()
                assert transport.get_extra_info("nothing") is None
                assert transport.get_extra_info("nothing", 5) == 5
                return sock.type, sock.gettimeout()

    assert finish(loop, main()) == (socket.SOCK_DGRAM, 0)


@pytest.mark.epicycle_only
def test_its_class_is_asyncios(loop):
    async def main():
        async with endpoint(family=socket.AF_INET) as (transport, _):
            return isinstance(transport, asyncio.DatagramTransport)

    assert finish(loop, main())


def test_the_protocol_can_be_switched(loop):
    async def main():
        with plain() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, first):
                second = Listener()
                assert transport.get_protocol() is first
                transport.set_protocol(second)
                assert transport.get_protocol() is second
                peer.sendto(b"news", transport.get_extra_info("sockname"))
                await until(lambda: second.received)
                transport.set_protocol(first)
                return first.received

    assert finish(loop, main()) == []


def test_repr_tells_the_state(loop):
    async def main():
        async with endpoint(local_addr=("127.0.0.1", 0)) as (transport, protocol):
            fd = transport.get_extra_info("socket").fileno()
            await until(lambda: "read=polling" in repr(transport))
            open_ = repr(transport)
            transport.close()
            closing = repr(transport)
            await until(lambda: protocol.is_lost)
            return [text.partition(" ")[2] for text in (open_, closing)], fd, repr(transport)

    (open_, closing), fd, closed = finish(loop, main())
    assert open_ == f"fd={fd} read=polling write=<idle, bufsize=0>>"
    assert closing == f"closing fd={fd} read=idle write=<idle, bufsize=0>>"
    assert "closed" in closed


def test_a_family_alone_is_enough(loop):
    async def main():
        async with endpoint(family=socket.AF_INET) as (transport, _):
            return transport.get_extra_info("sockname")

    assert finish(loop, main()) == ("0.0.0.0", 0)


def test_a_socket_of_ones_own(loop):
    async def main():
        with plain() as peer:
            mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            mine.connect(peer.getsockname())
            async with endpoint(sock=mine) as (transport, _):
                transport.sendto(b"connected")
                return peer.recv(100), mine.gettimeout()

    assert finish(loop, main()) == (b"connected", 0)


@pytest.mark.parametrize("option", ["reuse_port", "allow_broadcast"])
def test_options_reach_the_socket(loop, option):
    number = {"reuse_port": socket.SO_REUSEPORT, "allow_broadcast": socket.SO_BROADCAST}[option]

    async def main():
        found = []
        for value in (True, False, None):
            async with endpoint(local_addr=("127.0.0.1", 0), **{option: value}) as (transport, _):
                sock = transport.get_extra_info("socket")
                found.append(sock.getsockopt(socket.SOL_SOCKET, number))
        return found

    assert finish(loop, main()) == [1, 0, 0]


def test_who_may_broadcast_is_not_connected_but_sends_to_one_place(loop):
    async def main():
        with plain() as peer, plain() as other:
            address = peer.getsockname()
            async with endpoint(remote_addr=address, allow_broadcast=True) as (transport, protocol):
                assert transport.get_extra_info("peername") is None
                transport.sendto(b"one")
                transport.sendto(b"two", address)
                data, mine = peer.recvfrom(100)
                with pytest.raises(ValueError, match="Invalid address: must be None or "):
                    transport.sendto(b"three", other.getsockname())
                other.sendto(b"from elsewhere", mine)
                await until(lambda: protocol.received)
                return data, peer.recv(100), protocol.received == [(b"from elsewhere", other.getsockname())]

    assert finish(loop, main()) == (b"one", b"two", True)


def test_a_port_in_use_is_refused(loop):
    async def main():
        with plain() as taken, pytest.raises(OSError, match="Address already in use"):
            await loop.create_datagram_endpoint(Listener, local_addr=taken.getsockname())

    finish(loop, main())


REFUSED = {
    "neither address nor family": {},
    "a string for an address": {"local_addr": "127.0.0.1"},
    "a triple for an address": {"remote_addr": ("127.0.0.1", 1, 2)},
    "a list for an address": {"remote_addr": ["127.0.0.1", 1]},
    "a tuple for a path": {"local_addr": ("x", 1), "family": socket.AF_UNIX},
    "bytes for a path": {"remote_addr": b"x", "family": socket.AF_UNIX},
    "two families": {"local_addr": ("::1", 0), "remote_addr": ("127.0.0.1", 1)},
    "another family": {"local_addr": ("127.0.0.1", 0), "family": socket.AF_INET6},
    "no such option": {"local_addr": ("127.0.0.1", 0), "reuse_address": True},
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_does_not_fit_is_refused_as_asyncio_refuses_it(loop, name):
    def attempt(loop):
        return loop.run_until_complete(loop.create_datagram_endpoint(Listener, **REFUSED[name]))

    oracle = asyncio.SelectorEventLoop()
    expected = outcome(attempt, oracle)
    oracle.close()
    assert expected[0] == "raised"
    found = outcome(attempt, loop)
    if issubclass(expected[1], TypeError) and "keyword" in expected[2]:
        assert found[1] is TypeError and "reuse_address" in found[2]
    else:
        assert found == expected


@pytest.mark.parametrize(
    "options",
    [
        {"local_addr": ("127.0.0.1", 0)},
        {"family": socket.AF_INET, "reuse_port": True},
        {"allow_broadcast": True},
    ],
    ids=lambda options: " ".join(options),
)
def test_a_socket_and_options_for_one_exclude_each_other(loop, options):
    async def main():
        with plain() as sock:
            with pytest.raises(
                ValueError, match="socket modifier keyword arguments can not be used"
            ) as caught:
                await loop.create_datagram_endpoint(Listener, sock=sock, **options)
            return str(caught.value)

    text = finish(loop, main())
    assert text.endswith("(" + ", ".join(f"{name}={value}" for name, value in options.items()) + ")")


def test_a_stream_socket_is_refused(loop):
    async def main():
        with socket.socket() as sock, pytest.raises(ValueError, match="[Ss]ocket was expected, got <socket"):
            await loop.create_datagram_endpoint(Listener, sock=sock)

    finish(loop, main())


class Unwilling(Exception):
    pass


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_factory_that_raises_leaves_nothing_behind(loop):
    def factory():
        raise Unwilling

    async def main():
        with pytest.raises(Unwilling):
            await loop.create_datagram_endpoint(factory, local_addr=("127.0.0.1", 0))

    finish(loop, main())


def test_cancelled_while_it_begins_it_closes_the_socket(loop):
    protocol = Listener()

    async def main():
        making = loop.create_datagram_endpoint(lambda: protocol, local_addr=("127.0.0.1", 0))
        task = loop.create_task(making)
        await asyncio.sleep(0)
        await cancelled(task)
        await until(lambda: protocol.is_lost)
        return protocol.calls

    assert finish(loop, main()) == ["made", "lost"]


def test_unclosed_endpoints_are_told_of(loop):
    async def main():
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        return transport

    transport = finish(loop, main())
    loop.close()
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        del transport


def test_debug_mode_logs_new_endpoints(loop, caplog):
    loop.set_debug(True)
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main():
        async with endpoint(local_addr=("127.0.0.1", 0)) as (server, _):
            address = server.get_extra_info("sockname")
            async with endpoint(remote_addr=address):
                pass

    finish(loop, main())
    told = [record.getMessage() for record in caplog.records]
    assert any(text.startswith("Datagram endpoint local_addr=('127.0.0.1', 0)") for text in told)
    assert any(text.startswith("Datagram endpoint remote_addr=") for text in told)


# ---- Unix ----


def test_unix_datagrams_by_path(loop, tmp_path):
    one, two = str(tmp_path / "one"), str(tmp_path / "two")

    async def main():
        async with endpoint(local_addr=one, family=socket.AF_UNIX) as (server, heard):
            async with endpoint(local_addr=two, remote_addr=one, family=socket.AF_UNIX) as (client, answered):
                client.sendto(b"question")
                await until(lambda: heard.received)
                assert heard.received == [(b"question", two)]
                server.sendto(b"answer", two)
                await until(lambda: answered.received)
                return answered.received, client.get_extra_info("peername"), server.get_extra_info("sockname")

    assert finish(loop, main()) == ([(b"answer", one)], one, one)


def test_a_stale_socket_file_is_replaced(loop, tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as old:
        old.bind(path)

    async def main():
        async with endpoint(local_addr=path, family=socket.AF_UNIX) as (transport, _):
            return transport.get_extra_info("sockname")

    assert finish(loop, main()) == path


def test_another_file_in_the_way_stays(loop, tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")

    async def main():
        with pytest.raises(OSError, match="Address already in use"):
            await loop.create_datagram_endpoint(Listener, local_addr=str(path), family=socket.AF_UNIX)

    finish(loop, main())
    assert path.read_text() == "precious"


def test_abstract_names_need_no_file(loop):
    name = f"\0epicycle test {os.getpid()} {id(loop)}"

    async def main():
        async with endpoint(local_addr=name, family=socket.AF_UNIX) as (_, heard):
            async with endpoint(remote_addr=name, family=socket.AF_UNIX) as (client, _):
                client.sendto(b"hello")
                await until(lambda: heard.received)
                return heard.received

    # The sender has no name of its own.
    assert finish(loop, main()) == [(b"hello", None)]


@pytest.mark.epicycle_only
def test_an_unnamed_pair_needs_no_addresses(loop):
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    async def main():
        async with endpoint(sock=one) as (_, heard), endpoint(sock=two) as (second, _):
            second.sendto(b"hello")
            await until(lambda: heard.received)
            return heard.received

    assert finish(loop, main()) == [(b"hello", None)]


def test_a_refused_unix_connection_leaves_nothing(loop, tmp_path):
    async def main():
        with pytest.raises(FileNotFoundError):
            await loop.create_datagram_endpoint(
                Listener, remote_addr=str(tmp_path / "nobody"), family=socket.AF_UNIX
            )

    finish(loop, main())


def test_a_name_is_looked_up(loop):
    async def main():
        with nobody() as (_, port):
            async with endpoint(remote_addr=("localhost", port), family=socket.AF_INET) as (transport, _):
                return transport.get_extra_info("peername") == ("127.0.0.1", port)

    assert finish(loop, main())

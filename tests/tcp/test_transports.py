"""What a transport is and tells: its type, its extra information, its protocol, how it is shown."""

import asyncio
import contextvars
import gc
import os
import re
import socket
import sys
import warnings
import weakref

import pytest

from toolkit import Filler, Recorder, attached, connected, finish, quiet, script, turn, until


def test_a_transport_is_one_of_asyncio(loop):
    async def main():
        async with connected() as (client, server):
            for protocol in (client, server):
                transport = protocol.transport
                assert isinstance(transport, asyncio.Transport)
                assert isinstance(transport, asyncio.ReadTransport)
                assert isinstance(transport, asyncio.WriteTransport)
                assert isinstance(transport, asyncio.BaseTransport)
                assert not isinstance(transport, asyncio.DatagramTransport)
                assert weakref.ref(transport)() is transport
                assert {transport: 1}[transport] == 1

    finish(loop, main())


def test_both_ends_know_their_addresses(loop):
    async def main():
        async with connected() as (client, server):
            mine, theirs = client.transport.get_extra_info, server.transport.get_extra_info
            assert mine("sockname") == theirs("peername")
            assert mine("peername") == theirs("sockname")
            assert mine("peername")[0] == "127.0.0.1"

    finish(loop, main())


def test_the_socket_of_a_transport_can_be_looked_at_but_not_closed(loop):
    async def main():
        async with connected() as (client, _):
            sock = client.transport.get_extra_info("socket")
            assert type(sock) is asyncio.trsock.TransportSocket
            assert sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM
            assert sock.getsockname() == client.transport.get_extra_info("sockname")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert sock.gettimeout() == 0
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert not hasattr(sock, "close") and not hasattr(sock, "recv")

    finish(loop, main())


def test_what_is_not_known_has_a_default(loop):
    async def main():
        async with connected() as (client, _):
            assert client.transport.get_extra_info("nonsense") is None
            assert client.transport.get_extra_info("nonsense", "default") == "default"
            assert client.transport.get_extra_info("sslcontext") is None

    finish(loop, main())


def test_after_the_end_the_information_is_still_there(loop):
    async def main():
        async with connected() as (client, server):
            transport = client.transport
            known = {key: transport.get_extra_info(key) for key in ("sockname", "peername")}
            transport.close()
            await until(lambda: client.is_lost and server.is_lost)
            assert {key: transport.get_extra_info(key) for key in known} == known
            assert transport.get_extra_info("socket").fileno() == -1
            assert transport.get_extra_info("nonsense", 5) == 5

    finish(loop, main())


def test_after_the_end_everything_is_harmless(loop):
    async def main():
        async with connected() as (client, server):
            transport = client.transport
            transport.close()
            await until(lambda: client.is_lost and server.is_lost)
            events = list(client.events)
            transport.close()
            transport.abort()
            transport.pause_reading()
            transport.resume_reading()
            transport.write(b"into the void")
            transport.write_eof()
            transport.set_write_buffer_limits(10)
            assert transport.get_write_buffer_size() == 0
            assert transport.is_closing() is True
            assert transport.is_reading() is False
            assert transport.can_write_eof() is True
            assert transport.get_protocol() is None
            await quiet()
            assert client.events == events

    finish(loop, main())


def test_the_protocol_can_be_exchanged(loop):
    async def main():
        async with connected() as (client, server):
            assert client.transport.get_protocol() is client
            server.transport.write(b"first")
            await until(lambda: client.data == b"first")
            second = Recorder()
            client.transport.set_protocol(second)
            assert client.transport.get_protocol() is second
            server.transport.write(b"second")
            await until(lambda: second.data == b"second")
            assert client.data == b"first" and second.events == ["data"]
            client.transport.set_protocol(client)

    finish(loop, main())


def test_a_plain_protocol_and_a_buffered_one_can_be_exchanged(loop):
    async def main():
        async with connected() as (client, server):
            transport = client.transport
            for protocol in (Filler(), Recorder(), Filler(3)):
                transport.set_protocol(protocol)
                server.transport.write(b"some data")
                await until(lambda p=protocol: p.data == b"some data")
            transport.set_protocol(client)
            assert client.events == ["made"]

    finish(loop, main())


def test_a_protocol_may_be_exchanged_while_data_arrives(loop):
    class First(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.set_protocol(self.second)

    async def main():
        first, second = First(), Recorder()
        first.second = second
        async with attached(first) as (transport, peer):
            peer.send(b"one")
            await until(lambda: first.data == b"one")
            peer.send(b"two")
            await until(lambda: second.data == b"two")
            transport.set_protocol(first)

    finish(loop, main())


def test_connection_lost_reaches_the_protocol_of_the_moment(loop):
    async def main():
        async with connected() as (client, server):
            second = Recorder()
            client.transport.set_protocol(second)
            client.transport.close()
            await until(lambda: second.is_lost)
            assert second.events == ["lost"] and not client.is_lost
            client.is_lost = True
            await until(lambda: server.is_lost)

    finish(loop, main())


@pytest.mark.parametrize("debug", [False, True])
def test_a_transport_shows_its_state(loop, debug):
    loop.set_debug(debug)

    async def main():
        async with connected() as (client, server):
            transport = client.transport
            name = type(transport).__name__
            fd = transport.get_extra_info("socket").fileno()
            assert repr(transport) == f"<{name} fd={fd} read=polling write=<idle, bufsize=0>>"
            transport.pause_reading()
            assert repr(transport) == f"<{name} fd={fd} read=idle write=<idle, bufsize=0>>"
            transport.resume_reading()
            server.transport.pause_reading()
            transport.write(bytes(20_000_000))
            size = transport.get_write_buffer_size()
            assert repr(transport) == f"<{name} fd={fd} read=polling write=<polling, bufsize={size}>>"
            transport.close()
            assert re.match(
                rf"<{name} closing fd={fd} read=idle write=<polling, bufsize=\d+>>", repr(transport)
            )
            transport.abort()
            await until(lambda: client.is_lost)
            assert repr(transport) == f"<{name} closed fd={fd}>"

    finish(loop, main())


def test_in_debug_mode_connections_work_the_same(loop):
    loop.set_debug(True)

    async def main():
        async with connected() as (client, server):
            client.transport.write(b"ping")
            await until(lambda: server.data == b"ping")
            client.transport.pause_reading()
            client.transport.resume_reading()
            client.transport.write_eof()
            await until(lambda: client.is_lost and server.is_lost)
            assert server.order() == ["made", "data", "eof", "lost"]

    finish(loop, main())


def test_the_socket_may_be_asked_for_while_it_is_being_made(loop, monkeypatch):
    """As another thread may, or a finaliser."""
    made = []

    async def main():
        async with connected() as (client, server):
            transport = server.transport
            original = socket.socket.__init__

            def ask_first(*args, **kwargs):
                monkeypatch.undo()
                made.append(transport.get_extra_info("socket"))
                original(*args, **kwargs)

            monkeypatch.setattr(socket.socket, "__init__", ask_first)
            made.append(transport.get_extra_info("socket"))
            assert len({sock.fileno() for sock in made}) == 1
            del made[:]
            gc.collect()
            client.transport.write(b"still there")
            await until(lambda: server.data == b"still there")

    finish(loop, main())
    monkeypatch.undo()


def test_a_transport_never_closed_warns(loop_factory):
    loop = loop_factory()
    one, two = socket.socketpair()
    with two:
        transport, protocol = loop.run_until_complete(loop.create_connection(Recorder, sock=one))
        fd = one.fileno()
        loop.close()
        del one
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del transport, protocol
            gc.collect()
        texts = [str(w.message) for w in caught if w.category is ResourceWarning]
        told = [text for text in texts if text.startswith("unclosed transport <")]
        assert told and f"fd={fd}" in told[0] and "closed fd" not in told[0], texts
        with pytest.raises(OSError):
            os.fstat(fd)


def test_the_interpreter_may_end_with_a_connection_open(loop_name):
    done = script(
        loop_name,
        """
import asyncio

loop = new_loop()


async def main():
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    pair = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    return server, pair


kept = loop.run_until_complete(main())
""",
    )
    assert done.stderr == ""


def test_a_closed_transport_goes_quietly(loop):
    async def main():
        async with connected() as (client, server):
            client.transport.close()
            await until(lambda: client.is_lost and server.is_lost)
            return weakref.ref(client.transport)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reference = finish(loop, main())
        turn(loop, 2)
        gc.collect()
    assert reference() is None
    assert [str(w.message) for w in caught] == []


def test_limits_can_be_read_and_set(loop):
    async def main():
        async with connected() as (client, _):
            transport = client.transport
            assert transport.get_write_buffer_limits() == (16384, 65536)
            for options, expected in [
                ({"high": 1000}, (250, 1000)),
                ({"low": 100}, (100, 400)),
                ({"high": 100, "low": 50}, (50, 100)),
                ({"high": 0}, (0, 0)),
                ({"high": 10, "low": 10}, (10, 10)),
                ({}, (16384, 65536)),
            ]:
                assert transport.set_write_buffer_limits(**options) is None
                assert transport.get_write_buffer_limits() == expected
            for high, low in [(10, 20), (10, -1), (-1, None)]:
                with pytest.raises(ValueError) as caught:
                    transport.set_write_buffer_limits(high=high, low=low)
                shown = -1 // 4 if low is None else low
                assert str(caught.value) == f"high ({high!r}) must be >= low ({shown!r}) must be >= 0"
            assert transport.get_write_buffer_limits() == (16384, 65536)

    finish(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 15), reason="a connection has a context of its own from 3.15 on")
def test_every_call_of_a_protocol_is_in_the_context_of_its_connection(loop):
    variable = contextvars.ContextVar("variable", default="unset")

    class Contextual(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.seen = [variable.get()]
            variable.set("set by connection_made")

        def data_received(self, data):
            super().data_received(data)
            self.seen.append(variable.get())

        def connection_lost(self, exc):
            super().connection_lost(exc)
            self.seen.append(variable.get())

    async def main():
        variable.set("set by the caller")
        protocol = Contextual()
        async with attached(protocol) as (transport, peer):
            peer.send(b"x")
            await until(lambda: protocol.data)
            transport.close()
            await until(lambda: protocol.is_lost)
        return protocol.seen

    seen = finish(loop, main())
    assert seen == ["set by the caller", "set by connection_made", "set by connection_made"]

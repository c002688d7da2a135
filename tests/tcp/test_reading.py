"""Reading: plain and buffered protocols, pausing, the end of the stream, protocols that raise."""

import asyncio
import socket

import pytest

from toolkit import Filler, Recorder, attached, connected, finish, quiet, until


def test_data_is_bytes(loop):
    kinds = []

    class Kinds(Recorder):
        def data_received(self, data):
            super().data_received(data)
            kinds.append(type(data))

    async def main():
        protocol = Kinds()
        async with attached(protocol) as (_, peer):
            peer.send(b"x")
            await until(lambda: protocol.data == b"x")

    finish(loop, main())
    assert kinds == [bytes]


def test_connection_made_comes_before_anything_else(loop):
    async def main():
        one, two = socket.socketpair()
        with two:
            two.send(b"already there")
            two.shutdown(socket.SHUT_WR)
            protocol = Recorder()
            await loop.create_connection(lambda: protocol, sock=one)
            await until(lambda: protocol.is_lost)
            return protocol.order()

    assert finish(loop, main()) == ["made", "data", "eof", "lost"]


def test_reading_can_be_paused_and_resumed(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            assert transport.is_reading() is True
            assert transport.pause_reading() is None
            assert transport.is_reading() is False
            transport.pause_reading()
            peer.send(b"kept back")
            await quiet()
            assert protocol.data == b""
            assert transport.resume_reading() is None
            assert transport.is_reading() is True
            transport.resume_reading()
            await until(lambda: protocol.data == b"kept back")

    finish(loop, main())


def test_reading_may_be_paused_from_the_start(loop):
    class Paused(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        protocol = Paused()
        async with attached(protocol) as (transport, peer):
            assert transport.is_reading() is False
            peer.send(b"kept back")
            await quiet()
            assert protocol.data == b""
            transport.resume_reading()
            await until(lambda: protocol.data == b"kept back")

    finish(loop, main())


def test_reading_may_be_paused_by_what_arrives(loop):
    class OneAtATime(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async def main():
        protocol = OneAtATime()
        async with attached(protocol) as (transport, peer):
            peer.send(bytes(100_000))
            await until(lambda: protocol.data)
            first = len(protocol.data)
            peer.send(b"more")
            await quiet()
            assert len(protocol.data) == first
            while len(protocol.data) < 100_004:
                transport.resume_reading()
                await asyncio.sleep(0)

    finish(loop, main())


def test_the_end_is_held_back_as_well_while_paused(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            transport.pause_reading()
            peer.close()
            await quiet()
            assert protocol.events == ["made"]
            transport.resume_reading()
            await until(lambda: protocol.is_lost)
            assert protocol.events == ["made", "eof", "lost"]

    finish(loop, main())


def test_nothing_is_received_after_closing(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            peer.send(b"too late")
            transport.close()
            transport.resume_reading()
            assert transport.is_reading() is False
            await until(lambda: protocol.is_lost)
            assert protocol.events == ["made", "lost"]

    finish(loop, main())


def test_closing_inside_data_received_ends_reading(loop):
    class Once(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.close()

    async def main():
        protocol = Once()
        async with attached(protocol) as (_, peer):
            peer.send(bytes(3_000_000)[: 1 << 20])
            await until(lambda: protocol.is_lost)
            assert protocol.events == ["made", "data", "lost"]
            assert protocol.lost is None

    finish(loop, main())


def test_aborting_inside_data_received_ends_reading(loop):
    class Once(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(b"never sent" * 1_000_000)
            self.transport.abort()

    async def main():
        protocol = Once()
        async with attached(protocol) as (_, peer):
            peer.send(b"x")
            await until(lambda: protocol.is_lost)
            assert protocol.order() == ["made", "data", "pause", "lost"]

    finish(loop, main())


def test_the_end_of_the_stream_closes(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: protocol.is_lost)
            assert protocol.events == ["made", "eof", "lost"] and protocol.lost is None
            assert transport.is_closing()

    finish(loop, main())


def test_a_protocol_may_keep_the_connection_open_at_the_end(loop):
    class Open(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    async def main():
        protocol = Open()
        async with attached(protocol) as (transport, peer):
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: "eof" in protocol.events)
            await quiet()
            assert protocol.events == ["made", "eof"] and not transport.is_closing()
            transport.write(b"still talking")
            assert await loop.sock_recv(peer, 100) == b"still talking"
            transport.close()
            await until(lambda: protocol.is_lost)

    finish(loop, main())


def test_a_reset_ends_the_connection(loop, errors):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (_, peer):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
            await until(lambda: protocol.is_lost)
            assert isinstance(protocol.lost, ConnectionResetError)
            assert protocol.events == ["made", "lost"]

    finish(loop, main())
    assert errors == []


CALLS = {"data_received": b"x", "eof_received": None}


@pytest.mark.parametrize("method", list(CALLS))
def test_a_protocol_that_raises_loses_its_connection(loop, errors, method):
    error = ValueError("odd")

    class Raising(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if method == "data_received":
                raise error

        def eof_received(self):
            super().eof_received()
            raise error

    async def main():
        protocol = Raising()
        async with attached(protocol) as (transport, peer):
            peer.send(b"x") if method == "data_received" else peer.shutdown(socket.SHUT_WR)
            await until(lambda: protocol.is_lost)
            assert protocol.lost is error
            (context,) = errors
            assert context["message"] == f"Fatal error: protocol.{method}() call failed."
            assert context["exception"] is error
            assert context["transport"] is transport and context["protocol"] is protocol
            errors.clear()

    finish(loop, main())


@pytest.mark.parametrize("method", ["connection_made", "data_received", "eof_received", "connection_lost"])
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_the_two_that_end_programs_leave_the_loop(loop, method, kind):
    def leave(*args):
        raise kind(method)

    protocol = Recorder()
    one, two = socket.socketpair()
    with two:
        task = loop.create_task(loop.create_connection(lambda: protocol, sock=one))
        setattr(protocol, method, leave) if method == "connection_made" else None
        if method == "connection_made":
            with pytest.raises(kind, match=method):
                loop.run_forever()
            transport, _ = finish(loop, task)
        else:
            transport, _ = finish(loop, task)
            setattr(protocol, method, leave)
            if method == "data_received":
                two.send(b"x")
            elif method == "eof_received":
                two.shutdown(socket.SHUT_WR)
            else:
                transport.close()
            loop.call_later(10, loop.stop)
            with pytest.raises(kind, match=method):
                loop.run_forever()
        protocol.connection_lost = lambda exc: None
        transport.abort()
        finish(loop, asyncio.sleep(0))


def test_connection_made_that_raises_is_reported_and_the_connection_stays(loop, errors):
    error = ValueError("odd")

    class Raising(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise error

    async def main():
        protocol = Raising()
        async with attached(protocol) as (transport, peer):
            (context,) = errors
            assert context["exception"] is error
            assert "connection_made" in context["message"]
            peer.send(b"still read")
            await until(lambda: protocol.data == b"still read")
            assert not transport.is_closing()
        errors.clear()

    finish(loop, main())


def test_connection_lost_that_raises_is_reported_and_the_socket_is_closed(loop, errors):
    error = ValueError("odd")

    class Raising(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise error

    async def main():
        protocol = Raising()
        async with attached(protocol) as (transport, _):
            transport.close()
            await until(lambda: protocol.is_lost)
            (context,) = errors
            assert context["exception"] is error
            assert context["message"].startswith("Exception in callback ")
            assert transport.get_extra_info("socket").fileno() == -1
        errors.clear()

    finish(loop, main())


@pytest.mark.parametrize("size", [1, 2, 7, 65536])
def test_a_buffered_protocol_is_filled(loop, size):
    async def main():
        protocol = Filler(size)
        async with attached(protocol) as (_, peer):
            for piece in (b"one", b"two and more", b"three"):
                peer.send(piece)
            await until(lambda: len(protocol.data) == 20)
            assert protocol.data == b"onetwo and morethree"
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: protocol.is_lost)
            assert protocol.events[-2:] == ["eof", "lost"]

    finish(loop, main())


def test_a_buffered_protocol_gets_a_large_payload_whole(loop):
    payload = bytes(range(256)) * 20_000

    async def main():
        async with connected(client=Filler) as (client, server):
            server.transport.write(payload)
            await until(lambda: len(client.data) == len(payload))
            return client.data == payload

    assert finish(loop, main(), timeout=30)


def test_a_buffered_protocol_is_asked_with_a_hint(loop):
    hints = []

    class Hinted(Filler):
        def get_buffer(self, sizehint):
            hints.append(sizehint)
            return memoryview(self.buffer)

    async def main():
        protocol = Hinted()
        async with attached(protocol) as (_, peer):
            peer.send(b"x")
            await until(lambda: protocol.data == b"x")

    finish(loop, main())
    assert set(hints) == {-1}


def test_a_buffered_protocol_may_pause(loop):
    class Pausing(Filler):
        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            self.transport.pause_reading()

    async def main():
        protocol = Pausing(4)
        async with attached(protocol) as (transport, peer):
            peer.send(b"12345678")
            await until(lambda: protocol.data)
            await quiet()
            assert protocol.data == b"1234"
            transport.resume_reading()
            await until(lambda: protocol.data == b"12345678")

    finish(loop, main())


def raising(error):
    def body(*args):
        raise error

    return body


WRONG_BUFFERS = {
    "raises": (raising(LookupError("none")), LookupError, "protocol.get_buffer() call failed."),
    "empty": (lambda hint: bytearray(), RuntimeError, "protocol.get_buffer() call failed."),
    "empty view": (lambda hint: memoryview(b""), RuntimeError, "protocol.get_buffer() call failed."),
    "nothing": (lambda hint: None, TypeError, "protocol.get_buffer() call failed."),
    "a number": (lambda hint: 5, TypeError, "protocol.get_buffer() call failed."),
    "read-only": (lambda hint: b"constant", TypeError, "Fatal read error on socket transport"),
    "text": (lambda hint: "text", TypeError, "Fatal read error on socket transport"),
}


@pytest.mark.parametrize("name", list(WRONG_BUFFERS))
def test_a_wrong_buffer_loses_the_connection(loop, errors, name):
    get_buffer, kind, message = WRONG_BUFFERS[name]

    async def main():
        protocol = Filler()
        protocol.get_buffer = get_buffer
        async with attached(protocol) as (transport, peer):
            peer.send(b"x")
            await until(lambda: protocol.is_lost)
            assert type(protocol.lost) is kind
            (context,) = errors
            assert context["exception"] is protocol.lost
            assert context["message"].removeprefix("Fatal error: ") == message
            assert context["transport"] is transport and context["protocol"] is protocol
            if name.startswith("empty"):
                assert str(protocol.lost) == "get_buffer() returned an empty buffer"
        errors.clear()

    finish(loop, main())


def test_buffer_updated_that_raises_loses_the_connection(loop, errors):
    async def main():
        protocol = Filler()
        protocol.buffer_updated = raising(LookupError("odd"))
        async with attached(protocol) as (_, peer):
            peer.send(b"x")
            await until(lambda: protocol.is_lost)
            assert errors[0]["message"] == "Fatal error: protocol.buffer_updated() call failed."
            assert isinstance(protocol.lost, LookupError)
        errors.clear()

    finish(loop, main())


def test_methods_replaced_on_a_protocol_are_called(loop):
    # Protocols are patched by tests and by wrappers after the connection is made.
    seen = []

    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            peer.send(b"one")
            await until(lambda: protocol.data == b"one")
            protocol.data_received = seen.append
            transport.set_protocol(protocol)
            peer.send(b"two")
            await until(lambda: seen == [b"two"])

    finish(loop, main())


def test_a_protocol_of_any_type_will_do(loop):
    class Duck:
        is_lost = False
        data = b""

        def connection_made(self, transport):
            pass

        def data_received(self, data):
            self.data += data

        def connection_lost(self, exc):
            self.is_lost = True

        def eof_received(self):
            return None

    async def main():
        protocol = Duck()
        async with attached(protocol) as (_, peer):
            peer.send(b"quack")
            await until(lambda: protocol.data == b"quack")

    finish(loop, main())


def test_a_connection_in_a_busy_loop_is_read_all_the_same(loop):
    async def main():
        async with connected() as (client, server):
            busy = [True]

            def spin():
                if busy[0]:
                    loop.call_soon(spin)

            spin()
            client.transport.write(b"through the noise")
            await until(lambda: server.data == b"through the noise")
            busy[0] = False

    finish(loop, main())

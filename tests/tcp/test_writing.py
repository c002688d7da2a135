"""Writing: what may be written, flow control, what is written too late."""

import array
import asyncio
import logging
import socket
import sys

import pytest

from toolkit import Recorder, attached, connected, finish, until


async def read_all(peer, size):
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        chunk = await loop.sock_recv(peer, 1 << 20)
        if not chunk:
            break
        data += chunk
    return bytes(data)


def pattern(size):
    """Bytes in which any displacement shows."""
    return array.array("I", range((size + 3) // 4)).tobytes()[:size]


@pytest.mark.parametrize(
    "data",
    [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"memoryview"),
        memoryview(bytearray(b"of a bytearray")),
        memoryview(b"0123456789")[2:5],
        memoryview(array.array("I", range(10))),
        memoryview(array.array("d", [1.5, 2.5])),
    ],
    ids=lambda data: f"{type(data).__name__} {bytes(data)!r:.20}",
)
def test_bytes_of_every_kind_are_written(loop, data):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            assert transport.write(data) is None
            return await read_all(peer, len(bytes(data)))

    assert finish(loop, main()) == bytes(data)


@pytest.mark.epicycle_only
def test_views_of_wider_items_are_written_whole(loop):
    data = array.array("I", range(2_000_000))

    async def main():
        async with attached(Recorder()) as (transport, peer):
            transport.write(memoryview(data))
            return await read_all(peer, data.itemsize * len(data))

    assert finish(loop, main()) == data.tobytes()


@pytest.mark.parametrize("data", ["text", None, 5, [b"list"], array.array("B", b"array"), object()], ids=repr)
def test_what_is_not_bytes_is_refused(loop, data):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            # How the error names what it wants differs between versions.
            with pytest.raises(TypeError, match=f"data argument must be .*not '{type(data).__name__}'"):
                transport.write(data)
            transport.write(b"unharmed")
            return await read_all(peer, 8)

    assert finish(loop, main()) == b"unharmed"


@pytest.mark.parametrize("data", [b"", bytearray(), memoryview(b"")], ids=lambda data: type(data).__name__)
def test_writing_nothing_does_nothing(loop, data):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            transport.write(data)
            assert transport.get_write_buffer_size() == 0
            transport.write(b"x")
            return await read_all(peer, 1)

    assert finish(loop, main()) == b"x"


@pytest.mark.parametrize("kind", [list, tuple])
def test_several_pieces_are_written_in_order(loop, kind):
    pieces = [b"one ", bytearray(b"two "), memoryview(b"three"), b"!"]

    async def main():
        async with attached(Recorder()) as (transport, peer):
            assert transport.writelines(kind(pieces)) is None
            return await read_all(peer, 14)

    assert finish(loop, main()) == b"one two three!"


def test_no_pieces_are_no_data(loop):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            transport.writelines([])
            assert transport.get_write_buffer_size() == 0
            transport.write(b"x")
            return await read_all(peer, 1)

    assert finish(loop, main()) == b"x"


def test_more_pieces_than_one_call_takes(loop):
    pieces = [b"%06d" % number for number in range(5000)]

    async def main():
        async with attached(Recorder()) as (transport, peer):
            transport.writelines(pieces)
            return await read_all(peer, 6 * len(pieces))

    assert finish(loop, main()) == b"".join(pieces)


@pytest.mark.parametrize("pieces", [["text"], [b"x", 5], 5])
def test_pieces_that_are_not_bytes_are_refused(loop, pieces):
    async def main():
        async with attached(Recorder()) as (transport, _):
            with pytest.raises(TypeError):
                transport.writelines(pieces)

    finish(loop, main())


def test_a_large_payload_arrives_whole_both_ways(loop):
    payload = pattern(8_000_000)

    async def main():
        async with connected() as (client, server):
            client.transport.write(payload)
            server.transport.write(payload[::-1])
            await until(lambda: len(client.data) == len(server.data) == len(payload))
            return server.data == payload, client.data == payload[::-1]

    assert finish(loop, main(), timeout=30) == (True, True)


def test_many_small_writes_arrive_in_order(loop):
    async def main():
        async with connected() as (client, server):
            for number in range(20_000):
                client.transport.write(b"%05d," % number)
            await until(lambda: len(server.data) == 6 * 20_000)
            return bytes(server.data)

    assert finish(loop, main(), timeout=30) == b"".join(b"%05d," % number for number in range(20_000))


def test_writes_between_waits_of_a_slow_reader_keep_their_order(loop):
    payload = [pattern(300_000)[number:] for number in range(30)]

    async def main():
        async with attached(Recorder()) as (transport, peer):
            received = bytearray()
            for piece in payload:
                transport.write(piece)
                received += await loop.sock_recv(peer, 100_000)
            received += await read_all(peer, sum(map(len, payload)) - len(received))
            return bytes(received)

    assert finish(loop, main()) == b"".join(payload)


def test_what_the_system_does_not_take_is_counted(loop):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            assert transport.get_write_buffer_size() == 0
            transport.write(bytes(20_000_000))
            first = transport.get_write_buffer_size()
            assert 0 < first < 20_000_000
            transport.write(bytes(1000))
            assert transport.get_write_buffer_size() == first + 1000
            await read_all(peer, 20_001_000)
            await until(lambda: transport.get_write_buffer_size() == 0)

    finish(loop, main())


def test_the_protocol_is_paused_once_and_resumed_once(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            transport.set_write_buffer_limits(high=100_000, low=50_000)
            transport.write(bytes(20_000_000))
            assert protocol.events == ["made", "pause"]
            transport.write(bytes(1000))
            assert protocol.events == ["made", "pause"]
            sizes = []
            resume = protocol.resume_writing
            protocol.resume_writing = lambda: (sizes.append(transport.get_write_buffer_size()), resume())
            await read_all(peer, 20_001_000)
            await until(lambda: transport.get_write_buffer_size() == 0)
            assert protocol.events == ["made", "pause", "resume"]
            assert sizes[0] <= 50_000
            transport.write(bytes(20_000_000))
            assert protocol.events == ["made", "pause", "resume", "pause"]

    finish(loop, main())


def test_up_to_the_limit_nobody_is_paused(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            transport.set_write_buffer_limits(high=100_000_000)
            transport.write(bytes(20_000_000))
            left = transport.get_write_buffer_size()
            transport.set_write_buffer_limits(high=left)
            assert protocol.events == ["made"]
            transport.write(b"x")
            assert protocol.events == ["made", "pause"]
            await read_all(peer, 20_000_001)
            await until(lambda: transport.get_write_buffer_size() == 0)
            assert protocol.events == ["made", "pause", "resume"]

    finish(loop, main())


def test_lowering_the_limit_pauses(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            transport.set_write_buffer_limits(high=100_000_000)
            transport.write(bytes(20_000_000))
            assert protocol.events == ["made"]
            transport.set_write_buffer_limits(high=10)
            assert protocol.events == ["made", "pause"]
            await read_all(peer, 20_000_000)
            await until(lambda: protocol.events[-1] == "resume")

    finish(loop, main())


def test_a_limit_of_nothing_pauses_on_anything_left(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            transport.set_write_buffer_limits(high=0)
            transport.write(b"taken at once")
            assert protocol.events == ["made"]
            transport.write(bytes(20_000_000))
            assert protocol.events == ["made", "pause"]
            await read_all(peer, 20_000_013)
            await until(lambda: protocol.events[-1] == "resume")
            assert transport.get_write_buffer_size() == 0

    finish(loop, main())


@pytest.mark.skipif((3, 12) <= sys.version_info < (3, 14), reason="these versions forget it")
def test_several_pieces_pause_too(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, _):
            transport.writelines([bytes(10_000_000), bytes(10_000_000)])
            assert protocol.events == ["made", "pause"]

    finish(loop, main())


def test_errors_of_pausing_and_resuming_are_reported(loop, errors):
    class Touchy(Recorder):
        def pause_writing(self):
            super().pause_writing()
            raise ValueError("pause")

        def resume_writing(self):
            super().resume_writing()
            raise ValueError("resume")

    async def main():
        protocol = Touchy()
        async with attached(protocol) as (transport, peer):
            transport.write(bytes(20_000_000))
            await read_all(peer, 20_000_000)
            await until(lambda: transport.get_write_buffer_size() == 0)
            assert not protocol.is_lost
            for context, word in zip(errors, ("pause", "resume"), strict=True):
                assert context["message"] == f"protocol.{word}_writing() failed"
                assert str(context["exception"]) == word
                assert context["transport"] is transport and context["protocol"] is protocol
            errors.clear()

    finish(loop, main())


def test_a_protocol_may_write_when_it_is_resumed(loop):
    class Eager(Recorder):
        def resume_writing(self):
            super().resume_writing()
            if self.events.count("resume") == 1:
                self.transport.write(b"the end")

    async def main():
        protocol = Eager()
        async with attached(protocol) as (transport, peer):
            transport.write(bytes(20_000_000))
            data = await read_all(peer, 20_000_007)
            return data[-7:]

    assert finish(loop, main()) == b"the end"


def test_writing_after_the_end_of_writing_is_refused(loop):
    async def main():
        async with attached(Recorder()) as (transport, _):
            assert transport.can_write_eof() is True
            transport.write_eof()
            transport.write_eof()
            with pytest.raises(RuntimeError, match=r"^Cannot call write\(\) after write_eof\(\)$"):
                transport.write(b"late")
            with pytest.raises(RuntimeError, match=r"^Cannot call write(lines)?\(\) after write_eof\(\)$"):
                transport.writelines([b"late"])

    finish(loop, main())


def test_writing_after_closing_is_ignored_and_logged_when_it_goes_on(loop, caplog):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            transport.write(b"in time")
            transport.close()
            for _ in range(4):
                transport.write(b"late")
            assert caplog.records == []
            for _ in range(4):
                transport.write(b"late")
            assert transport.get_write_buffer_size() == 0
            return await read_all(peer, 100)

    with caplog.at_level(logging.WARNING, "asyncio"):
        assert finish(loop, main()) == b"in time"
    texts = {record.getMessage() for record in caplog.records}
    assert texts == {"socket.send() raised exception."}


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 14), reason="these versions raise a TypeError of their own"
)
def test_several_pieces_after_closing_are_ignored(loop):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            transport.close()
            transport.writelines([b"late"])
            return await read_all(peer, 100)

    assert finish(loop, main()) == b""


def test_a_peer_that_is_gone_ends_the_connection(loop, errors):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            transport.pause_reading()
            peer.close()
            while not protocol.is_lost:
                transport.write(bytes(100_000))
                await asyncio.sleep(0)
            assert isinstance(protocol.lost, ConnectionError)
            assert transport.is_closing() and transport.get_write_buffer_size() == 0

    finish(loop, main())
    # An error of the network is the protocol's business alone.
    assert errors == []


def test_a_reset_while_writing_ends_the_connection(loop, errors):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            transport.write(bytes(20_000_000))
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
            await until(lambda: protocol.is_lost)
            assert isinstance(protocol.lost, ConnectionError)
            assert protocol.events.count("lost") == 1

    finish(loop, main())
    assert errors == []


def test_writing_inside_connection_made(loop):
    class Greeter(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"welcome")

    async def main():
        async with connected(server=Greeter) as (client, _):
            await until(lambda: client.data == b"welcome")
            assert client.order() == ["made", "data"]

    finish(loop, main())

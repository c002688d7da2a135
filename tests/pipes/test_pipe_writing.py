"""connect_write_pipe: what reaches the reader, flow control, and how the end is noticed."""

import asyncio
import gc
import logging
import os
import socket
from io import FileIO

import pytest

from toolkit import Recorder, finish, join_all, parked_thread, until


class Writer(asyncio.BaseProtocol):
    """Notes what it is told."""

    def __init__(self):
        self.events = []
        self.transport = None
        self.lost = None
        self.is_lost = False

    def connection_made(self, transport):
        self.events.append("made")
        self.transport = transport

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, exc):
        self.events.append("lost")
        self.lost = exc
        self.is_lost = True


async def writing(pipe):
    return await asyncio.get_running_loop().connect_write_pipe(Writer, pipe.writing)


def test_writes_reach_the_reader_at_once_and_the_file_is_closed_at_the_end(loop, pipe):
    async def main():
        transport, protocol = await writing(pipe)
        assert isinstance(transport, asyncio.Transport)
        assert transport.get_extra_info("pipe") is pipe.writing
        assert transport.get_protocol() is protocol
        assert not os.get_blocking(pipe.writing.fileno())
        transport.write(b"bytes ")
        transport.write(bytearray(b"bytearray "))
        transport.write(memoryview(b"a memoryview")[2:])
        transport.write(b"")
        transport.writelines([b" and", b" lines"])
        assert pipe.reading.read(1000) == b"bytes bytearray memoryview and lines"
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert protocol.events == ["made"], "not before the next turn"
        await until(lambda: pipe.writing.closed)
        assert protocol.events == ["made", "lost"]
        assert protocol.lost is None
        assert pipe.reading.read() == b""

    finish(loop, main())


def test_what_is_not_bytes_like_is_refused(loop, pipe):
    async def main():
        transport, protocol = await writing(pipe)
        with pytest.raises(AssertionError, match="'text'"):
            transport.write("text")
        with pytest.raises(AssertionError, match="7"):
            transport.write(7)
        transport.close()
        await until(lambda: protocol.is_lost)

    finish(loop, main())


def test_more_than_the_kernel_takes_is_queued_and_arrives_in_order(loop, pipe):
    async def main():
        transport, protocol = await writing(pipe)
        data = bytearray(os.urandom(300_000))
        copy = bytes(data)
        transport.write(data)
        assert 0 < transport.get_write_buffer_size() < len(data)
        data[:] = bytes(len(data))
        for start in range(0, 1_000_000, 7919):
            transport.write(copy[start : start + 7919])
        transport.write_eof()
        assert transport.is_closing()
        received = bytearray()
        thread = parked_thread(lambda: received.extend(pipe.reading.read()))
        await until(lambda: protocol.is_lost)
        join_all(thread)
        assert received == copy + copy
        assert protocol.lost is None
        assert transport.get_write_buffer_size() == 0

    finish(loop, main())


def test_flow_control_pauses_and_resumes_the_protocol(loop, pipe):
    async def main():
        transport, protocol = await writing(pipe)
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        with pytest.raises(ValueError, match=r"high \(1\) must be >= low \(2\) must be >= 0"):
            transport.set_write_buffer_limits(high=1, low=2)
        filled = pipe.fill()
        transport.write(b"x" * 1000)
        assert protocol.events == ["made"]
        transport.write(b"y")
        assert protocol.events == ["made", "pause"]
        transport.write(b"z")
        assert transport.get_write_buffer_size() == 1002
        read = pipe.reading.read(len(filled))
        await until(lambda: transport.get_write_buffer_size() == 0)
        assert protocol.events == ["made", "pause", "resume"]
        assert read + pipe.reading.read(2000) == filled + b"x" * 1000 + b"yz"
        transport.close()
        await until(lambda: protocol.is_lost)

    finish(loop, main())


def test_an_exception_in_pause_writing_is_reported(loop, errors, pipe):
    async def main():
        transport, protocol = await writing(pipe)

        def failing():
            raise ZeroDivisionError("by the protocol")

        protocol.pause_writing = failing
        transport.set_write_buffer_limits(high=0)
        pipe.fill()
        transport.write(b"x")
        [context] = errors
        assert context["message"] == "protocol.pause_writing() failed"
        assert isinstance(context["exception"], ZeroDivisionError)
        assert not transport.is_closing()
        transport.abort()
        await until(lambda: protocol.is_lost)

    finish(loop, main())


@pytest.mark.parametrize("end", ["close", "write_eof"])
def test_closing_writes_what_is_queued_first(loop, pipe, end):
    async def main():
        transport, protocol = await writing(pipe)
        assert transport.can_write_eof()
        filled = pipe.fill()
        transport.write(b"the rest")
        getattr(transport, end)()
        transport.write(b"too late")
        for _ in range(3):
            await asyncio.sleep(0)
        assert not protocol.is_lost
        received = pipe.reading.read(len(filled))
        await until(lambda: protocol.is_lost)
        assert received + pipe.reading.read() == filled + b"the rest"
        assert protocol.lost is None

    finish(loop, main())


def test_aborting_throws_away_what_is_queued(loop, pipe):
    async def main():
        transport, protocol = await writing(pipe)
        filled = pipe.fill()
        transport.write(b"never seen")
        transport.close()
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        await until(lambda: pipe.writing.closed)
        assert pipe.reading.read() == filled
        assert protocol.events == ["made", "lost"]
        assert protocol.lost is None

    finish(loop, main())


@pytest.mark.epicycle_only
def test_aborting_twice_or_after_the_end_tells_the_protocol_once(loop, errors, pipe):
    async def main():
        transport, protocol = await writing(pipe)
        transport.abort()
        transport.abort()
        await until(lambda: pipe.writing.closed)
        transport.abort()
        transport.close()
        await asyncio.sleep(0)
        assert protocol.events == ["made", "lost"]

    finish(loop, main())
    assert not errors


def test_an_idle_writer_notices_that_the_reader_went(loop, pipe):
    async def main():
        transport, protocol = await writing(pipe)
        pipe.reading.close()
        await until(lambda: protocol.is_lost)
        assert protocol.lost is None
        assert transport.is_closing()
        await until(lambda: pipe.writing.closed)

    finish(loop, main())


def test_a_writer_with_a_full_buffer_notices_that_the_reader_went(loop, errors, pipe):
    async def main():
        transport, protocol = await writing(pipe)
        pipe.fill()
        transport.write(b"x" * 100_000)
        pipe.reading.close()
        await until(lambda: protocol.is_lost)
        assert isinstance(protocol.lost, BrokenPipeError)
        assert transport.get_write_buffer_size() == 0
        await until(lambda: pipe.writing.closed)
        assert protocol.events == ["made", "pause", "lost"]

    finish(loop, main())
    assert not errors


def test_a_closing_writer_whose_reader_went_ends(loop, pipe):
    async def main():
        transport, protocol = await writing(pipe)
        pipe.fill()
        transport.write(b"x")
        transport.close()
        pipe.reading.close()
        await until(lambda: protocol.is_lost)
        assert isinstance(protocol.lost, BrokenPipeError)

    finish(loop, main())


def test_writing_to_a_pipe_whose_reader_went(loop, errors, caplog, pipe):
    async def main():
        transport, protocol = await writing(pipe)
        pipe.reading.close()
        transport.write(b"to nobody")
        assert transport.is_closing()
        with caplog.at_level(logging.WARNING, "asyncio"):
            for _ in range(4):
                transport.write(b"again")
            assert not caplog.records
            transport.write(b"and again")
        [record] = caplog.records
        assert record.getMessage() == "pipe closed by peer or os.write(pipe, data) raised exception."
        await until(lambda: protocol.is_lost)
        assert isinstance(protocol.lost, BrokenPipeError)

    finish(loop, main())
    assert not errors


def test_regular_files_are_refused(loop, tmp_path):
    async def main():
        message = "^Pipe transport is only for pipes, sockets and character devices$"
        with open(tmp_path / "file", "wb") as file:
            with pytest.raises(ValueError, match=message):
                await loop.connect_write_pipe(Writer, file)
            assert not file.closed

    finish(loop, main())


def test_a_device_that_cannot_be_watched_can_be_written_to(loop, errors):
    async def main():
        transport, protocol = await loop.connect_write_pipe(Writer, FileIO(os.devnull, "wb"))
        transport.write(b"x" * 1_000_000)
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await until(lambda: protocol.is_lost)

    finish(loop, main())
    assert not errors


def test_a_socket_may_be_written_as_a_pipe(loop):
    async def main():
        mine, peer = socket.socketpair()
        with peer:
            transport, protocol = await loop.connect_write_pipe(Writer, mine)
            transport.write(b"hello")
            assert peer.recv(100) == b"hello"
            peer.close()
            await until(lambda: protocol.is_lost)
            assert protocol.lost is None

    finish(loop, main())


def test_another_protocol_takes_over(loop, pipe):
    async def main():
        transport, first = await writing(pipe)
        second = Writer()
        transport.set_protocol(second)
        transport.close()
        await until(lambda: second.is_lost)
        assert first.events == ["made"]

    finish(loop, main())


def forget(holders):
    holders.clear()
    gc.collect()


def test_an_abandoned_transport_warns_and_closes_the_file(loop_factory, pipe):
    loop = loop_factory()
    transport, protocol = finish(loop, writing(pipe))
    protocol.transport = None
    loop.close()
    del loop
    holders = [transport]
    del transport
    with pytest.warns(ResourceWarning, match="unclosed transport <"):
        forget(holders)
    assert pipe.writing.closed


def test_a_stream_writer_on_a_pipe_waits_for_the_reader(loop, pipe):
    async def main():
        factory = asyncio.streams.FlowControlMixin
        transport, protocol = await loop.connect_write_pipe(factory, pipe.writing)
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        filled = pipe.fill()
        writer.write(b"x" * 100_000)
        draining = asyncio.ensure_future(writer.drain())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not draining.done()
        received = bytearray()
        thread = parked_thread(lambda: received.extend(pipe.reading.read()))
        await draining
        writer.close()
        await until(lambda: pipe.writing.closed)
        join_all(thread)
        assert received == filled + b"x" * 100_000

    finish(loop, main())


def test_both_ends_of_a_pipe_on_one_loop(loop, pipe):
    async def main():
        transport, _ = await writing(pipe)
        _, reader = await loop.connect_read_pipe(Recorder, pipe.reading)
        data = os.urandom(1_000_000)
        transport.write(data)
        transport.close()
        await until(lambda: reader.is_lost)
        assert reader.data == data

    finish(loop, main())


def test_repr_tells_the_descriptor_and_the_buffer(loop, pipe):
    async def main():
        transport, protocol = await writing(pipe)
        fd = pipe.writing.fileno()
        assert f"fd={fd} idle bufsize=0>" in repr(transport)
        pipe.fill()
        transport.write(b"abc")
        assert f"fd={fd} polling bufsize=3>" in repr(transport)
        transport.close()
        assert f" closing fd={fd}" in repr(transport)
        transport.abort()
        await until(lambda: protocol.is_lost)
        await until(lambda: " closed " in repr(transport))

    finish(loop, main())

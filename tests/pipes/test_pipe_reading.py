"""connect_read_pipe: what the protocol is told, and that nothing is lost."""

import asyncio
import gc
import os
import socket

import pytest

from toolkit import Recorder, finish, turn, until


async def reading(pipe, protocol=None):
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_read_pipe(lambda: protocol or Recorder(), pipe.reading)
    return transport, protocol


def test_callbacks_come_in_order_and_the_file_is_closed_at_the_end(loop, pipe):
    async def main():
        transport, protocol = await reading(pipe)
        assert isinstance(transport, asyncio.ReadTransport)
        assert not isinstance(transport, asyncio.WriteTransport)
        assert transport.get_extra_info("pipe") is pipe.reading
        assert transport.get_extra_info("peername", "none") == "none"
        assert transport.get_protocol() is protocol
        assert not os.get_blocking(pipe.reading.fileno())
        pipe.writing.write(b"hello ")
        await until(lambda: protocol.data)
        pipe.writing.write(b"world")
        pipe.writing.close()
        await until(lambda: protocol.is_lost)
        assert protocol.data == b"hello world"
        assert protocol.order() == ["made", "data", "eof", "lost"]
        assert protocol.lost is None
        await until(lambda: pipe.reading.closed)
        assert transport.is_closing()
        assert transport.get_extra_info("pipe") is pipe.reading

    finish(loop, main())


def test_what_was_written_before_the_writer_went_is_read_to_the_end(loop, pipe):
    async def main():
        sent = pipe.fill()
        pipe.writing.close()
        _, protocol = await reading(pipe)
        await until(lambda: protocol.is_lost)
        assert protocol.data == sent
        assert protocol.lost is None

    finish(loop, main())


def test_a_full_pipe_whose_writer_went_waits_for_a_paused_reader(loop, pipe):
    async def main():
        transport, protocol = await reading(pipe)
        transport.pause_reading()
        assert not transport.is_reading()
        sent = pipe.fill()
        pipe.writing.close()
        for _ in range(5):
            await asyncio.sleep(0)
        assert protocol.events == ["made"]
        transport.resume_reading()
        assert transport.is_reading()
        await until(lambda: protocol.is_lost)
        assert protocol.data == sent

    finish(loop, main())


@pytest.mark.epicycle_only
def test_a_paused_reader_whose_writer_went_costs_nothing(loop, pipe):
    transport, protocol = finish(loop, reading(pipe))
    transport.pause_reading()
    pipe.fill()
    pipe.writing.close()
    before = loop._counters()["events"]
    turn(loop, 5)
    assert loop._counters()["events"] == before
    transport.close()
    finish(loop, until(lambda: protocol.is_lost))


def test_pausing_and_resuming_twice_is_no_error(loop, pipe):
    async def main():
        transport, protocol = await reading(pipe)
        transport.pause_reading()
        transport.pause_reading()
        transport.resume_reading()
        transport.resume_reading()
        pipe.writing.write(b"x")
        await until(lambda: protocol.data == b"x")
        transport.close()
        transport.pause_reading()
        transport.resume_reading()
        assert not transport.is_reading()
        await until(lambda: protocol.is_lost)

    finish(loop, main())


def test_paused_while_the_connection_is_made(loop, pipe):
    class Paused(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        pipe.writing.write(b"early")
        transport, protocol = await reading(pipe, Paused())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not protocol.data
        transport.resume_reading()
        await until(lambda: protocol.data == b"early")
        transport.close()
        await until(lambda: protocol.is_lost)

    finish(loop, main())


def test_closing_twice_tells_the_protocol_once(loop, pipe):
    async def main():
        transport, protocol = await reading(pipe)
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert protocol.events == ["made"], "not before the next turn"
        await until(lambda: pipe.reading.closed)
        transport.close()
        await asyncio.sleep(0)
        assert protocol.events == ["made", "lost"]

    finish(loop, main())


def test_data_that_arrives_with_the_close_is_not_delivered(loop, pipe):
    async def main():
        transport, protocol = await reading(pipe)
        pipe.writing.write(b"late")
        transport.close()
        await until(lambda: protocol.is_lost)
        assert not protocol.data

    finish(loop, main())


def test_an_exception_in_data_received_is_reported_and_reading_goes_on(loop, errors, pipe):
    class Failing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            raise ZeroDivisionError("by the protocol")

    async def main():
        transport, protocol = await reading(pipe, Failing())
        pipe.writing.write(b"a")
        await until(lambda: errors)
        pipe.writing.write(b"b")
        await until(lambda: len(errors) == 2)
        assert protocol.data == b"ab"
        assert not transport.is_closing()
        transport.close()
        await until(lambda: protocol.is_lost)

    finish(loop, main())
    assert {type(context["exception"]) for context in errors} == {ZeroDivisionError}


@pytest.mark.parametrize("name", ["connection_made", "eof_received", "connection_lost"])
def test_an_exception_in_another_callback_is_reported_and_the_file_closed(loop, errors, pipe, name):
    protocol = Recorder()

    def failing(*args):
        raise ZeroDivisionError("by the protocol")

    setattr(protocol, name, failing)

    async def main():
        await reading(pipe, protocol)
        pipe.writing.close()
        await until(lambda: pipe.reading.closed)

    finish(loop, main())
    assert [type(context["exception"]) for context in errors] == [ZeroDivisionError]


def test_another_protocol_takes_over(loop, pipe):
    async def main():
        transport, first = await reading(pipe)
        second = Recorder()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        pipe.writing.write(b"for the second")
        pipe.writing.close()
        await until(lambda: second.is_lost)
        assert first.events == ["made"]
        assert second.order() == ["data", "eof", "lost"]

    finish(loop, main())


def test_a_read_that_fails_is_reported_and_ends_the_connection(loop, errors, pipe):
    async def main():
        # The wrong end: the kernel reports it when the reader goes, and then it cannot be read.
        transport, protocol = await loop.connect_read_pipe(Recorder, pipe.writing)
        pipe.reading.close()
        await until(lambda: protocol.is_lost)
        assert isinstance(protocol.lost, OSError)
        [context] = errors
        assert context["message"] == "Fatal read error on pipe transport"
        assert context["exception"] is protocol.lost
        assert context["transport"] is transport
        assert context["protocol"] is protocol

    finish(loop, main())


def test_regular_files_and_directories_are_refused(loop, tmp_path):
    async def main():
        with open(tmp_path / "file", "w+b") as file:
            with pytest.raises(ValueError, match=r"^Pipe transport is for pipes/sockets only\.$"):
                await loop.connect_read_pipe(Recorder, file)
            assert not file.closed

        class Directory:
            def fileno(self):
                return directory

        directory = os.open(tmp_path, os.O_RDONLY)
        try:
            with pytest.raises(ValueError, match="pipes/sockets only"):
                await loop.connect_read_pipe(Recorder, Directory())
        finally:
            os.close(directory)

    finish(loop, main())


# asyncio leaves a transport half made, which warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_closed_file_is_refused(loop, pipe):
    async def main():
        pipe.reading.close()
        with pytest.raises(ValueError, match="closed file"):
            await loop.connect_read_pipe(Recorder, pipe.reading)

    finish(loop, main())


def test_a_socket_may_be_read_as_a_pipe(loop):
    async def main():
        mine, peer = socket.socketpair()
        with peer:
            _, protocol = await loop.connect_read_pipe(Recorder, mine)
            peer.send(b"hello")
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: protocol.is_lost)
            assert protocol.data == b"hello"
            assert mine.fileno() == -1

    finish(loop, main())


def test_a_cancelled_connect_closes_the_file(loop, pipe):
    async def main():
        task = asyncio.ensure_future(loop.connect_read_pipe(Recorder, pipe.reading))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: pipe.reading.closed)

    finish(loop, main())


def forget(holders):
    holders.clear()
    gc.collect()


def test_an_abandoned_transport_warns_and_closes_the_file(loop, pipe):
    transport, protocol = finish(loop, reading(pipe))
    transport.pause_reading()
    # A cycle: each knows the other.
    assert protocol.transport is transport
    holders = [transport, protocol]
    del transport, protocol
    with pytest.warns(ResourceWarning, match="unclosed transport <"):
        forget(holders)
    assert pipe.reading.closed


def test_a_stream_reader_on_a_pipe(loop, pipe):
    async def main():
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe.reading)
        pipe.writing.write(b"one\ntwo\nrest")
        pipe.writing.close()
        assert await reader.readline() == b"one\n"
        assert [line async for line in reader] == [b"two\n", b"rest"]
        await until(lambda: pipe.reading.closed)

    finish(loop, main())


def test_repr_tells_the_descriptor_and_the_phase(loop, pipe):
    async def main():
        transport, protocol = await reading(pipe)
        fd = pipe.reading.fileno()
        assert f"fd={fd} polling>" in repr(transport)
        transport.pause_reading()
        assert f"fd={fd} idle>" in repr(transport)
        transport.close()
        assert f" closing fd={fd}" in repr(transport)
        await until(lambda: protocol.is_lost)
        await until(lambda: " closed " in repr(transport))

    finish(loop, main())


def test_repr_of_a_transport_whose_loop_is_closed(loop_factory, pipe):
    loop = loop_factory()
    transport, _ = finish(loop, reading(pipe))
    loop.close()
    assert " open>" in repr(transport)
    holders = [transport]
    del transport, _
    with pytest.warns(ResourceWarning, match="unclosed transport <.* open>"):
        forget(holders)

"""Our stream classes beside asyncio's: made by its functions, with its attributes, and smaller."""

import asyncio
import contextlib
import sys

import pytest

from epicycle import _streams
from toolkit import FACTORIES, finish, quiet

pytestmark = pytest.mark.epicycle_only


@contextlib.asynccontextmanager
async def stream_pair(loop, kind="tcp", path=None):
    """The reader and writer of a client, and those of its server."""
    makers = _streams.makers()
    arrived = loop.create_future()

    def connected(reader, writer):
        arrived.set_result((reader, writer))

    if kind == "tcp":
        server = await makers["start_server"](connected, "127.0.0.1", 0)
        client = await makers["open_connection"](*server.sockets[0].getsockname())
    else:
        server = await makers["start_unix_server"](connected, path)
        client = await makers["open_unix_connection"](path)
    theirs = await arrived
    try:
        yield client, theirs
    finally:
        for _, writer in (client, theirs):
            writer.close()
        server.close()
        await quiet()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_both_ends_are_ours(loop, kind, tmp_path):
    async def main():
        async with stream_pair(loop, kind, str(tmp_path / "socket")) as ends:
            for reader, writer in ends:
                assert type(reader) is _streams.StreamReader and isinstance(reader, asyncio.StreamReader)
                assert type(writer) is _streams.StreamWriter and isinstance(writer, asyncio.StreamWriter)
                assert type(writer.transport.get_protocol()) is _streams.StreamReaderProtocol
            (reader, writer), (theirs, answering) = ends
            writer.write(b"a line\nand more")
            await writer.drain()
            line = await theirs.readline()
            answering.write_eof()
            return line, await theirs.read(20), await reader.read()

    assert finish(loop, main()) == (b"a line\n", b"and more", b"")


def test_they_say_of_themselves_what_asyncios_say(loop):
    async def main():
        async with stream_pair(loop) as ((reader, writer), _):
            asyncios = asyncio.StreamReader(loop=loop)
            asyncios.set_transport(writer.transport)
            assert repr(reader) == repr(asyncios)
            assert repr(writer).startswith("<StreamWriter transport=<StreamTransport fd=")
            assert await writer._complete_fut is None

    finish(loop, main())


def test_on_a_loop_that_is_not_ours():
    loop = FACTORIES["asyncio"]()

    async def main():
        async with stream_pair(loop) as ((reader, _), (_, answering)):
            answering.write(b"one\ntwo")
            answering.write_eof()
            return await reader.readline(), await reader.readexactly(3), await reader.read(1)

    try:
        assert finish(loop, main()) == (b"one\n", b"two", b"")
    finally:
        loop.close()


def test_a_writer_that_has_to_wait_waits(loop):
    async def main():
        async with stream_pair(loop) as ((_, writer), (theirs, _)):
            writer.transport.set_write_buffer_limits(high=0)
            writer.write(bytes(20_000_000))
            waits = loop.create_task(writer.drain())
            await quiet()
            assert not waits.done()
            assert len(await theirs.readexactly(20_000_000)) == 20_000_000
            assert await waits is None

    finish(loop, main())


def test_a_writer_whose_connection_broke_raises_what_its_reader_was_told(loop):
    async def main():
        async with stream_pair(loop) as ((reader, writer), _):
            reader.set_exception(TimeoutError("gone"))
            with pytest.raises(TimeoutError, match="gone"):
                await writer.drain()

    finish(loop, main())


def test_a_writer_that_is_closed_says_that_the_connection_is_lost(loop):
    async def main():
        async with stream_pair(loop) as ((_, writer), _):
            writer.close()
            with pytest.raises(ConnectionResetError, match="Connection lost"):
                await writer.drain()

    finish(loop, main())


def test_cancelling_a_drain_that_waits(loop):
    async def main():
        async with stream_pair(loop) as ((_, writer), _):
            writer.transport.set_write_buffer_limits(high=0)
            writer.write(bytes(20_000_000))
            protocol = writer.transport.get_protocol()
            waits = loop.create_task(writer.drain())
            await quiet()
            assert len(protocol._drain_waiters) == 1
            waits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits
            assert not protocol._drain_waiters
            writer.transport.abort()

    finish(loop, main())


def test_a_subclass_of_a_program_is_fed_by_its_own_method(loop):
    class Counting(_streams.StreamReader):
        fed = 0

        def feed_data(self, data):
            self.fed += len(data)
            super().feed_data(data)

    async def main():
        async with stream_pair(loop) as (_, (_, answering)):
            host = answering.get_extra_info("sockname")[0]
            server = await _streams.makers()["start_server"](greet, host, 0)
            reader = Counting(loop=loop)
            protocol = _streams.StreamReaderProtocol(reader, loop=loop)
            transport, _ = await loop.create_connection(lambda: protocol, *server.sockets[0].getsockname())
            data = await reader.readexactly(5)
            transport.close()
            server.close()
            await quiet()
            return data, reader.fed

    async def greet(_, writer):
        writer.write(b"hello")
        await writer.drain()
        writer.close()

    assert finish(loop, main()) == (b"hello", 5)


def test_a_method_put_onto_one_reader_is_not_called(loop):
    called = []

    async def main():
        async with stream_pair(loop) as ((reader, _), (_, answering)):
            reader.feed_data = called.append
            reader._transport.get_protocol().data_received = called.append
            answering.write(b"data")
            assert await reader.readexactly(4) == b"data"

    finish(loop, main())
    assert not called


def test_methods_put_onto_asyncios_classes_are_called(loop, monkeypatch):
    """The way of what arrives: `data_received` of the protocol, `feed_data` of the reader."""
    called = []

    def spy(kind, name):
        original = getattr(kind, name)

        def spying(self, data):
            called.append(name)
            return original(self, data)

        monkeypatch.setattr(kind, name, spying)

    async def main():
        async with stream_pair(loop) as ((reader, _), (_, answering)):
            for kind, name in (
                (asyncio.StreamReader, "feed_data"),
                (asyncio.StreamReaderProtocol, "data_received"),
            ):
                spy(kind, name)
                answering.write(b"data")
                assert await reader.readexactly(4) == b"data"
            monkeypatch.undo()
            answering.write(b"data")
            assert await reader.readexactly(4) == b"data"

    finish(loop, main())
    assert called == ["feed_data", "data_received", "feed_data"]


def test_an_idle_connection_takes_less(loop):
    async def main():
        async with stream_pair(loop) as ((_, writer), _):
            protocol = writer.transport.get_protocol()
            return sys.getsizeof(protocol._drain_waiters)

    assert finish(loop, main()) < 100

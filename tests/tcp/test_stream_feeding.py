"""What arrives reaches a stream's reader as asyncio's own code takes it there, whatever a program has replaced.

Epicycle fills the reader of asyncio's stream protocol itself.  Whoever puts another method in the way must be called.
"""

import asyncio
import contextlib
import gc
import weakref

import pytest

from tls.certificates import OPENSSL, Authority
from toolkit import Recorder, accepted, dropped, finish, serving, until


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    """For a server on localhost and for a client of it."""
    if OPENSSL is None:
        pytest.skip("the openssl command makes the certificates, and is not there")
    authority = Authority(tmp_path_factory.mktemp("feeding") / "authority", "Test authority")
    return authority.sign("localhost").server_context(), authority.client_context()


class Stream:
    """The reader's side of a connection, and the transport that feeds it from the other side."""

    def __init__(self, reader, protocol, transport, peer):
        self.reader = reader
        self.protocol = protocol
        self.transport = transport
        self.peer = peer

    def send(self, data):
        self.peer.transport.write(data)

    async def holds(self, count):
        await until(lambda: len(self.reader._buffer) == count)


@pytest.fixture(params=["plain", "tls"])
def stream(request, loop):
    """Makes a connected `Stream`: `async with stream(limit=..., reader=..., protocol=...)`."""
    server_ssl, client_ssl = request.getfixturevalue("contexts") if request.param == "tls" else (None, None)
    secured = {"ssl": client_ssl, "server_hostname": "localhost"} if client_ssl else {}

    @contextlib.asynccontextmanager
    async def made(*, limit=2**16, reader=asyncio.StreamReader, protocol=asyncio.StreamReaderProtocol):
        its_reader = reader(limit=limit, loop=loop)
        its_protocol = protocol(its_reader, loop=loop)
        async with serving(Recorder, ssl=server_ssl) as (_, port, protocols):
            transport, _ = await loop.create_connection(lambda: its_protocol, "127.0.0.1", port, **secured)
            writer = asyncio.StreamWriter(transport, its_protocol, its_reader, loop)
            peer = await accepted(protocols)
            try:
                yield Stream(its_reader, its_protocol, transport, peer)
            finally:
                await dropped(peer, peer.transport)
                writer.close()
                with contextlib.suppress(Exception):
                    await writer.wait_closed()
                del writer

    return made


def spy(method, calls):
    """`method`, with what it is given noted."""

    def spying(*args):
        calls.append(bytes(args[-1]))
        return method(*args)

    return spying


PLACES = {
    "feed_data": (asyncio.StreamReader, "reader"),
    "data_received": (asyncio.StreamReaderProtocol, "protocol"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_method_replaced_on_the_class_is_called(loop, stream, monkeypatch, name):
    calls = []

    async def main():
        async with stream() as end:
            end.send(b"before")
            await end.holds(6)
            with monkeypatch.context() as patch:
                kind = PLACES[name][0]
                patch.setattr(kind, name, spy(getattr(kind, name), calls))
                end.send(b"during")
                await end.holds(12)
            end.send(b"after")
            assert await end.reader.readexactly(17) == b"beforeduringafter"

    finish(loop, main())
    assert b"".join(calls) == b"during"


@pytest.mark.parametrize("name", PLACES)
def test_a_method_replaced_on_the_instance_is_called(loop, stream, name):
    calls = []

    async def main():
        async with stream() as end:
            end.send(b"before")
            await end.holds(6)
            owner = getattr(end, PLACES[name][1])
            setattr(owner, name, spy(getattr(owner, name), calls))
            end.send(b"during")
            await end.holds(12)
            delattr(owner, name)
            end.send(b"after")
            assert await end.reader.readexactly(17) == b"beforeduringafter"

    finish(loop, main())
    assert b"".join(calls) == b"during"


def test_a_subclass_of_the_reader_is_called(loop, stream):
    calls = []

    class Reader(asyncio.StreamReader):
        feed_data = spy(asyncio.StreamReader.feed_data, calls)

    async def main():
        async with stream(reader=Reader) as end:
            end.send(b"data")
            assert await end.reader.readexactly(4) == b"data"

    finish(loop, main())
    assert b"".join(calls) == b"data"


def test_a_subclass_of_the_protocol_is_called(loop, stream):
    calls = []

    class Protocol(asyncio.StreamReaderProtocol):
        data_received = spy(asyncio.StreamReaderProtocol.data_received, calls)

    async def main():
        async with stream(protocol=Protocol) as end:
            end.send(b"data")
            assert await end.reader.readexactly(4) == b"data"

    finish(loop, main())
    assert b"".join(calls) == b"data"


def test_what_arrives_for_a_reader_that_is_gone_is_dropped(loop, errors):
    # Nobody but the protocol knows the reader, and the protocol only refers to it.
    async def main():
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        async with serving() as (_, port, protocols):
            transport, _ = await loop.create_connection(lambda: protocol, "127.0.0.1", port)
            peer = await accepted(protocols)
            gone = weakref.ref(reader)
            del reader
            gc.collect()
            assert gone() is None
            peer.transport.write(b"for nobody")
            peer.transport.write_eof()
            transport.write(b"still here")
            await until(lambda: peer.data == b"still here")
            # Its protocol keeps its side open, as that of every stream does.
            assert not transport.is_closing()
            transport.close()
            await until(lambda: peer.is_lost)

    finish(loop, main())
    assert errors == []


def failure_of(loop, stream, errors, spoil):
    """What a connection ends with when its data cannot be taken."""

    async def main():
        async with stream() as end:
            end.send(b"first")
            await end.holds(5)
            with spoil(end.reader):
                end.send(b"second")
                await until(lambda: end.transport.is_closing() and errors)
            await until(lambda: end.peer.is_lost)
            assert end.reader._buffer == b"first"

    finish(loop, main())
    assert len(errors) == 1
    return errors[0]["exception"]


def test_data_after_the_reader_was_told_of_the_end_is_an_error(loop, stream, errors):
    @contextlib.contextmanager
    def ended(reader):
        reader.feed_eof()
        yield

    error = failure_of(loop, stream, errors, ended)
    assert (type(error), str(error)) == (AssertionError, "feed_data after feed_eof")


def test_a_buffer_that_somebody_looks_into_cannot_grow(loop, stream, errors):
    error = failure_of(loop, stream, errors, lambda reader: memoryview(reader._buffer))
    assert type(error) is BufferError


def test_a_limit_that_is_no_number_is_an_error(loop, stream, errors):
    async def main():
        async with stream() as end:
            end.reader._limit = None
            end.send(b"data")
            await until(lambda: end.transport.is_closing() and errors)
            # It was taken before it was measured.
            assert end.reader._buffer == b"data"

    finish(loop, main())
    assert [type(context["exception"]) for context in errors] == [TypeError]


@pytest.mark.parametrize("limit", [10, 10.25])
def test_more_than_twice_the_limit_pauses_until_it_is_read(loop, stream, limit):
    async def main():
        async with stream(limit=limit) as end:
            end.send(b"a" * 20)
            await end.holds(20)
            assert end.transport.is_reading()
            end.send(b"b")
            await until(lambda: not end.transport.is_reading())
            assert await end.reader.readexactly(11) == b"a" * 11
            assert end.transport.is_reading()
            end.send(b"c")
            assert await end.reader.readexactly(11) == b"a" * 9 + b"bc"

    finish(loop, main())


def test_a_limit_of_zero_pauses_at_once(loop, stream):
    async def main():
        async with stream() as end:
            # The constructor refuses it.
            end.reader._limit = 0
            end.send(b"a")
            await until(lambda: not end.transport.is_reading())
            assert await end.reader.readexactly(1) == b"a"
            assert end.transport.is_reading()

    finish(loop, main())


@pytest.mark.parametrize("limit", [2**62, 2**64 - 1, 2**80, float("inf")])
def test_a_huge_limit_never_pauses(loop, stream, limit):
    async def main():
        async with stream(limit=limit) as end:
            end.send(bytes(300_000))
            await end.holds(300_000)
            assert end.transport.is_reading()

    finish(loop, main())


def test_a_transport_that_cannot_pause_is_not_asked_again(loop, stream):
    asked = []

    class Unpausable(asyncio.Transport):
        def pause_reading(self):
            asked.append(True)
            raise NotImplementedError

    async def main():
        async with stream(limit=1) as end:
            end.reader._transport = Unpausable()
            end.send(b"abc")
            await end.holds(3)
            end.send(b"def")
            await end.holds(6)
            assert end.reader._transport is None

    finish(loop, main())
    assert asked == [True]


def test_data_for_a_reader_whose_waiting_was_cancelled_is_kept(loop, stream, errors):
    async def main():
        async with stream() as end:
            # Cancelled, and still in its place when the data comes.
            end.reader._waiter = loop.create_future()
            end.reader._waiter.cancel()
            end.send(b"data")
            await until(lambda: end.reader._waiter is None)
            assert await end.reader.read(10) == b"data"

    finish(loop, main())
    assert errors == []

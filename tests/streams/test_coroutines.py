"""What our streams' methods return is awaited, thrown into, closed and forgotten as a coroutine is."""

import asyncio
import collections.abc
import gc
import inspect
import types
import warnings
import weakref

import pytest

from epicycle._streams import StreamReader, StreamWriter, makers
from toolkit import cancelled, finish, quiet

pytestmark = pytest.mark.epicycle_only

READS = {
    "read": lambda reader: reader.read(5),
    "readexactly": lambda reader: reader.readexactly(5),
    "readuntil": lambda reader: reader.readuntil(b"x"),
    "readline": lambda reader: reader.readline(),
}


class Gone:
    """A transport that need not be closed."""

    def is_closing(self):
        return True


@pytest.fixture
def reader(loop):
    return StreamReader(loop=loop)


@pytest.fixture(params=READS)
def read(request, reader):
    """A read that has not been awaited, with the method's name."""
    coroutine = READS[request.param](reader)
    yield request.param, coroutine
    coroutine.close()


def test_asyncio_takes_it_for_a_coroutine(read):
    name, coroutine = read
    assert asyncio.iscoroutine(coroutine)
    assert isinstance(coroutine, collections.abc.Coroutine)
    assert inspect.isawaitable(coroutine) and not inspect.iscoroutine(coroutine)
    assert (coroutine.__name__, coroutine.__qualname__) == (name, f"StreamReader.{name}")
    assert repr(coroutine).startswith(f"<coroutine object StreamReader.{name} at 0x")


def test_a_task_runs_it_and_bears_its_name(loop, reader):
    async def main():
        task = loop.create_task(reader.readline())
        assert "coro=<StreamReader.readline()>" in repr(task)
        await asyncio.sleep(0)
        reader.feed_data(b"a\n")
        return await task

    assert finish(loop, main()) == b"a\n"


def test_nothing_is_read_before_it_is_awaited(loop, reader):
    async def main():
        reader.feed_data(b"ab")
        first, second = reader.read(1), reader.read(1)
        return await second, await first

    assert finish(loop, main()) == (b"a", b"b")


def test_one_that_is_never_awaited_is_told(reader):
    with pytest.warns(RuntimeWarning, match=r"^coroutine 'StreamReader\.read' was never awaited$"):
        reader.read(1)
    with pytest.warns(RuntimeWarning, match=r"^coroutine 'StreamWriter\.drain' was never awaited$"):
        StreamWriter(Gone(), None, None, None).drain()


def test_one_that_was_closed_is_not(read):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read[1].close()
        gc.collect()


def test_awaiting_twice_is_refused(loop, reader):
    async def main():
        reader.feed_data(b"abc")
        coroutine = reader.read(1)
        await coroutine
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await coroutine
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            coroutine.send(None)
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            coroutine.throw(ValueError)
        coroutine.close()
        return await reader.read(5)

    assert finish(loop, main()) == b"bc"


def test_a_coroutine_made_of_a_generator_yields_from_it(loop, reader):
    @types.coroutine
    def old():
        return (yield from reader.readexactly(2))

    async def new():
        return await old()

    async def main():
        task = loop.create_task(new())
        await asyncio.sleep(0)
        reader.feed_data(b"abc")
        return await task, await reader.read(5)

    assert finish(loop, main()) == (b"ab", b"c")


def test_a_traceback_leads_past_it(loop, reader):
    async def main():
        reader.feed_eof()
        await reader.readexactly(1)

    with pytest.raises(asyncio.IncompleteReadError) as caught:
        finish(loop, main())
    assert caught.traceback[-1].name == "main"


def test_sending_by_hand(loop, reader):
    async def main():
        coroutine = reader.readexactly(2)
        future = coroutine.send(None)
        assert asyncio.isfuture(future) and reader._waiter is future
        reader.feed_data(b"a")
        again = coroutine.send(None)
        assert again is reader._waiter is not future
        reader.feed_data(b"bc")
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)
        assert stop.value.value == b"ab"

    finish(loop, main())


def test_waking_too_early_is_told_as_by_a_future(loop, reader):
    async def main():
        coroutine = reader.read(2)
        coroutine.send(None)
        with pytest.raises(RuntimeError, match="await wasn't used with future"):
            coroutine.send(None)
        assert reader._waiter is None

    finish(loop, main())


@pytest.mark.parametrize(
    "given", [(KeyError("k"),), (KeyError, "k"), (KeyError, KeyError("k")), (KeyError, None, None)]
)
@pytest.mark.parametrize("waits", [False, True])
def test_what_is_thrown_in_comes_out(reader, read, given, waits):
    _, coroutine = read
    if waits:
        coroutine.send(None)
        assert reader._waiter is not None
    with warnings.catch_warnings():
        # The three parts of an exception are deprecated; a coroutine takes them still.
        warnings.simplefilter("ignore")
        with pytest.raises(KeyError):
            coroutine.throw(*given)
    assert reader._waiter is None


@pytest.mark.parametrize("end", ["close", "forget"])
def test_the_end_of_one_that_waits_lets_another_wait(loop, reader, end):
    async def main():
        coroutine = reader.read(2)
        coroutine.send(None)
        # Its traceback would keep the coroutine.
        (refused,), _ = await asyncio.wait([loop.create_task(reader.readline())])
        assert str(refused.exception()).startswith(
            "readuntil() called while another coroutine is already waiting"
        )
        if end == "close":
            coroutine.close()
        del coroutine
        gc.collect()
        assert reader._waiter is None
        reader.feed_data(b"ab")
        return await reader.read(2)

    assert finish(loop, main()) == b"ab"


def test_cancelling_reads(loop, read, reader):
    async def main():
        task = loop.create_task(read[1])
        await asyncio.sleep(0)
        await cancelled(task)
        assert reader._waiter is None
        reader.feed_data(b"still here")
        return await reader.read(20)

    assert finish(loop, main()) == b"still here"


def test_one_in_a_cycle_is_collected(loop, reader):
    class Holder:
        pass

    holder = Holder()
    holder.coroutine = reader.read(1)
    holder.coroutine.send(None)
    reader.holder = holder
    gone = weakref.ref(holder)
    del holder, reader.holder
    gc.collect()
    # The reader's future has no part in it, the reader itself had.
    assert gone() is None


@pytest.mark.parametrize("bad", [(), (1, 2), ("five",), (None,), (2.5,)])
def test_wrong_arguments_are_refused_as_by_asyncio(loop, reader, bad):
    """With the same exception; at the call where asyncio's would be, for no code has run by then."""

    async def outcome(kind):
        target = kind(loop=loop)
        target.feed_data(b"1234567890")
        try:
            return await target.readexactly(*bad)
        except Exception as error:
            return type(error)

    async def main():
        return await outcome(StreamReader), await outcome(asyncio.StreamReader)

    ours, theirs = finish(loop, main())
    assert ours == theirs


@pytest.mark.parametrize("name", ["read", "readexactly", "readuntil", "readline", "drain"])
def test_a_method_that_a_program_replaces_is_called(loop, monkeypatch, name):
    """By its name in asyncio's class, as a tool that follows what a program reads does."""
    called = []

    async def main():
        kind = asyncio.StreamWriter if name == "drain" else asyncio.StreamReader
        original = getattr(kind, name)

        async def spying(self, *args):
            called.append(name)
            return await original(self, *args)

        server = await makers()["start_server"](echo, "127.0.0.1", 0)
        reader, writer = await makers()["open_connection"](*server.sockets[0].getsockname())
        for patched in (False, True, False):
            with monkeypatch.context() as patch:
                if patched:
                    patch.setattr(kind, name, spying)
                writer.write(b"abc\n")
                await writer.drain()
                arguments = {"read": [10], "readexactly": [4]}.get(name, [])
                assert await getattr(reader, "readline" if name == "drain" else name)(*arguments) == b"abc\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await quiet()

    async def echo(reader, writer):
        while data := await reader.read(10):
            writer.write(data)
        writer.close()

    finish(loop, main())
    # The server reads too.
    assert called and (name == "read" or called == [name])

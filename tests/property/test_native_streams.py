"""Any sequence of arrivals, reads and cancellations leaves our readers as it leaves asyncio's."""

import asyncio
import os

import pytest

from epicycle._streams import StreamReader
from toolkit import FACTORIES, finish

pytest.importorskip("hypothesis")

from hypothesis import example, given, settings
from hypothesis import strategies as st

pytestmark = [
    pytest.mark.epicycle_only,
    # Hypothesis says so of its own generator, on the versions of Python that collect in another way.
    pytest.mark.filterwarnings("ignore:It looks like .register_random."),
]

LIMIT = 8

# Few letters, so that separators are found; line feeds, so that lines end.
data = st.text("ab\n", min_size=1, max_size=24).map(str.encode)
separators = st.one_of(
    st.text("ab\n", max_size=3).map(str.encode),
    st.tuples(st.sampled_from([b"a", b"ab", b"\n"]), st.sampled_from([b"b", b"bab"])),
    st.just(bytearray(b"b")),
)
steps = st.one_of(
    st.tuples(st.just("feed"), data),
    st.tuples(st.just("read"), st.integers(-1, 12)),
    st.tuples(st.just("readexactly"), st.integers(-1, 30)),
    st.tuples(st.just("readuntil"), separators),
    st.tuples(st.just("readline")),
    st.tuples(st.just("turn")),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("eof")),
    st.tuples(st.just("error")),
    st.tuples(st.just("look"), st.booleans()),
    st.tuples(st.just("buffer"), data),
)


class Transport:
    """Remembers whether it was paused; may say that it cannot be."""

    def __init__(self, trace, pauses):
        self.trace, self.pauses = trace, pauses

    def pause_reading(self):
        self.trace.append("paused")
        if not self.pauses:
            raise NotImplementedError

    def resume_reading(self):
        self.trace.append("resumed")


def told(error):
    """What tells one exception from another."""
    context = error.__context__
    found = [
        type(error).__name__,
        str(error),
        getattr(error, "partial", None),
        getattr(error, "consumed", None),
    ]
    return [*found, type(context).__name__ if isinstance(context, asyncio.LimitOverrunError) else None]


async def play(make, script, pauses):
    """What the script leaves behind, step for step."""
    trace = []
    reader = make(limit=LIMIT, loop=asyncio.get_running_loop())
    reader.set_transport(Transport(trace, pauses))
    tasks = []
    held = None

    async def run(number, name, arguments):
        try:
            trace.append((number, await getattr(reader, name)(*arguments)))
        except BaseException as error:
            trace.append((number, told(error)))

    for kind, *arguments in script:
        if kind == "feed":
            if not reader._eof:
                try:
                    reader.feed_data(*arguments)
                except BufferError:
                    trace.append("held")
        elif kind.startswith("read"):
            tasks.append(asyncio.create_task(run(len(tasks), kind, arguments)))
        elif kind == "turn":
            await asyncio.sleep(0)
        elif kind == "cancel":
            if arguments[0] < len(tasks):
                tasks[arguments[0]].cancel()
        elif kind == "eof":
            reader.feed_eof()
        elif kind == "error":
            reader.set_exception(ConnectionResetError("lost"))
        elif kind == "look":
            # While somebody looks into it, nothing can be taken out of the buffer.
            held = memoryview(reader._buffer) if arguments[0] else None
        elif not isinstance(reader._buffer, Buffer):
            # Somebody has put another buffer there.
            reader._buffer = Buffer(reader._buffer + arguments[0])
        state = (
            bytes(reader._buffer),
            reader._eof,
            reader._paused,
            reader._waiter is None,
            repr(reader.exception()),
        )
        trace.append((kind, state))
    del held
    for _ in range(4):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    trace.append((bytes(reader._buffer), reader._waiter, reader.at_eof(), reader._paused))
    return trace


class Buffer(bytearray):
    """A buffer that is not as asyncio made it."""


def compare(script, pauses):
    loop = FACTORIES["epicycle"]()
    try:
        expected = finish(loop, play(asyncio.StreamReader, script, pauses))
        assert finish(loop, play(StreamReader, script, pauses)) == expected
    finally:
        loop.close()


@settings(
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_CASES", "300")),
    database=None,
    derandomize="FUZZ_CASES" not in os.environ,
)
@given(script=st.lists(steps, max_size=24), pauses=st.booleans())
# Another read takes all before the first that waited goes on: `read()` is empty then, as at the end.
@example(script=[("read", 3), ("turn",), ("feed", b"a"), ("read", 3), ("turn",), ("turn",)], pauses=True)
# The stream breaks between the arrival of too little and the step of who waits for more.
@example(script=[("readexactly", 5), ("turn",), ("feed", b"a"), ("error",), ("turn",), ("eof",)], pauses=True)
@example(script=[("readline",), ("turn",), ("feed", b"a" * 30), ("turn",), ("turn",)], pauses=True)
@example(script=[("readline",), ("turn",), ("feed", b"a" * 12 + b"\nb"), ("turn",), ("turn",)], pauses=True)
@example(script=[("read", 4), ("turn",), ("feed", b"ab"), ("look", True), ("turn",), ("turn",)], pauses=True)
@example(
    script=[("readuntil", b"\n"), ("turn",), ("buffer", b"a\nb"), ("feed", b"b"), ("turn",)], pauses=True
)
def test_readers_do_what_asyncios_do(script, pauses):
    compare(script, pauses)

"""Threads of this process, standing still in all kinds of frames."""

import asyncio
import functools
import sys
import threading

import pytest

from epicycle import _epicycle
from toolkit import join_all, parked_thread

from .conftest import expected


def in_functions(wait):
    def inner(first, /, *rest, named=None):
        return (
            first,
            wait(),
        )

    class Class:
        def method(self):
            return inner(1, 2, named=3)

        @property
        def attribute(self):
            return self.method()

    return Class().attribute


def in_generators(wait):
    def numbers():
        yield 1
        yield wait()

    def delegating():
        yield from numbers()

    return [each for each in delegating() if each]


def in_coroutines(wait):
    class Thing:
        def __await__(self):
            yield wait()

        async def __aenter__(self):
            await self

        async def __aexit__(self, *_):
            pass

    async def inner():
        async with Thing():
            pass

    async def outer():
        await inner()

    coroutine = outer()
    coroutine.send(None)
    coroutine.close()


def in_asynchronous_generators(wait):
    async def items():
        yield 1
        wait()

    async def main():
        async for _ in items():
            pass

    asyncio.run(main())


def in_calls_from_native_code(wait):
    compare = functools.cmp_to_key(lambda a, b: wait() or 0)
    return sorted([1, 2], key=lambda _: max([compare(1), compare(2)]))


def in_other_code(wait):
    exec("class Body:\n    x = [w() for w in (wait,)]\n", {"wait": wait, "__name__": "other"})


def in_many_lines(wait):
    exec("\n" * 70_000 + "def far():\n    x = 1\n\n\n    wait()\n\nfar()", {"wait": wait})


def in_a_handler(wait):
    try:
        raise ValueError
    except ValueError:
        try:
            raise KeyError
        except KeyError:
            pass
        finally:
            wait()


def in_recursion(wait, depth=40):
    if depth == 0:
        return wait()
    return in_recursion(wait, depth - 1)


PLACES = [value for name, value in list(globals().items()) if name.startswith("in_")]


def standing(function):
    """What `function` was called with stood in: the thread, its state's address, and an event that lets it go on."""
    reached, go = threading.Event(), threading.Event()
    found = []

    def wait():
        if not found:
            found.extend([threading.get_ident(), _epicycle.thread_state()])
            reached.set()
            assert go.wait(30)

    thread = parked_thread(function, wait)
    assert reached.wait(30)
    return thread, *found, go


def settled(ident):
    """The thread's frame, once it has come to the event's lock."""
    while True:
        frame = sys._current_frames()[ident]
        if frame.f_code.co_qualname == "Condition.wait":
            return frame


@pytest.mark.parametrize("function", PLACES, ids=lambda function: function.__name__)
def test_a_thread_that_waits(own, function):
    thread, ident, state, go = standing(function)
    try:
        # The last of its own instructions may still be to come: the interpreter's view is taken around ours.
        for _ in range(1000):
            before = expected(settled(ident))
            rows = own(state)
            if before == expected(settled(ident)):
                break
    finally:
        go.set()
        join_all(thread)
    assert rows == before
    assert any(row[1].startswith(function.__name__) for row in rows)


def test_ones_own_thread(own):
    def here():
        frame = sys._getframe()
        return own(_epicycle.thread_state()), frame, frame.f_lineno

    rows, frame, line = here()
    assert rows[0][1] == "own.<locals>.<lambda>"
    assert rows[1] == (__file__, "test_ones_own_thread.<locals>.here", line)
    assert rows[2][:2] == (__file__, "test_ones_own_thread")
    assert rows[3:] == expected(frame.f_back.f_back)


def test_of_a_deep_stack_the_innermost(own):
    thread, ident, state, go = standing(lambda wait: in_recursion(wait, 500))
    try:
        settled(ident)
        rows = own(state)
    finally:
        go.set()
        join_all(thread)
    assert len(rows) == 128
    assert {row[1] for row in rows[10:]} == {"in_recursion"}

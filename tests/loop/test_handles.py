"""What the scheduling methods return: asyncio's handles to whoever looks at them."""

import asyncio
import contextvars
import functools
import gc
import sys
import weakref

import pytest

from toolkit import turn


def callback(*args):
    pass


def other_callback(*args):
    pass


class Callable:
    def __call__(self):
        pass

    def method(self):
        pass


def test_handles_are_those_of_asyncio(loop):
    plain = [loop.call_soon(callback), loop.call_soon_threadsafe(callback)]
    timed = [loop.call_later(60, callback), loop.call_at(loop.time() + 60, callback)]
    assert all(isinstance(handle, asyncio.Handle) for handle in plain + timed)
    assert all(isinstance(handle, asyncio.TimerHandle) for handle in timed)
    assert not any(isinstance(handle, asyncio.TimerHandle) for handle in plain)


def test_a_handle_knows_whether_it_was_cancelled(loop):
    for handle in (
        loop.call_soon(callback),
        loop.call_later(60, callback),
        loop.call_soon_threadsafe(callback),
    ):
        assert handle.cancelled() is False
        assert handle.cancel() is None
        assert handle.cancelled() is True


def test_a_handle_that_ran_is_not_cancelled(loop):
    handles = [loop.call_soon(callback), loop.call_later(-1, callback)]
    turn(loop)
    assert not any(handle.cancelled() for handle in handles)
    for handle in handles:
        handle.cancel()
    assert all(handle.cancelled() for handle in handles)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="get_context() came with 3.12")
def test_a_handle_gives_its_context(loop):
    context = contextvars.copy_context()
    assert loop.call_soon(callback, context=context).get_context() is context
    timer = loop.call_later(60, callback, context=context)
    assert timer.get_context() is context
    assert isinstance(loop.call_soon(callback).get_context(), contextvars.Context)
    timer.cancel()


def test_handles_can_be_referred_to_weakly(loop):
    handle, timer = loop.call_soon(callback), loop.call_later(60, callback)
    assert weakref.ref(handle)() is handle
    assert weakref.ref(timer)() is timer


def test_timers_are_ordered_by_deadline(loop):
    first, second = loop.call_at(100, callback), loop.call_at(200, callback)
    assert first < second and first <= second and second > first and second >= first
    assert not first > second and not first >= second and not second < first and not second <= first
    assert first != second
    assert sorted([second, first]) == [first, second]


def test_timers_are_equal_when_all_about_them_is(loop):
    one, two = loop.call_at(100, callback, 1), loop.call_at(100, callback, 1)
    assert one == two
    assert one.__ne__(two) is False
    assert one <= two and one >= two
    assert hash(one) == hash(two) == hash(100)
    for other in (
        loop.call_at(100, callback, 2),
        loop.call_at(100, other_callback, 1),
        loop.call_at(101, callback, 1),
    ):
        assert one != other
    two.cancel()
    assert one != two


def test_timers_are_compared_with_timers_only(loop):
    timer, handle = loop.call_at(100, callback), loop.call_soon(callback)
    for other in (100, 100.0, None, "timer", handle):
        assert timer != other
        for compare in (timer.__lt__, timer.__le__, timer.__gt__, timer.__ge__, timer.__eq__):
            assert compare(other) is NotImplemented
    with pytest.raises(TypeError):
        sorted([timer, 100])


def test_handles_are_equal_to_themselves_alone(loop):
    one, two = loop.call_soon(callback), loop.call_soon(callback)
    assert one == one and one != two
    assert len({one, two}) == 2


CALLBACKS = {
    "function": callback,
    "lambda": lambda: None,
    "method": Callable().method,
    "partial": functools.partial(callback, 1, key="value"),
    "nested partial": functools.partial(functools.partial(callback, 1), 2),
    "builtin": print,
    "builtin method": [].append,
    "class": Callable,
}


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
@pytest.mark.parametrize("name", list(CALLBACKS))
def test_a_handle_is_shown_as_by_asyncio(loop, name, debug):
    function, args = CALLBACKS[name], (1, "two", list(range(100)))
    expected = repr(asyncio.Handle(function, args, loop))
    loop.set_debug(debug)
    if debug:
        # Whether arguments are shown outside debug mode depends on the version: from 3.13 on they are not.
        handle, expected = loop.call_soon(function, *args), repr(asyncio.Handle(function, args, loop))
    else:
        handle = loop.call_soon(function, *args)
    assert repr(handle) == expected
    handle.cancel()


def test_a_callable_object_is_shown(loop):
    thing = Callable()
    handle = loop.call_soon(thing)
    assert repr(handle) == repr(asyncio.Handle(thing, (), loop))


def test_a_timer_is_shown_with_its_deadline(loop):
    timer = loop.call_at(123.5, callback, 1)
    assert repr(timer) == repr(asyncio.TimerHandle(123.5, callback, (1,), loop))
    assert repr(timer).startswith("<TimerHandle when=123.5 callback(")


def test_a_cancelled_handle_shows_no_callback(loop):
    handle, timer = loop.call_soon(callback), loop.call_at(123.5, callback)
    handle.cancel()
    timer.cancel()
    assert repr(handle) == "<Handle cancelled>"
    assert repr(timer) == "<TimerHandle cancelled when=123.5>"


def test_a_cancelled_handle_lets_go_of_its_callback(loop):
    function, argument = Callable(), Callable()
    functions = weakref.ref(function), weakref.ref(argument)
    handles = loop.call_soon(function, argument), loop.call_later(60, function, argument)
    for handle in handles:
        handle.cancel()
    del function, argument
    gc.collect()
    assert [ref() for ref in functions] == [None, None]


def test_in_debug_mode_a_handle_says_where_it_came_from(loop):
    loop.set_debug(True)
    asks = (
        lambda: loop.call_soon(callback),
        lambda: loop.call_later(60, callback),
        lambda: loop.call_at(loop.time() + 60, callback),
        lambda: loop.call_soon_threadsafe(callback),
    )
    for ask in asks:
        handle = ask()
        assert f"created at {__file__}:{ask.__code__.co_firstlineno}>" in repr(handle)
        assert handle._source_traceback[-1].name == "<lambda>"
        handle.cancel()


def test_in_debug_mode_a_cancelled_handle_remembers_its_callback(loop):
    loop.set_debug(True)
    handle, timer = loop.call_soon(callback), loop.call_at(loop.time() + 60, callback)
    handle.cancel()
    timer.cancel()
    assert repr(handle).startswith("<Handle cancelled callback() at ")
    assert repr(timer).startswith(f"<TimerHandle cancelled when={timer.when()} callback() at ")


def test_outside_debug_mode_a_handle_keeps_no_traceback(loop):
    assert loop.call_soon(callback)._source_traceback is None

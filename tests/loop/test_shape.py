"""What the loop looks like to code that inspects, patches, subclasses or forgets it."""

import asyncio
import gc
import inspect
import time
import warnings
import weakref

import pytest

from toolkit import finish, run_bounded, turn


def coroutine_methods():
    return [n for n, f in vars(asyncio.AbstractEventLoop).items() if inspect.iscoroutinefunction(f)]


def plain_methods():
    return [
        n
        for n, f in vars(asyncio.AbstractEventLoop).items()
        if inspect.isfunction(f) and not n.startswith("__")
    ]


def test_it_is_an_event_loop(loop, loop_factory):
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert issubclass(loop_factory, asyncio.AbstractEventLoop)


def test_it_overrides_every_method(loop_factory):
    inherited = [
        n for n in plain_methods() if getattr(loop_factory, n) is getattr(asyncio.AbstractEventLoop, n)
    ]
    assert inherited == []


@pytest.mark.parametrize("name", coroutine_methods())
def test_coroutine_methods_are_known_as_such(loop, loop_factory, name):
    assert inspect.iscoroutinefunction(getattr(loop_factory, name))
    assert inspect.iscoroutinefunction(getattr(loop, name))


@pytest.mark.parametrize("name", plain_methods())
def test_methods_take_the_parameters_that_asyncio_names(loop, name):
    oracle = asyncio.SelectorEventLoop()
    theirs = inspect.signature(getattr(oracle, name)).parameters
    oracle.close()
    ours = inspect.signature(getattr(loop, name)).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in ours.values()):
        return
    for parameter in theirs.values():
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            assert ours[parameter.name].kind is parameter.kind
            # None stands for the value that the other end of the call fills in.
            assert ours[parameter.name].default in (parameter.default, None)


def test_it_shows_its_state(loop, loop_factory):
    name = type(loop).__name__
    shown = []
    assert repr(loop) == f"<{name} running=False closed=False debug=False>"
    loop.call_soon(lambda: shown.append(repr(loop)))
    loop.set_debug(True)
    turn(loop)
    assert shown == [f"<{name} running=True closed=False debug=True>"]
    loop.close()
    assert repr(loop) == f"<{name} running=False closed=True debug=True>"


def test_it_can_be_referred_to_weakly_hashed_and_compared(loop, loop_factory):
    other = loop_factory()
    assert weakref.ref(loop)() is loop
    assert loop == loop and loop != other
    assert {loop: 1, other: 2}[loop] == 1
    other.close()


def test_it_takes_attributes(loop):
    loop.anything = 1
    assert loop.anything == 1 and "anything" in vars(loop)
    del loop.anything
    assert not hasattr(loop, "anything")


def test_its_methods_can_be_replaced_on_the_instance(loop):
    seen = []
    original = loop.call_soon

    def spy(callback, *args, context=None):
        seen.append(callback)
        return original(callback, *args, context=context)

    loop.call_soon = spy
    future = loop.create_future()
    future.add_done_callback(print)
    future.cancel()
    assert seen == [print]
    del loop.call_soon
    future.remove_done_callback(print)
    with pytest.raises(asyncio.CancelledError):
        finish(loop, future)


def test_a_subclass_may_add_and_override(loop_factory):
    class Loop(loop_factory):
        def __init__(self, label):
            super().__init__()
            self.label = label
            self.created = []

        def create_task(self, coro, **kwargs):
            task = super().create_task(coro, **kwargs)
            self.created.append(task)
            return task

        def time(self):
            return super().time() + 1000

    loop = Loop("mine")
    assert loop.label == "mine" and isinstance(loop, asyncio.AbstractEventLoop)
    assert loop.run_until_complete(asyncio.sleep(0.001, "slept")) == "slept"
    assert len(loop.created) == 1
    assert loop.time() > time.monotonic() + 900
    assert loop.call_later(0, print).when() > time.monotonic() + 900
    loop.close()


def test_time_goes_forward(loop):
    moments = [loop.time() for _ in range(1000)]
    assert moments == sorted(moments)
    assert all(isinstance(moment, float) for moment in moments)
    assert abs(loop.time() - time.monotonic()) < 60


def test_timers_follow_a_time_that_was_replaced(loop):
    clock = [1000.0]
    seen = []
    loop.time = lambda: clock[0]
    assert loop.call_later(60, seen.append, "minute").when() == 1060.0
    loop.call_later(3600, seen.append, "hour")
    loop.call_at(1030, seen.append, "half a minute")
    for moment, expected in [
        (1029.9, []),
        (1030.0, ["half a minute"]),
        (1060.0, ["half a minute", "minute"]),
        (9999.0, ["half a minute", "minute", "hour"]),
    ]:
        clock[0] = moment
        turn(loop)
        assert seen == expected


def test_a_replaced_time_may_advance_while_running(loop):
    clock = [0.0]
    loop.time = lambda: clock[0]

    def tick():
        clock[0] += 10
        loop.call_soon(tick)

    loop.call_soon(tick)
    assert loop.run_until_complete(asyncio.sleep(3600, "an hour")) == "an hour"
    assert 3600 <= clock[0] < 3700


def test_a_time_that_stands_still_gives_way_again(loop):
    loop.time = lambda: 5.0
    handle = loop.call_later(0.01, print)
    turn(loop)
    handle.cancel()
    del loop.time
    loop.call_later(0.001, loop.stop)
    run_bounded(loop)


def test_a_loop_that_was_never_closed_warns_and_closes(loop_factory):
    loop = loop_factory()
    shown = repr(loop)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop
        gc.collect()
    assert [(w.category, str(w.message)) for w in caught] == [
        (ResourceWarning, f"unclosed event loop {shown}")
    ]


def test_a_closed_loop_goes_quietly(loop_factory):
    loop = loop_factory()
    loop.call_soon(print)
    loop.close()
    gone = weakref.ref(loop)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop
        gc.collect()
    assert caught == [] and gone() is None


def test_it_can_be_the_current_loop(loop):
    asyncio.set_event_loop(loop)
    try:
        assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)

"""Where a loop may run inside of a running one, and where that is refused; signals, debug mode, `epicycle.run`."""

import asyncio
import signal
import sys

import pytest

import epicycle
from epicycle import NestedEventLoop
from loop.nested import failing, later, loop_factory  # noqa: F401
from toolkit import FACTORIES, until

pytestmark = pytest.mark.epicycle_only


# ---- where it is refused ----


@pytest.mark.parametrize("name", FACTORIES)
def test_loops_that_are_not_nested_say_what_asyncio_says(name):
    if name == "asyncio" and sys.version_info[:2] == (3, 13):
        pytest.skip("refused nesting breaks this version's own loop")
    loop, other = FACTORIES[name](), FACTORIES[name]()

    async def outer():
        for refused, text in [
            (loop, "This event loop is already running"),
            (other, "Cannot run the event loop while another loop is running"),
        ]:
            with pytest.raises(RuntimeError, match=f"^{text}$"):
                refused.run_forever()
            waiting = refused.create_future()
            with pytest.raises(RuntimeError, match=f"^{text}$"):
                refused.run_until_complete(waiting)

    loop.run_until_complete(outer())
    loop.close()
    other.close()


def test_a_loop_that_another_thread_runs_is_refused(loop):
    def refused():
        waiting = loop.create_future()
        for run in (loop.run_forever, lambda: loop.run_until_complete(waiting)):
            with pytest.raises(RuntimeError, match="^This event loop is already running$"):
                run()

    async def outer():
        await asyncio.to_thread(refused)
        await loop.shutdown_default_executor()

    loop.run_until_complete(outer())


def test_too_deep_is_an_error_and_no_crash(loop):
    def deeper(level):
        async def inner():
            return deeper(level + 1)

        coroutine = inner()
        try:
            return loop.run_until_complete(coroutine)
        except RecursionError as error:
            coroutine.close()
            return level, str(error)

    level, text = deeper(0)
    assert level == 101
    assert text == "event loops run inside of one another 100 deep in this thread"
    assert loop.run_until_complete(later("again")) == "again"


def test_many_tasks_may_each_run_the_loop_at_once(loop):
    async def handler(number):
        await asyncio.sleep(0)
        return loop.run_until_complete(later(number, turns=number))

    async def outer():
        return await asyncio.gather(*[handler(number) for number in range(40)])

    assert loop.run_until_complete(outer()) == list(range(40))


# ---- other loops ----


@pytest.mark.parametrize("name", FACTORIES)
def test_it_runs_inside_of_any_loop(loop, name):
    outside = FACTORIES[name]()

    async def outer():
        me = asyncio.current_task()
        result = loop.run_until_complete(later("inner"))
        assert asyncio.get_running_loop() is outside
        assert asyncio.current_task() is me
        return result, await later("outer")

    assert outside.run_until_complete(outer()) == ("inner", "outer")
    outside.close()


def test_two_loops_may_run_inside_of_each_other_by_turns(loop):
    second = NestedEventLoop()

    async def third():
        assert asyncio.get_running_loop() is loop
        return await later("third")

    async def inner():
        me = asyncio.current_task()
        assert loop.run_until_complete(third()) == "third"
        assert asyncio.current_task() is me
        return await later("inner")

    async def outer():
        me = asyncio.current_task()
        assert second.run_until_complete(inner()) == "inner"
        assert asyncio.current_task() is me
        return await later("outer")

    assert loop.run_until_complete(outer()) == "outer"
    second.close()


# ---- debug mode and signals ----


def test_debug_mode_stays_as_it_was(loop):
    loop.set_debug(True)
    loop.slow_callback_duration = 60

    async def outer():
        handle = loop._current_handle
        depth = sys.get_coroutine_origin_tracking_depth()
        loop.run_until_complete(later(None))
        assert loop._current_handle is handle
        assert sys.get_coroutine_origin_tracking_depth() == depth > 0

    loop.run_until_complete(outer())
    assert sys.get_coroutine_origin_tracking_depth() == 0


def test_signals_are_heard_in_the_inner_run_and_after_it(loop):
    heard = []
    loop.add_signal_handler(signal.SIGUSR1, heard.append, "heard")

    async def outer():
        signal.raise_signal(signal.SIGUSR1)
        loop.run_until_complete(until(lambda: len(heard) == 1))
        signal.raise_signal(signal.SIGUSR1)
        await until(lambda: len(heard) == 2)

    loop.run_until_complete(outer())
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_signal_wakes_the_outer_run_after_an_inner_one(loop):
    async def outer():
        before = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(before)
        loop.run_until_complete(later(None))
        after = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(after)
        return before, after

    before, after = loop.run_until_complete(outer())
    assert before == after != -1


# ---- epicycle.run ----


def test_run_inside_of_a_nested_loop_uses_that_loop():
    async def inner():
        return asyncio.get_running_loop()

    async def outer():
        bystander = asyncio.create_task(later("bystander", turns=20))
        assert epicycle.run(inner()) is asyncio.get_running_loop()
        return await bystander

    assert epicycle.run(outer(), nested=True) == "bystander"


def test_run_sets_debug_mode_for_as_long_as_it_runs():
    async def inner():
        return asyncio.get_running_loop().get_debug()

    async def outer():
        loop = asyncio.get_running_loop()
        return loop.get_debug(), epicycle.run(inner(), debug=True), loop.get_debug()

    assert epicycle.run(outer(), debug=False, nested=True) == (False, True, False)


def test_run_ends_its_task_when_it_is_left_early():
    ended = []

    async def inner():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await later(None)
            ended.append(True)

    async def outer():
        asyncio.get_running_loop().call_later(0.001, asyncio.get_running_loop().stop)
        with pytest.raises(RuntimeError, match="stopped before"):
            epicycle.run(inner())
        return ended

    assert epicycle.run(outer(), nested=True) == [True]


def test_run_inside_of_another_loop_asks_for_nested():
    async def inner():
        return type(asyncio.get_running_loop())

    async def outer():
        coroutine = inner()
        with pytest.raises(
            RuntimeError, match=r"^epicycle\.run\(\) cannot be called from a running event loop$"
        ):
            epicycle.run(coroutine)
        coroutine.close()
        return epicycle.run(inner(), nested=True), await later(type(asyncio.get_running_loop()))

    assert epicycle.run(outer()) == (NestedEventLoop, epicycle.EventLoop)


def test_run_refuses_what_is_no_coroutine():
    async def outer():
        with pytest.raises(ValueError, match="a coroutine was expected, got 1"):
            epicycle.run(1)

    epicycle.run(outer(), nested=True)

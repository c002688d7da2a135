"""Debug mode: slow callbacks, wrong threads, wrong callbacks, origins of coroutines."""

import asyncio
import asyncio.constants
import logging
import sys

import pytest

from toolkit import PRELUDES, finish, join_all, parked_thread, script, turn

WRONG_THREAD = "Non-thread-safe operation invoked on an event loop other than the current one"


@pytest.fixture
def debug(loop):
    """The loop in debug mode."""
    loop.set_debug(True)
    return loop


def messages(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_debug_mode_is_off_unless_asked_for(loop):
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True
    loop.set_debug(False)
    assert loop.get_debug() is False


@pytest.mark.parametrize("how", ["environment", "option"])
def test_debug_mode_is_asked_for_from_outside(loop_name, how, monkeypatch):
    arguments = []
    if how == "environment":
        monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    else:
        arguments = ["-X", "dev"]
    done = script(loop_name, "loop = new_loop(); print(loop.get_debug()); loop.close()", arguments=arguments)
    assert done.stdout == "True\n"


def test_a_slow_callback_is_logged(debug, caplog):
    def slow_callback():
        pass

    assert debug.slow_callback_duration == 0.1
    debug.slow_callback_duration = 0
    handle = debug.call_soon(slow_callback)
    turn(debug)
    (text,) = messages(caplog)
    assert text.startswith("Executing <Handle ") and "slow_callback() at " in text
    assert f"created at {__file__}" in text
    assert text.endswith(" seconds") and float(text.split()[-2]) >= 0
    assert caplog.records[-1].name == "asyncio"
    handle.cancel()


def test_a_quick_callback_is_not_logged(debug, caplog):
    debug.slow_callback_duration = 1000
    debug.call_soon(print)
    turn(debug)
    assert messages(caplog) == []


def test_outside_debug_mode_nothing_is_slow(loop, caplog):
    loop.slow_callback_duration = 0
    loop.call_soon(print)
    turn(loop)
    assert messages(caplog) == []


def test_how_slow_it_was_is_taken_from_the_time_of_the_loop(debug, caplog):
    clock = [0.0]
    debug.time = lambda: clock[0]

    def slow_callback():
        clock[0] += 5

    debug.call_soon(slow_callback)
    turn(debug)
    (text,) = messages(caplog)
    assert text.endswith(" took 5.000 seconds")


def test_a_slow_step_of_a_task_is_logged_by_its_task(debug, caplog):
    async def slow_step():
        await asyncio.sleep(0)

    task = debug.create_task(slow_step(), name="the slow one")
    debug.slow_callback_duration = 0
    turn(debug, 3)
    assert task.done()
    texts = messages(caplog)
    assert texts and all(text.startswith("Executing <Task ") for text in texts[:2])
    assert "name='the slow one'" in texts[0] and "slow_step() " in texts[0]


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at"])
def test_another_thread_may_not_schedule(debug, method):
    texts = []

    def schedule():
        with pytest.raises(RuntimeError) as caught:
            getattr(debug, method)(*([] if method == "call_soon" else [0]), print)
        texts.append(str(caught.value))
        debug.call_soon_threadsafe(debug.stop)

    async def start():
        return parked_thread(schedule)

    thread = finish(debug, start())
    join_all(thread)
    # The loop did not run all the while, so ask again with it surely running.
    texts.clear()
    threads = []
    debug.call_soon(lambda: threads.append(parked_thread(schedule)) if not threads else None)
    debug.run_forever()
    join_all(*threads)
    assert texts == [WRONG_THREAD]


def test_a_loop_that_does_not_run_has_no_thread(debug):
    seen = []
    join_all(parked_thread(lambda: debug.call_soon(seen.append, 1)))
    turn(debug)
    assert seen == [1]


def ways(loop, callback):
    return {
        "call_soon": lambda: loop.call_soon(callback),
        "call_soon_threadsafe": lambda: loop.call_soon_threadsafe(callback),
        # Either name will do: which of the two is meant by call_later() is told by its traceback.
        "call_at": lambda: loop.call_at(0, callback),
        "call_later": lambda: loop.call_later(0, callback),
    }


@pytest.mark.parametrize("name", ["call_soon", "call_soon_threadsafe", "call_at", "call_later"])
def test_coroutines_are_no_callbacks(debug, name):
    async def coroutine():
        pass

    method = "call_at" if name == "call_later" else name
    with pytest.raises(TypeError) as caught:
        ways(debug, coroutine)[name]()
    assert str(caught.value) == f"coroutines cannot be used with {method}()"
    started = coroutine()
    with pytest.raises(TypeError) as caught:
        ways(debug, started)[name]()
    assert str(caught.value) == f"coroutines cannot be used with {method}()"
    started.close()


@pytest.mark.parametrize("name", ["call_soon", "call_soon_threadsafe", "call_at", "call_later"])
def test_what_cannot_be_called_is_no_callback(debug, name):
    method = "call_at" if name == "call_later" else name
    with pytest.raises(TypeError) as caught:
        ways(debug, "text")[name]()
    assert str(caught.value) == f"a callable object was expected by {method}(), got 'text'"


@pytest.mark.parametrize("name", ["call_soon", "call_soon_threadsafe", "call_at", "call_later"])
def test_outside_debug_mode_it_is_found_out_when_called(loop, errors, name):
    ways(loop, None)[name]()
    turn(loop)
    (context,) = errors
    assert isinstance(context["exception"], TypeError)
    assert str(context["exception"]) == "'NoneType' object is not callable"
    assert context["message"] == "Exception in callback None()"


def test_origins_of_coroutines_are_tracked_while_running(debug):
    outside = sys.get_coroutine_origin_tracking_depth()

    async def look():
        return sys.get_coroutine_origin_tracking_depth()

    assert finish(debug, look()) == asyncio.constants.DEBUG_STACK_DEPTH
    assert sys.get_coroutine_origin_tracking_depth() == outside


def test_a_depth_that_was_set_is_given_back(debug):
    sys.set_coroutine_origin_tracking_depth(3)
    try:
        turn(debug)
        assert sys.get_coroutine_origin_tracking_depth() == 3
    finally:
        sys.set_coroutine_origin_tracking_depth(0)


def test_outside_debug_mode_origins_are_not_tracked(loop):
    seen = []
    loop.call_soon(lambda: seen.append(sys.get_coroutine_origin_tracking_depth()))
    turn(loop)
    assert seen == [0]


def test_debug_mode_may_be_switched_while_running(loop):
    async def main():
        seen = []
        for switch in (True, False):
            loop.set_debug(switch)
            await asyncio.sleep(0)
            seen.append((loop.get_debug(), sys.get_coroutine_origin_tracking_depth()))
        return seen

    assert finish(loop, main()) == [(True, asyncio.constants.DEBUG_STACK_DEPTH), (False, 0)]
    assert sys.get_coroutine_origin_tracking_depth() == 0


def test_a_coroutine_never_awaited_says_where_it_was_made(loop_name):
    code = """
import asyncio
async def forgotten():
    pass
async def main():
    forgotten()
loop = new_loop()
loop.set_debug(True)
loop.run_until_complete(main())
loop.close()
"""
    line = PRELUDES[loop_name].count("\n") + 6
    text = script(loop_name, code).stderr
    assert "coroutine 'forgotten' was never awaited" in text
    assert "Coroutine created at" in text and f"line {line}, in main" in text


def test_a_task_may_change_debug_mode_and_raise(loop):
    async def main():
        loop.set_debug(True)
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        finish(loop, main())
    assert sys.get_coroutine_origin_tracking_depth() == 0

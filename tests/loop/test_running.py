"""Running, stopping and closing the loop, and the errors of doing so at the wrong moment."""

import asyncio
import asyncio.base_events
import gc
import sys
import threading

import pytest

from toolkit import finish, join_all, parked_thread, run_bounded, turn


async def nothing():
    return None


def test_a_coroutine_runs_to_its_result(loop):
    async def answer():
        await asyncio.sleep(0)
        return 42

    assert loop.run_until_complete(answer()) == 42


def test_an_exception_of_a_coroutine_is_raised(loop):
    async def fail():
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        loop.run_until_complete(fail())


def test_a_future_a_task_and_an_awaitable_run_to_their_result(loop):
    class Awaitable:
        def __await__(self):
            yield
            return "awaited"

    future = loop.create_future()
    loop.call_soon(future.set_result, "future")
    assert loop.run_until_complete(future) == "future"
    assert loop.run_until_complete(future) == "future"
    assert loop.run_until_complete(loop.create_task(asyncio.sleep(0, "task"))) == "task"
    assert loop.run_until_complete(Awaitable()) == "awaited"


def test_a_cancelled_future_raises(loop):
    future = loop.create_future()
    loop.call_soon(future.cancel, "why")
    with pytest.raises(asyncio.CancelledError, match="why"):
        loop.run_until_complete(future)


def test_the_done_callback_is_the_one_of_asyncio(loop):
    async def look():
        return [callback for callback, _ in asyncio.current_task()._callbacks]

    task = loop.create_task(look())
    assert loop.run_until_complete(task) == [asyncio.base_events._run_until_complete_cb]
    assert not task._callbacks


def test_a_loop_stopped_too_early_says_so(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError) as caught:
        loop.run_until_complete(future)
    assert str(caught.value) == "Event loop stopped before Future completed."
    # The callback is taken off again, so that the future may be finished later without stopping the loop.
    assert not future._callbacks
    future.cancel()


@pytest.mark.parametrize("thing", [None, 42, "text", nothing, object()])
def test_what_cannot_be_awaited_is_refused(loop, thing):
    with pytest.raises(TypeError, match="An asyncio.Future, a coroutine or an awaitable is required"):
        loop.run_until_complete(thing)
    assert not loop.is_running()


def test_a_future_of_another_loop_is_refused(loop, loop_factory):
    other = loop_factory()
    future = other.create_future()
    with pytest.raises(ValueError, match="The future belongs to a different loop"):
        loop.run_until_complete(future)
    other.close()


def test_awaiting_a_future_of_another_loop_fails(loop, loop_factory):
    other = loop_factory()
    future = other.create_future()

    async def wait():
        await future

    with pytest.raises(RuntimeError, match="attached to a different loop"):
        finish(loop, wait())
    other.close()


def test_stop_before_running_runs_one_batch(loop):
    seen = []
    loop.call_soon(lambda: loop.call_soon(seen.append, "next batch"))
    loop.call_soon(seen.append, "this batch")
    loop.stop()
    loop.run_forever()
    assert seen == ["this batch"]
    assert not loop.is_running()
    turn(loop)
    assert seen == ["this batch", "next batch"]


def test_stop_inside_a_batch_runs_the_rest_of_it(loop):
    seen = []
    loop.call_soon(loop.stop)
    loop.call_soon(lambda: loop.call_soon(seen.append, "next batch"))
    loop.call_soon(seen.append, "this batch")
    run_bounded(loop)
    assert seen == ["this batch"]
    turn(loop)
    assert seen == ["this batch", "next batch"]


def test_stop_is_forgotten_once_the_loop_has_stopped(loop):
    loop.stop()
    loop.stop()
    loop.run_forever()
    seen = []
    loop.call_soon(loop.call_soon, seen.append, "second turn")
    loop.call_later(0.01, loop.stop)
    run_bounded(loop)
    assert seen == ["second turn"]


def test_stop_takes_a_due_timer_into_the_last_batch(loop):
    seen = []
    loop.call_later(-1, seen.append, "due")
    loop.stop()
    loop.run_forever()
    assert seen == ["due"]


def test_a_loop_may_run_many_times(loop):
    for number in range(50):
        assert loop.run_until_complete(asyncio.sleep(0, number)) == number


def test_tasks_survive_between_runs(loop):
    async def count():
        total = 0
        for _ in range(5):
            total += 1
            await asyncio.sleep(0)
        return total

    task = loop.create_task(count())
    turn(loop, 2)
    assert not task.done()
    assert finish(loop, task) == 5


def test_the_loop_knows_its_state(loop):
    states = [(loop.is_running(), loop.is_closed())]
    loop.call_soon(lambda: states.append((loop.is_running(), loop.is_closed())))
    turn(loop)
    states.append((loop.is_running(), loop.is_closed()))
    loop.close()
    states.append((loop.is_running(), loop.is_closed()))
    assert states == [(False, False), (True, False), (False, False), (False, True)]


def test_the_running_loop_is_known_to_asyncio(loop):
    seen = []
    loop.call_soon(lambda: seen.append(asyncio.get_running_loop()))
    loop.call_soon(lambda: seen.append(asyncio.get_event_loop()))
    turn(loop)
    assert seen == [loop, loop]
    assert asyncio._get_running_loop() is None


@pytest.fixture
def nesting_is_refused(loop_factory):
    # The first releases of 3.13 refuse, and then forget that the outer loop runs.
    if issubclass(loop_factory, asyncio.SelectorEventLoop) and sys.version_info[:2] == (3, 13):
        pytest.skip("refused nesting breaks this version's own loop")


@pytest.mark.usefixtures("nesting_is_refused")
def test_a_running_loop_cannot_be_run(loop):
    async def nest():
        with pytest.raises(RuntimeError, match="^This event loop is already running$"):
            loop.run_forever()
        coroutine = nothing()
        with pytest.raises(RuntimeError, match="^This event loop is already running$"):
            loop.run_until_complete(coroutine)
        coroutine.close()
        assert loop.is_running() and asyncio.get_running_loop() is loop
        await asyncio.sleep(0)

    finish(loop, nest())


@pytest.mark.usefixtures("nesting_is_refused")
def test_another_loop_cannot_run_inside_a_running_one(loop, loop_factory):
    other = loop_factory()

    async def nest():
        with pytest.raises(RuntimeError, match="^Cannot run the event loop while another loop is running$"):
            other.run_forever()
        coroutine = nothing()
        with pytest.raises(RuntimeError, match="^Cannot run the event loop while another loop is running$"):
            other.run_until_complete(coroutine)
        coroutine.close()
        assert asyncio.get_running_loop() is loop

    finish(loop, nest())
    assert not other.is_running()
    other.run_until_complete(nothing())
    other.close()


def test_a_loop_running_in_one_thread_cannot_be_run_in_another(loop):
    started = threading.Event()
    loop.call_soon(started.set)
    thread = parked_thread(loop.run_forever)
    assert started.wait(10)
    with pytest.raises(RuntimeError, match="^This event loop is already running$"):
        loop.run_forever()
    loop.call_soon_threadsafe(loop.stop)
    join_all(thread)


def test_a_running_loop_cannot_be_closed(loop):
    async def close():
        with pytest.raises(RuntimeError, match="^Cannot close a running event loop$"):
            loop.close()

    finish(loop, close())
    assert not loop.is_closed()


def test_closing_twice_is_harmless(loop):
    loop.close()
    loop.close()
    assert loop.is_closed()


def test_what_was_ready_does_not_run_when_the_loop_is_closed(loop):
    seen = []
    loop.call_soon(seen.append, 1)
    loop.call_later(0, seen.append, 2)
    loop.close()
    assert seen == []


def test_cancelling_handles_after_close_is_harmless(loop):
    handles = [loop.call_soon(print), loop.call_later(60, print), loop.call_soon_threadsafe(print)]
    loop.close()
    for handle in handles:
        handle.cancel()
        assert handle.cancelled()


def test_stop_and_debug_on_a_closed_loop_are_harmless(loop):
    loop.close()
    loop.stop()
    loop.set_debug(True)
    assert loop.get_debug() is True
    assert loop.time() > 0


CLOSED = {
    "run_forever": lambda loop: loop.run_forever(),
    "call_soon": lambda loop: loop.call_soon(print),
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(print),
    "call_later": lambda loop: loop.call_later(1, print),
    "call_at": lambda loop: loop.call_at(1, print),
    "add_reader": lambda loop: loop.add_reader(0, print),
    "add_writer": lambda loop: loop.add_writer(0, print),
    "add_signal_handler": lambda loop: loop.add_signal_handler(10, print),
    "run_in_executor": lambda loop: loop.run_in_executor(None, print),
}


@pytest.mark.parametrize("name", list(CLOSED))
def test_a_closed_loop_refuses(loop, name):
    loop.close()
    with pytest.raises(RuntimeError, match="^Event loop is closed$"):
        CLOSED[name](loop)


@pytest.mark.parametrize("method", ["run_until_complete", "create_task"])
def test_a_closed_loop_refuses_coroutines(loop, method):
    loop.close()
    coroutine = nothing()
    with pytest.raises(RuntimeError, match="^Event loop is closed$"):
        getattr(loop, method)(coroutine)
    coroutine.close()


def test_a_closed_loop_has_no_readers(loop):
    loop.close()
    assert loop.remove_reader(0) is False
    assert loop.remove_writer(0) is False


def test_a_loop_runs_in_another_thread_than_it_was_made_in(loop):
    results = []
    join_all(parked_thread(lambda: results.append(finish(loop, asyncio.sleep(0.001, "there")))))
    results.append(finish(loop, asyncio.sleep(0.001, "and here")))
    assert results == ["there", "and here"]


def test_asyncio_runs_on_the_loop(loop_factory):
    async def main():
        await asyncio.sleep(0)
        return type(asyncio.get_running_loop())

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(main()) is loop_factory
        assert runner.get_loop().is_running() is False


@pytest.mark.epicycle_only
@pytest.mark.filterwarnings("error")
def test_a_loop_that_was_never_made_goes_without_a_word(loop_factory):
    with pytest.raises(TypeError):
        loop_factory(None)
    gc.collect()

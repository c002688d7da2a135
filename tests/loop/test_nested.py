"""Loops that run inside of a running one: `NestedEventLoop`."""

import asyncio
import gc
import sys
import threading

import pytest

from loop.nested import failing, later, loop_factory  # noqa: F401
from toolkit import join_all, parked_thread, run_bounded, until

pytestmark = pytest.mark.epicycle_only


# ---- running ----


def test_a_coroutine_runs_inside_of_another(loop):
    async def outer():
        return loop.run_until_complete(later("inner")), await later("outer")

    assert loop.run_until_complete(outer()) == ("inner", "outer")


def test_an_exception_of_the_inner_run_is_the_callers(loop):
    async def outer():
        with pytest.raises(LookupError, match="lost"):
            loop.run_until_complete(failing(LookupError("lost")))
        return await later("went on")

    assert loop.run_until_complete(outer()) == "went on"


def test_callbacks_of_every_kind_may_run_the_loop(loop, errors):
    results = []

    def nested(name, *_):
        results.append(loop.run_until_complete(later(name)))

    async def outer():
        loop.call_soon(nested, "soon")
        loop.call_later(0.001, nested, "timer")
        loop.call_soon_threadsafe(nested, "threadsafe")
        loop.create_future().add_done_callback(nested)
        done = loop.create_future()
        done.add_done_callback(lambda _: nested("done"))
        done.set_result(None)
        await until(lambda: len(results) == 4)

    loop.run_until_complete(outer())
    assert sorted(results) == ["done", "soon", "threadsafe", "timer"]
    assert errors == []


def test_what_the_inner_run_waits_for_may_be_a_task_of_the_outer(loop):
    async def outer():
        tasks = [loop.create_task(later(number, turns=number)) for number in range(5)]
        assert loop.run_until_complete(tasks[3]) == 3
        assert loop.run_until_complete(asyncio.gather(*tasks)) == [0, 1, 2, 3, 4]
        return await tasks[4]

    assert loop.run_until_complete(outer()) == 4


def test_groups_and_timeouts_work_inside(loop):
    async def inner():
        async with asyncio.TaskGroup() as group:
            one = group.create_task(later(1))
            two = group.create_task(later(2))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await loop.create_future()
        return one.result() + two.result()

    async def outer():
        async with asyncio.timeout(10):
            return loop.run_until_complete(inner())

    assert loop.run_until_complete(outer()) == 3


def test_a_thread_wakes_the_inner_run(loop):
    async def outer():
        arrived = loop.create_future()
        thread = parked_thread(loop.call_soon_threadsafe, arrived.set_result, "from a thread")
        answer = loop.run_until_complete(arrived)
        join_all(thread)
        return answer

    assert loop.run_until_complete(outer()) == "from a thread"


def test_an_executor_is_awaited_inside(loop):
    async def inner():
        return await asyncio.to_thread(threading.get_ident)

    async def outer():
        thread = loop.run_until_complete(inner())
        await loop.shutdown_default_executor()
        return thread

    assert loop.run_until_complete(outer()) != threading.get_ident()


# ---- what is current ----


def test_the_outer_task_is_not_current_meanwhile(loop):
    seen = []

    async def look():
        seen.append(asyncio.current_task().get_name())
        loop.call_soon(lambda: seen.append(asyncio.current_task()))
        await asyncio.sleep(0)

    async def outer():
        me = asyncio.current_task()
        loop.run_until_complete(loop.create_task(look(), name="inner"))
        assert asyncio.current_task() is me
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(0)
        assert asyncio.current_task() is me

    loop.run_until_complete(outer())
    assert seen == ["inner", None]
    assert asyncio._get_running_loop() is None


def test_the_outer_task_is_current_again_after_an_error(loop):
    async def outer():
        me = asyncio.current_task()
        with pytest.raises(LookupError):
            loop.run_until_complete(failing(LookupError()))
        assert asyncio.current_task() is me

    loop.run_until_complete(outer())


def test_a_task_that_is_cancelled_during_its_inner_run_hears_of_it_afterwards(loop):
    async def outer():
        task = asyncio.current_task()
        loop.call_soon(task.cancel)
        assert loop.run_until_complete(later("inner")) == "inner"
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(outer())


def test_generators_go_on_being_looked_after(loop):
    closed = []

    async def numbers():
        try:
            yield 1
        finally:
            closed.append(True)

    async def outer():
        hooks = sys.get_asyncgen_hooks()
        loop.run_until_complete(later(None))
        assert sys.get_asyncgen_hooks() == hooks
        generator = numbers()
        async for _ in generator:
            break
        del generator
        gc.collect()
        loop.run_until_complete(until(lambda: closed))

    loop.run_until_complete(outer())
    assert closed == [True]


# ---- the order of callbacks ----


def test_what_is_left_of_the_outer_batch_runs_first_and_in_order(loop):
    seen = []

    def nested():
        seen.append("before")
        loop.call_soon(seen.append, "new")
        loop.run_until_complete(later(None))
        seen.append("after")

    async def outer():
        for name in ("first", nested, "second", "third"):
            loop.call_soon(name) if callable(name) else loop.call_soon(seen.append, name)
        await until(lambda: "after" in seen)

    loop.run_until_complete(outer())
    assert seen == ["first", "before", "second", "third", "new", "after"]


def test_what_an_inner_run_leaves_runs_in_the_outer_one(loop):
    seen = []

    async def inner():
        for number in range(3):
            loop.call_soon(seen.append, number)

    async def outer():
        loop.run_until_complete(inner())
        loop.call_soon(seen.append, 3)
        await until(lambda: len(seen) == 4)

    loop.run_until_complete(outer())
    assert seen == [0, 1, 2, 3]


# ---- stopping ----


def test_stopping_the_inner_run_does_not_stop_the_outer(loop):
    seen = []

    def nested():
        loop.call_soon(loop.stop)
        loop.run_forever()
        seen.append("inner run has ended")
        loop.call_soon(seen.append, "outer run goes on")
        loop.call_later(0.001, loop.stop)

    loop.call_soon(nested)
    run_bounded(loop)
    assert seen == ["inner run has ended", "outer run goes on"]


def test_a_stop_of_the_outer_run_is_kept(loop):
    seen = []

    def nested():
        loop.stop()
        seen.append(loop.run_until_complete(later("inner")))
        loop.call_soon(seen.append, "too late")

    loop.call_soon(nested)
    run_bounded(loop)
    assert seen == ["inner"]


def test_an_inner_run_that_is_stopped_early_says_so(loop):
    async def outer():
        never = loop.create_future()
        loop.call_soon(loop.stop)
        with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed\.$"):
            loop.run_until_complete(never)
        return await later("went on")

    assert loop.run_until_complete(outer()) == "went on"


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_outer_run_that_is_done_first_waits_for_the_inner_ones(loop, depth):
    """Each run waits for a future of its own; the outermost is done first, and nobody is stopped too early."""
    ended = []
    futures = [loop.create_future() for _ in range(depth + 1)]

    def go_deeper(level):
        if level <= depth:
            loop.call_soon(go_deeper, level + 1)
            ended.append((level, loop.run_until_complete(futures[level])))
        else:
            for number, future in enumerate(futures):
                loop.call_later(0.001 * number, future.set_result, number)

    loop.call_soon(go_deeper, 1)
    assert loop.run_until_complete(futures[0]) == 0
    assert ended == [(level, level) for level in range(depth, 0, -1)]


def test_an_inner_run_may_begin_when_the_outer_one_is_done(loop):
    done = loop.create_future()
    ended = []

    def nested(_):
        loop.call_soon(loop.stop)
        loop.run_forever()
        ended.append(True)

    def finish():
        # Called behind the callback that stops the outer run, in the same turn.
        done.add_done_callback(nested)
        done.set_result("done")

    loop.call_soon(finish)
    assert loop.run_until_complete(done) == "done"
    assert ended == [True]


def test_two_runs_may_wait_for_the_same_future(loop):
    shared = loop.create_future()
    seen = []

    def nested():
        loop.call_soon(loop.stop)
        with pytest.raises(RuntimeError, match="stopped before"):
            loop.run_until_complete(shared)
        loop.call_soon(shared.set_result, "shared")
        seen.append(loop.run_until_complete(shared))

    loop.call_soon(nested)
    assert loop.run_until_complete(shared) == "shared"
    assert seen == ["shared"]


def test_the_loop_cannot_be_closed_from_inside(loop):
    async def outer():
        loop.run_until_complete(later(None))
        with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
            loop.close()

    loop.run_until_complete(outer())


# ---- what passes through ----


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_program_passes_through_every_run(loop, kind):
    left = []

    async def leave():
        await asyncio.sleep(0)
        raise kind("bye")

    async def outer():
        try:
            loop.run_until_complete(leave())
        finally:
            left.append(asyncio.current_task() is task)

    task = loop.create_task(outer())
    with pytest.raises(kind, match="bye"):
        loop.run_until_complete(task)
    assert left == [True]
    assert not loop.is_running()
    assert loop.run_until_complete(later("again")) == "again"


def test_what_a_callback_raises_is_reported_and_the_inner_run_goes_on(loop, errors):
    async def outer():
        loop.call_soon(lambda: 1 / 0)
        return loop.run_until_complete(later("inner"))

    assert loop.run_until_complete(outer()) == "inner"
    assert [type(context["exception"]) for context in errors] == [ZeroDivisionError]

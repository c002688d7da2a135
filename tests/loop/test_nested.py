"""Loops that run inside of a running one: `NestedEventLoop`."""

import asyncio
import contextvars
import gc
import signal
import sys
import threading
import weakref

import pytest

import epicycle
from epicycle import NestedEventLoop
from toolkit import FACTORIES, Recorder, attached, join_all, parked_thread, run_bounded, until

pytestmark = pytest.mark.epicycle_only


@pytest.fixture
def loop_factory(loop_name):
    return NestedEventLoop


async def later(value, turns=3):
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def failing(error):
    await asyncio.sleep(0)
    raise error


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


# ---- contexts ----

setting = contextvars.ContextVar("setting", default="unset")


def test_a_context_that_is_current_may_be_used_inside(loop, errors):
    context = contextvars.copy_context()

    async def inner():
        await asyncio.sleep(0)
        setting.set("inner")

    async def outer():
        setting.set("outer")
        loop.call_soon(lambda: setting.set(setting.get() + "!"), context=context)
        loop.run_until_complete(loop.create_task(inner(), context=context))
        return setting.get()

    assert loop.run_until_complete(loop.create_task(outer(), context=context)) == "inner"
    assert errors == []


def test_a_context_of_a_frame_further_out_has_a_stand_in(loop, errors):
    """What is set in the stand-in is kept for its other users, and given back in the end."""
    context = contextvars.copy_context()
    seen = []

    async def innermost():
        seen.append(setting.get())
        token = setting.set("innermost")
        await asyncio.sleep(0)
        setting.reset(token)
        setting.set("new")

    async def middle():
        loop.run_until_complete(loop.create_task(innermost(), context=context))
        done = loop.create_future()
        loop.call_soon(lambda: done.set_result(setting.get()), context=context)
        seen.append(loop.run_until_complete(done))

    async def outer():
        setting.set("outer")
        loop.run_until_complete(middle())
        seen.append(setting.get())

    loop.run_until_complete(loop.create_task(outer(), context=context))
    assert seen == ["outer", "new", "new"]
    assert errors == []


def test_stand_ins_are_let_go(loop):
    from epicycle.loop import _nesting

    def run():
        context = contextvars.copy_context()

        async def middle():
            loop.run_until_complete(loop.create_task(later(None), context=context))

        async def outer():
            loop.run_until_complete(middle())

        loop.run_until_complete(loop.create_task(outer(), context=context))
        return weakref.ref(context)

    reference = run()
    gc.collect()
    assert reference() is None
    assert _nesting._stand_ins == {}


def test_a_plain_loop_still_refuses_a_context_that_is_entered(caplog):
    # To the log: since 3.12 a handler of one's own would be called in that context as well.
    loop = epicycle.new_event_loop()
    context = contextvars.copy_context()
    loop.call_soon(print, context=context)
    loop.call_soon(loop.stop)
    context.run(loop.run_forever)
    loop.close()
    [record] = caplog.records
    assert "cannot enter context" in str(record.exc_info[1])


def test_a_connection_receives_in_order_though_its_protocol_runs_the_loop(loop):
    async def feeding():
        class Nesting(Recorder):
            def data_received(self, data):
                super().data_received(data)
                number = len(self.data)
                if number < 5:
                    peer.send(bytes([number]))
                    loop.run_until_complete(until(lambda: len(self.data) > number))
                self.events.append(number)

        protocol = Nesting()
        async with attached(protocol) as (_, peer):
            peer.send(b"\0")
            await until(lambda: len(protocol.events) == 11)
            assert protocol.data == bytes(range(5))
            assert protocol.events == ["made", *["data"] * 5, 5, 4, 3, 2, 1]

    loop.run_until_complete(feeding())


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

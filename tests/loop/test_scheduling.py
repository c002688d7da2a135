"""When callbacks run: in which order, in which turn, in which context."""

import asyncio
import contextvars
import math
import time

import pytest

from toolkit import finish, run_bounded, turn

colour = contextvars.ContextVar("colour", default="none")


def test_callbacks_run_in_the_order_they_were_asked_for(loop):
    seen = []
    for number in range(100):
        loop.call_soon(seen.append, number)
    turn(loop)
    assert seen == list(range(100))


def test_a_callback_asked_for_by_a_callback_waits_for_the_next_turn(loop):
    seen = []

    def first():
        seen.append("first")
        loop.call_soon(seen.append, "third")

    loop.call_soon(first)
    loop.call_soon(seen.append, "second")
    turn(loop)
    assert seen == ["first", "second"]
    turn(loop)
    assert seen == ["first", "second", "third"]


def test_arguments_are_passed_as_they_are(loop):
    seen = []
    marker = object()
    loop.call_soon(lambda *args: seen.append(args), 1, None, marker)
    loop.call_later(0, lambda *args: seen.append(args))
    loop.call_at(loop.time(), lambda *args: seen.append(args), (1, 2))
    turn(loop)
    assert seen == [(1, None, marker), (), ((1, 2),)]


@pytest.mark.parametrize("name", ["call_soon", "call_soon_threadsafe"])
def test_parameters_may_be_given_by_name(loop, name):
    seen = []
    schedule = getattr(loop, name)
    schedule(callback=lambda: seen.append(name))
    loop.call_later(delay=0, callback=lambda: seen.append("later"))
    loop.call_at(loop.time(), callback=lambda: seen.append("at"))
    turn(loop, 2)
    assert seen == [name, "later", "at"]
    for wrong in ({"callback": print}, {"callable": print}):
        with pytest.raises(TypeError):
            schedule(print, **wrong)
        with pytest.raises(TypeError):
            loop.call_later(0, print, **wrong)


def test_a_cancelled_callback_does_not_run(loop):
    seen = []
    handle = loop.call_soon(seen.append, "no")
    handle.cancel()
    handle.cancel()
    turn(loop)
    assert seen == [] and handle.cancelled()


def test_a_callback_may_cancel_another_of_its_batch(loop):
    seen = []
    handles = []
    loop.call_soon(lambda: handles[0].cancel())
    handles.append(loop.call_soon(seen.append, "cancelled"))
    loop.call_soon(seen.append, "kept")
    turn(loop)
    assert seen == ["kept"]


def test_a_callback_may_cancel_itself_and_what_already_ran(loop):
    seen = []
    handles = [loop.call_soon(seen.append, "ran")]
    handles.append(loop.call_soon(lambda: [handle.cancel() for handle in handles]))
    turn(loop)
    assert seen == ["ran"] and all(handle.cancelled() for handle in handles)


def test_timers_run_by_deadline_whatever_the_order_of_asking(loop):
    seen = []
    start = loop.time()
    for delay in (0.03, 0.01, 0.05, 0.02, 0.04):
        loop.call_at(start + delay, seen.append, delay)
    loop.call_at(start + 0.06, loop.stop)
    run_bounded(loop)
    assert seen == [0.01, 0.02, 0.03, 0.04, 0.05]


@pytest.mark.epicycle_only
def test_timers_of_one_deadline_run_in_the_order_they_were_asked_for(loop):
    seen = []
    when = loop.time() - 1
    for number in range(200):
        loop.call_at(when, seen.append, number)
    turn(loop)
    assert seen == list(range(200))


def test_a_timer_is_never_early(loop):
    moments = []
    resolution = time.get_clock_info("monotonic").resolution
    start = loop.time()
    for number in range(60):
        loop.call_at(
            start + number * 0.00037,
            lambda when: moments.append((when, loop.time())),
            start + number * 0.00037,
        )
    loop.call_at(start + 0.03, loop.stop)
    run_bounded(loop)
    assert len(moments) == 60
    assert all(now >= when - resolution for when, now in moments)


def test_what_is_ready_goes_before_what_is_due(loop):
    seen = []
    loop.call_later(0, seen.append, "timer")
    loop.call_later(-1, seen.append, "overdue")
    loop.call_soon(seen.append, "soon")
    turn(loop)
    assert seen == ["soon", "overdue", "timer"]


def test_due_timers_run_in_the_turn_that_finds_them_due(loop):
    seen = []

    def soon():
        seen.append("soon")
        loop.call_soon(seen.append, "later")

    loop.call_soon(soon)
    loop.call_later(-1, seen.append, "due")
    turn(loop)
    assert seen == ["soon", "due"]
    turn(loop)
    assert seen == ["soon", "due", "later"]


def test_a_timer_set_to_now_by_a_callback_waits_for_the_next_turn(loop):
    seen = []
    loop.call_soon(lambda: loop.call_later(-1, seen.append, "due"))
    turn(loop)
    assert seen == []
    turn(loop)
    assert seen == ["due"]


def test_a_due_timer_may_be_cancelled_by_another_of_its_turn(loop):
    seen = []
    now = loop.time()
    handles = []
    loop.call_at(now - 2, lambda: handles[0].cancel())
    handles.append(loop.call_at(now - 1, seen.append, "cancelled"))
    loop.call_at(now, seen.append, "kept")
    turn(loop)
    assert seen == ["kept"]


def test_a_cancelled_timer_neither_runs_nor_holds_the_others_up(loop):
    seen = []
    cancelled = [loop.call_later(delay, seen.append, "no") for delay in (-1, 0, 0.01, 3600)]
    loop.call_later(0.02, loop.stop)
    for handle in cancelled:
        handle.cancel()
    run_bounded(loop)
    assert seen == [] and all(handle.cancelled() for handle in cancelled)


def test_most_of_many_timers_may_be_cancelled(loop):
    seen = []
    start = loop.time()
    handles = [loop.call_at(start + 0.01 + number / 1e6, seen.append, number) for number in range(5000)]
    for number, handle in enumerate(handles):
        if number % 100:
            handle.cancel()
    loop.call_at(start + 0.05, loop.stop)
    run_bounded(loop)
    assert seen == list(range(0, 5000, 100))


@pytest.mark.parametrize("delay", [-1, -0.5, -1e9, float("-inf"), 0, -0.0])
def test_a_delay_that_is_over_runs_at_once(loop, delay):
    seen = []
    loop.call_later(delay, seen.append, delay)
    turn(loop)
    assert seen == [delay]


def test_overdue_timers_keep_the_order_of_their_deadlines(loop):
    seen = []
    for delay in (-1, -3, -2):
        loop.call_later(delay, seen.append, delay)
    turn(loop)
    assert seen == [-3, -2, -1]


def test_deadlines_before_the_beginning_of_time_keep_their_order(loop):
    seen = []
    for when in (-1, -3e9, -2, 0, -0.5):
        loop.call_at(when, seen.append, when)
    turn(loop)
    assert seen == [-3e9, -2, -1, -0.5, 0]


def test_an_infinite_delay_never_ends(loop):
    seen = []
    handle = loop.call_later(math.inf, seen.append, "no")
    assert handle.when() == math.inf
    loop.call_later(0.01, loop.stop)
    run_bounded(loop)
    assert seen == []
    handle.cancel()


def test_a_very_long_delay_is_only_long(loop):
    seen = []
    handles = [loop.call_later(delay, seen.append, "no") for delay in (1e9, 1e12, 1e18, 1e300)]
    loop.call_later(0.01, loop.stop)
    run_bounded(loop)
    assert seen == []
    assert handles == sorted(handles)


def test_a_delay_that_is_no_number_runs_once_the_loop_is_busy(loop):
    # Alone in an idle loop it is a ValueError of the selector from 3.13 on; beside anything ready it is due.
    seen = []
    handle = loop.call_later(math.nan, seen.append, "nan")
    assert math.isnan(handle.when())
    turn(loop)
    assert seen == ["nan"]


@pytest.mark.parametrize("delay", ["1", b"1", object(), [1]])
def test_a_delay_of_a_wrong_type_is_refused(loop, delay):
    with pytest.raises(TypeError):
        loop.call_later(delay, print)


def test_no_delay_is_refused(loop):
    with pytest.raises(TypeError):
        loop.call_later(None, print)
    with pytest.raises(TypeError):
        loop.call_at(None, print)


def test_a_delay_too_large_for_a_float_is_refused(loop):
    with pytest.raises(OverflowError):
        loop.call_later(10**400, print)


@pytest.mark.parametrize("kind", [int, float, bool])
def test_a_delay_may_be_any_real_number(loop, kind):
    seen = []
    loop.call_later(kind(0), seen.append, "done")
    turn(loop)
    assert seen == ["done"]


def test_a_deadline_is_given_back_as_it_was_given(loop):
    handle = loop.call_at(12345, print)
    assert handle.when() == 12345
    handle.cancel()
    assert handle.when() == 12345


def test_a_delay_counts_from_now(loop):
    before = loop.time()
    handle = loop.call_later(100, print)
    after = loop.time()
    assert before + 100 <= handle.when() <= after + 100
    handle.cancel()


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_a_callback_runs_in_a_copy_of_the_context_it_was_asked_in(loop, method):
    seen = []
    token = colour.set("red")
    ask(loop, method, lambda: seen.append(colour.get()))
    colour.reset(token)
    ask(loop, method, colour.set, "green")
    ask(loop, method, lambda: seen.append(colour.get()))
    turn(loop)
    assert seen == ["red", "none"]
    assert colour.get() == "none"


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_a_callback_runs_in_the_context_it_was_given(loop, method):
    seen = []
    context = contextvars.copy_context()
    context.run(colour.set, "blue")
    ask(loop, method, lambda: seen.append(colour.get()), context=context)
    ask(loop, method, colour.set, "yellow", context=context)
    turn(loop)
    assert seen == ["blue"]
    assert context[colour] == "yellow"


def test_callbacks_of_one_context_may_follow_each_other_and_nest(loop):
    seen = []
    context = contextvars.copy_context()

    def step(number):
        seen.append((number, colour.get()))
        colour.set(str(number))
        if number < 3:
            loop.call_soon(step, number + 1, context=context)

    loop.call_soon(step, 0, context=context)
    loop.call_soon(step, 10, context=context)
    turn(loop, 5)
    assert seen == [(0, "none"), (10, "0"), (1, "10"), (2, "1"), (3, "2")]


def test_a_context_that_is_none_is_no_context(loop):
    seen = []
    loop.call_soon(seen.append, 1, context=None)
    loop.call_later(-1, seen.append, 2, context=None)
    turn(loop)
    assert seen == [1, 2]


def test_sleeping_tasks_wake_by_their_deadlines(loop):
    seen = []

    async def sleeper(delay):
        await asyncio.sleep(delay)
        seen.append(delay)

    async def main():
        await asyncio.gather(*(sleeper(delay) for delay in (0.03, 0.01, 0.02)))

    finish(loop, main())
    assert seen == [0.01, 0.02, 0.03]


def ask(loop, method, callback, *args, context=None):
    """Call one of the four ways to schedule a callback, due at once."""
    if method == "call_later":
        return loop.call_later(0, callback, *args, context=context)
    if method == "call_at":
        return loop.call_at(loop.time(), callback, *args, context=context)
    return getattr(loop, method)(callback, *args, context=context)

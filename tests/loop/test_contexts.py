"""The contexts of callbacks, which many handles share as long as nobody can tell."""

import asyncio
import contextvars
import gc
import sys
import weakref

import pytest

variable = contextvars.ContextVar("variable", default="unset")


class Thing:
    """Something that can be referenced weakly."""


def run_turns(loop, number=3):
    async def turns():
        for _ in range(number):
            await asyncio.sleep(0)

    loop.run_until_complete(turns())


@pytest.mark.parametrize("way", ["soon", "later", "threadsafe"])
def test_a_change_stays_in_the_callback_that_made_it(loop, way):
    seen = []
    schedule = {
        "soon": loop.call_soon,
        "later": lambda *work: loop.call_later(0, *work),
        "threadsafe": loop.call_soon_threadsafe,
    }[way]

    def change(value):
        seen.append((value, variable.get()))
        variable.set(value)
        seen.append(variable.get())

    def look(value):
        seen.append((value, variable.get()))

    for number, callback in enumerate([look, change, look, change, change, look]):
        schedule(callback, number)
    run_turns(loop)
    assert seen == [
        (0, "unset"),
        (1, "unset"),
        1,
        (2, "unset"),
        (3, "unset"),
        3,
        (4, "unset"),
        4,
        (5, "unset"),
    ]


def test_what_a_callback_schedules_sees_its_changes(loop):
    seen = []

    def first():
        variable.set("first")
        loop.call_soon(second)
        variable.set("first, later")
        loop.call_soon(third)

    def second():
        seen.append(variable.get())
        variable.set("second")

    def third():
        seen.append(variable.get())

    loop.call_soon(first)
    loop.call_soon(third)
    run_turns(loop)
    assert seen == ["unset", "first", "first, later"]


def test_tokens_belong_to_one_callback(loop):
    tokens, errors = [], []

    def take():
        tokens.append(variable.set("taken"))

    def give_back():
        try:
            variable.reset(tokens[0])
        except ValueError as error:
            errors.append(type(error))

    loop.call_soon(take)
    loop.call_soon(give_back)
    run_turns(loop)
    assert errors == [ValueError]


def test_a_token_is_good_inside_its_callback(loop):
    seen = []

    def change_and_undo():
        token = variable.set("for now")
        seen.append(variable.get())
        variable.reset(token)
        seen.append(variable.get())

    for _ in range(2):
        loop.call_soon(change_and_undo)
    loop.call_soon(lambda: seen.append(variable.get()))
    run_turns(loop)
    assert seen == ["for now", "unset", "for now", "unset", "unset"]


def test_handles_have_contexts_of_their_own(loop):
    first, second = loop.call_soon(print), loop.call_soon(print)
    assert type(first._context) is contextvars.Context
    assert first._context is first._context
    assert first._context is not second._context
    first._context.run(variable.set, "in the first alone")
    assert first._context[variable] == "in the first alone"
    assert variable not in second._context
    first.cancel()
    second.cancel()


def test_a_change_before_the_run_is_seen_in_it(loop):
    seen = []
    handle = loop.call_soon(lambda: seen.append(variable.get()))
    handle._context.run(variable.set, "before")
    loop.call_soon(lambda: seen.append(variable.get()))
    run_turns(loop)
    assert seen == ["before", "unset"]


def test_the_context_while_and_after_the_callback_ran(loop):
    handles, during = [], []

    def callback():
        variable.set("inside")
        context = handles[0]._context
        during.append((context[variable], context is handles[0]._context))
        with pytest.raises(RuntimeError, match="already entered"):
            context.run(print)

    handles.append(loop.call_soon(callback))
    handles.append(loop.call_soon(variable.set, "in the second"))
    handles.append(loop.call_soon(variable.get))
    run_turns(loop)
    assert during == [("inside", True)]
    assert handles[0]._context[variable] == "inside"
    assert handles[1]._context[variable] == "in the second"
    assert variable not in handles[2]._context


def test_the_exception_handler_sees_what_the_callback_changed(loop):
    contexts = []
    loop.set_exception_handler(lambda loop, report: contexts.append(report["handle"]._context))

    def fail():
        variable.set("before the failure")
        raise ZeroDivisionError

    loop.call_soon(fail)
    loop.call_soon(variable.get)
    run_turns(loop)
    assert [context[variable] for context in contexts] == ["before the failure"]


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="before 3.12 the handler runs in the context of the loop"
)
def test_the_exception_handler_runs_in_that_context(loop):
    seen = []
    loop.set_exception_handler(lambda loop, report: seen.append(variable.get()))

    def fail(value):
        variable.set(value)
        raise ZeroDivisionError

    loop.call_soon(fail, "first")
    loop.call_soon(fail, "second")
    run_turns(loop)
    assert seen == ["first", "second"]


def test_a_given_context_is_that_very_one(loop):
    context = contextvars.copy_context()
    handles = [loop.call_soon(variable.set, number, context=context) for number in range(2)]
    loop.call_soon(variable.get)
    assert all(handle._context is context for handle in handles)
    run_turns(loop)
    assert context[variable] == 1


def test_the_context_can_be_replaced(loop):
    seen = []
    handle = loop.call_soon(lambda: seen.append(variable.get()))
    context = contextvars.copy_context()
    context.run(variable.set, "another")
    handle._context = context
    assert handle._context is context
    run_turns(loop)
    assert seen == ["another"]


def test_nothing_in_a_context_outlives_its_callback(loop):
    thing = Thing()
    alive = weakref.ref(thing)
    seen = []
    context = contextvars.copy_context()
    context.run(variable.set, thing)
    context.run(loop.call_soon, lambda: seen.append(variable.get() is alive()))
    del context, thing

    async def later():
        # A turn in which nothing is due, so that the loop sleeps.
        await asyncio.sleep(0.001)
        gc.collect()
        return alive()

    assert loop.run_until_complete(later()) is None
    assert seen == [True]


@pytest.mark.parametrize("arguments", [(), (1,), ((),), ((1, 2),), (1, 2), ([],)])
def test_arguments_are_a_tuple(loop, arguments):
    seen = []
    handle = loop.call_soon(lambda *given: seen.append(given), *arguments)
    assert handle._args == arguments
    assert type(handle._args) is tuple
    assert handle._args is handle._args
    loop.call_soon(lambda *given: seen.append(given), *arguments)
    run_turns(loop)
    assert seen == [arguments, arguments]
    handle.cancel()


def test_arguments_can_be_replaced(loop):
    seen = []
    handles = [loop.call_soon(seen.append, "old") for _ in range(2)]
    handles[0]._args = ["new"]
    handles[1]._args = ("new too",)
    run_turns(loop)
    assert seen == ["new", "new too"]


def test_a_cancelled_handle_gives_up_its_argument(loop):
    thing = Thing()
    alive = weakref.ref(thing)
    for handle in (loop.call_soon(print, thing), loop.call_later(3600, print, thing)):
        handle.cancel()
        assert handle._args is None
    del thing
    gc.collect()
    assert alive() is None

"""call_soon and its kin, handles, futures, tasks."""

import asyncio
import math
import threading

from bad_input.cases import Arguments, Case, wrong_types


async def coroutine_function():
    return "done"


def noop(*args):
    """A callback that is all right."""


def from_another_thread(call):
    """What a call raises, or returns, in a thread that is not the loop's."""
    box = []

    def body():
        try:
            box.append(call())
        except Exception as error:
            box.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return box[0]


CALLBACK = ("callback", lambda stage: noop)
CASES = [
    *wrong_types(
        "call_soon", Arguments(CALLBACK, context=lambda stage: None), leave_out=[("context", "None")]
    ),
    *wrong_types("call_soon_threadsafe", Arguments(CALLBACK, context=lambda stage: None)),
    *wrong_types(
        "call_later",
        Arguments(("delay", lambda stage: 0), CALLBACK, context=lambda stage: None),
    ),
    *wrong_types("call_at", Arguments(("when", lambda stage: 0), CALLBACK, context=lambda stage: None)),
    *wrong_types("call_soon", Arguments(CALLBACK), place="debugging"),
    *wrong_types("call_later", Arguments(("delay", lambda stage: 0), CALLBACK), place="debugging"),
    *wrong_types("call_at", Arguments(("when", lambda stage: 0), CALLBACK), place="debugging"),
    *wrong_types("call_soon_threadsafe", Arguments(CALLBACK), place="debugging"),
    Case("call_soon", "nothing", lambda stage: stage.loop.call_soon()),
    Case("call_soon", "an option there is not", lambda stage: stage.loop.call_soon(noop, nonsense=1)),
    Case("call_later", "a delay alone", lambda stage: stage.loop.call_later(1)),
    Case("call_later", "an option there is not", lambda stage: stage.loop.call_later(0, noop, nonsense=1)),
    Case("call_at", "a time alone", lambda stage: stage.loop.call_at(1)),
    Case("call_at", "an option there is not", lambda stage: stage.loop.call_at(0, noop, nonsense=1)),
    Case("call_later", "infinity", lambda stage: stage.loop.call_later(math.inf, noop)),
    Case("call_later", "minus infinity", lambda stage: stage.loop.call_later(-math.inf, noop)),
    *(
        Case(
            method,
            "a coroutine function",
            lambda stage, m=method, a=before: getattr(stage.loop, m)(*a, coroutine_function),
            place,
        )
        for place in ("running", "debugging")
        for method, before in (
            ("call_soon", ()),
            ("call_soon_threadsafe", ()),
            ("call_later", (0,)),
            ("call_at", (0,)),
        )
    ),
    *(
        Case(
            method,
            "all is right",
            lambda stage, m=method, a=before: getattr(stage.loop, m)(*a, noop),
            "closed",
        )
        for method, before in (
            ("call_soon", ()),
            ("call_soon_threadsafe", ()),
            ("call_later", (0,)),
            ("call_at", (0,)),
        )
    ),
    *(
        Case(
            method,
            "in another thread",
            lambda stage, m=method, a=before: from_another_thread(lambda: getattr(stage.loop, m)(*a, noop)),
            place,
        )
        for place in ("running", "debugging")
        for method, before in (
            ("call_soon", ()),
            ("call_soon_threadsafe", ()),
            ("call_later", (0,)),
            ("call_at", (0,)),
        )
    ),
    Case("Handle.cancel", "an argument", lambda stage: stage.loop.call_soon(noop).cancel(1)),
    Case("Handle.cancelled", "an argument", lambda stage: stage.loop.call_soon(noop).cancelled(1)),
    Case("Handle.get_context", "an argument", lambda stage: stage.loop.call_soon(noop).get_context(1)),
    Case("TimerHandle.when", "an argument", lambda stage: stage.loop.call_later(1, noop).when(1)),
    Case(
        "TimerHandle.cancel",
        "twice",
        lambda stage: [h := stage.loop.call_later(1, noop), h.cancel(), h.cancel()],
    ),
    Case("TimerHandle.cancelled", "an argument", lambda stage: stage.loop.call_later(1, noop).cancelled(1)),
    Case(
        "TimerHandle.get_context", "an argument", lambda stage: stage.loop.call_later(1, noop).get_context(1)
    ),
    Case("TimerHandle", "compared with a number", lambda stage: stage.loop.call_later(1, noop) < 3),
    Case("TimerHandle", "hashed with its like", lambda stage: stage.loop.call_later(1, noop) == 1),
    Case(
        "Handle",
        "compared with its like",
        lambda stage: stage.loop.call_soon(noop) < stage.loop.call_soon(noop),
    ),
    Case("create_future", "an argument", lambda stage: stage.loop.create_future(1)),
    Case("create_future", "all is right", lambda stage: [stage.loop.create_future()], "closed"),
    *wrong_types("create_task", Arguments(("coro", lambda stage: None))),
    Case("create_task", "a coroutine function", lambda stage: stage.loop.create_task(coroutine_function)),
    Case("create_task", "a future", lambda stage: stage.loop.create_task(stage.loop.create_future())),
    Case("create_task", "all is right", lambda stage: stage.loop.create_task(coroutine_function()), "closed"),
    Case("create_task", "a context that is none", lambda stage: not_begun(stage)),
    Case(
        "create_task",
        "a number for a name",
        lambda stage: named(stage.loop.create_task(coroutine_function(), name=7)),
    ),
    *wrong_types(
        "set_task_factory", Arguments(("factory", lambda stage: None)), leave_out=[("factory", "a type")]
    ),
    Case("set_task_factory", "nothing", lambda stage: stage.loop.set_task_factory()),
    Case("set_task_factory", "all is right", lambda stage: stage.loop.set_task_factory(None), "closed"),
    Case("get_task_factory", "an argument", lambda stage: stage.loop.get_task_factory(1)),
    Case("time", "an argument", lambda stage: stage.loop.time(1)),
    Case("time", "all is right", lambda stage: type(stage.loop.time()), "closed"),
]


def named(task):
    return task.get_name()


async def not_begun(stage):
    """A task whose first step fails outside of it."""
    coroutine = coroutine_function()
    task = stage.loop.create_task(coroutine, context=1)
    await asyncio.sleep(0)
    coroutine.close()
    return task.done()

"""Running, stopping and closing; debug mode; exception handlers; asynchronous generators."""

import asyncio

from bad_input.cases import Arguments, Case, wrong_types


async def coroutine_function():
    return "done"


def consumed(coroutine, call):
    """Calls with a coroutine that is closed afterwards, so that nobody complains that it was never awaited."""
    try:
        return call(coroutine)
    finally:
        coroutine.close()


def foreign_future(stage):
    other = asyncio.SelectorEventLoop()
    try:
        return stage.loop.run_until_complete(other.create_future())
    finally:
        other.close()


def inside_another(stage):
    """Runs the loop while another one runs in this thread."""

    async def main():
        stage.loop.run_forever()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


def stopped_early(stage):
    stage.loop.call_soon(stage.loop.stop)
    future = stage.loop.create_future()
    try:
        return stage.loop.run_until_complete(future)
    finally:
        future.cancel()


CONTEXTS = [{}, {"message": None}, {"message": "a word", "exception": None}, {"message": 3, "nonsense": 4}]

CASES = [
    Case("run_forever", "while it runs", lambda stage: stage.loop.run_forever()),
    Case("run_forever", "all is right", lambda stage: stage.loop.run_forever(), "closed"),
    Case("run_forever", "an argument", lambda stage: stage.loop.run_forever(1), "idle"),
    Case("run_forever", "inside another loop", inside_another, "idle"),
    *wrong_types("run_until_complete", Arguments(("future", lambda stage: None)), place="idle"),
    Case("run_until_complete", "nothing", lambda stage: stage.loop.run_until_complete(), "idle"),
    Case(
        "run_until_complete",
        "while it runs",
        lambda stage: consumed(coroutine_function(), stage.loop.run_until_complete),
    ),
    Case(
        "run_until_complete",
        "all is right",
        lambda stage: consumed(coroutine_function(), stage.loop.run_until_complete),
        "closed",
    ),
    Case(
        "run_until_complete",
        "a coroutine function",
        lambda stage: stage.loop.run_until_complete(coroutine_function),
        "idle",
    ),
    Case("run_until_complete", "a future of another loop", foreign_future, "idle"),
    Case("run_until_complete", "stopped before the end", stopped_early, "idle"),
    Case("stop", "an argument", lambda stage: stage.loop.stop(1), "idle"),
    Case("stop", "all is right", lambda stage: stage.loop.stop(), "closed"),
    Case("close", "while it runs", lambda stage: stage.loop.close()),
    Case("close", "an argument", lambda stage: stage.loop.close(1), "idle"),
    Case("close", "again", lambda stage: stage.loop.close(), "closed"),
    Case("is_running", "an argument", lambda stage: stage.loop.is_running(1)),
    Case("is_running", "all is right", lambda stage: stage.loop.is_running(), "closed"),
    Case("is_closed", "an argument", lambda stage: stage.loop.is_closed(1)),
    Case("is_closed", "all is right", lambda stage: stage.loop.is_closed(), "closed"),
    Case("get_debug", "an argument", lambda stage: stage.loop.get_debug(1)),
    Case("get_debug", "all is right", lambda stage: stage.loop.get_debug(), "closed"),
    Case("set_debug", "nothing", lambda stage: stage.loop.set_debug()),
    *wrong_types("set_debug", Arguments(("enabled", lambda stage: True)), place="idle"),
    Case("set_debug", "all is right", lambda stage: stage.loop.set_debug(False), "closed"),
    Case("get_exception_handler", "an argument", lambda stage: stage.loop.get_exception_handler(1)),
    *wrong_types(
        "set_exception_handler", Arguments(("handler", lambda stage: None)), leave_out=[("handler", "a type")]
    ),
    *(
        Case(
            "call_exception_handler",
            f"context {number}",
            lambda stage, context=context: [
                stage.loop.set_exception_handler(lambda loop, context: context["message"]),
                stage.loop.call_exception_handler(dict(context)),
            ],
        )
        for number, context in enumerate(CONTEXTS)
    ),
    *(
        Case(
            "default_exception_handler",
            f"context {number}",
            lambda stage, context=context: stage.loop.default_exception_handler(dict(context)),
        )
        for number, context in enumerate(CONTEXTS)
    ),
    *wrong_types("call_exception_handler", Arguments(("context", lambda stage: {}))),
    *wrong_types("default_exception_handler", Arguments(("context", lambda stage: {}))),
    Case("shutdown_asyncgens", "an argument", lambda stage: stage.loop.shutdown_asyncgens(1)),
    Case("shutdown_asyncgens", "all is right", lambda stage: stage.loop.shutdown_asyncgens(), "closed"),
]

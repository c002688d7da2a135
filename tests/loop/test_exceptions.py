"""What becomes of an exception that a callback lets out."""

import asyncio
import contextvars
import gc
import logging
import sys

import pytest

from toolkit import finish, run_bounded, turn

level = contextvars.ContextVar("level", default=0)


class OddError(BaseException):
    """Neither an Exception nor one of those that end the loop."""


def fail(error):
    raise error


def test_an_exception_goes_to_the_handler_and_the_loop_goes_on(loop, errors):
    seen = []
    error = ValueError("from a callback")
    handle = loop.call_soon(fail, error)
    loop.call_soon(seen.append, "after")
    turn(loop)
    assert seen == ["after"]
    (context,) = errors
    assert context["exception"] is error
    assert context["handle"] is handle
    assert context["message"].startswith("Exception in callback fail(")
    assert "test_exceptions.py" in context["message"]
    assert set(context) == {"message", "exception", "handle"}


@pytest.mark.parametrize("method", ["call_later", "call_soon_threadsafe"])
def test_every_way_of_scheduling_reports_its_exception(loop, errors, method):
    error = ValueError("odd")
    handle = (
        loop.call_later(0, fail, error) if method == "call_later" else loop.call_soon_threadsafe(fail, error)
    )
    turn(loop)
    (context,) = errors
    assert context["exception"] is error and context["handle"] is handle


@pytest.mark.parametrize("error", [OddError(), GeneratorExit(), asyncio.CancelledError(), StopIteration()])
def test_other_exceptions_go_to_the_handler_as_well(loop, errors, error):
    loop.call_soon(fail, error)
    turn(loop)
    assert [context["exception"] for context in errors] == [error]


def test_in_debug_mode_the_handler_learns_where_the_callback_was_asked_for(loop, errors):
    loop.set_debug(True)
    loop.call_soon(fail, ValueError())
    turn(loop)
    frames = [frame.name for frame in errors[0]["source_traceback"]]
    assert frames[-1] == "test_in_debug_mode_the_handler_learns_where_the_callback_was_asked_for"


def test_the_default_handler_logs(loop, caplog):
    error = ValueError("odd")
    handle = loop.call_soon(fail, error)
    shown = repr(handle)
    turn(loop)
    (record,) = caplog.records
    assert record.name == "asyncio" and record.levelno == logging.ERROR
    assert record.exc_info[1] is error
    first, second = record.getMessage().split("\n")
    assert first == "Exception in callback " + shown.removeprefix("<Handle ").removesuffix(">")
    assert second == f"handle: {shown}"


def test_the_default_handler_logs_where_the_callback_was_asked_for(loop, caplog):
    loop.set_debug(True)
    loop.call_soon(fail, ValueError("odd"))
    turn(loop)
    text = caplog.records[0].getMessage()
    assert "Object created at (most recent call last):\n" in text
    assert __file__ in text


def test_the_default_handler_logs_any_context(loop, caplog):
    loop.default_exception_handler({"zebra": 1, "message": "a message", "aardvark": [2]})
    loop.default_exception_handler({})
    loop.call_exception_handler({"message": "through the handler"})
    assert [record.getMessage() for record in caplog.records] == [
        "a message\naardvark: [2]\nzebra: 1",
        "Unhandled exception in event loop",
        "through the handler",
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_the_handler_can_be_set_and_taken_off(loop, caplog):
    assert loop.get_exception_handler() is None
    seen = []

    def handler(loop, context):
        seen.append((loop, context))

    loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is handler
    context = {"message": "odd"}
    loop.call_exception_handler(context)
    assert seen[0][0] is loop and seen[0][1] is context
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None
    loop.call_exception_handler({"message": "to the log"})
    assert [record.getMessage() for record in caplog.records] == ["to the log"]


@pytest.mark.parametrize("handler", [1, "text", {}])
def test_a_handler_that_cannot_be_called_is_refused(loop, handler):
    with pytest.raises(TypeError) as caught:
        loop.set_exception_handler(handler)
    assert str(caught.value) == f"A callable object or None is expected, got {handler!r}"


def test_a_handler_that_raises_is_logged(loop, caplog):
    loop.set_exception_handler(lambda loop, context: fail(KeyError("handler")))
    loop.call_soon(fail, ValueError("callback"))
    seen = []
    loop.call_soon(seen.append, "after")
    turn(loop)
    assert seen == ["after"]
    (record,) = caplog.records
    assert record.getMessage().startswith("Unhandled error in exception handler\ncontext: {")
    assert isinstance(record.exc_info[1], KeyError)


def test_a_default_handler_that_raises_is_logged(loop_factory, caplog):
    class Loop(loop_factory):
        def default_exception_handler(self, context):
            raise KeyError("default handler")

    loop = Loop()
    loop.call_soon(fail, ValueError("callback"))
    turn(loop)
    loop.set_exception_handler(lambda loop, context: fail(KeyError("handler")))
    loop.call_soon(fail, ValueError("callback"))
    turn(loop)
    loop.close()
    assert [record.getMessage() for record in caplog.records] == [
        "Exception in default exception handler",
        "Exception in default exception handler while handling an unexpected error "
        "in custom exception handler",
    ]


def test_a_handler_may_use_the_default_one(loop, caplog):
    loop.set_exception_handler(lambda loop, context: loop.default_exception_handler(context))
    loop.call_soon(fail, ValueError("odd"))
    turn(loop)
    assert caplog.records[0].getMessage().startswith("Exception in callback fail(")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_the_two_that_end_programs_leave_the_loop(loop, errors, kind):
    seen = []
    loop.call_soon(seen.append, "before")
    loop.call_soon(fail, kind(3))
    loop.call_soon(seen.append, "after")
    with pytest.raises(kind) as caught:
        run_bounded(loop)
    assert caught.value.args == (3,)
    assert seen == ["before"] and errors == []
    assert not loop.is_running() and not loop.is_closed()
    # What stood behind it in the batch was not lost.
    turn(loop)
    assert seen == ["before", "after"]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_they_leave_the_loop_from_a_timer_too(loop, errors, kind):
    loop.call_later(0, fail, kind())
    with pytest.raises(kind):
        run_bounded(loop)
    assert errors == []


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_they_leave_the_loop_from_a_task(loop, errors, kind):
    async def leave():
        await asyncio.sleep(0)
        raise kind(4)

    with pytest.raises(kind):
        loop.run_until_complete(leave())
    assert errors == [] and not loop.is_running()
    assert finish(loop, asyncio.sleep(0, "usable")) == "usable"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_they_are_kept_by_the_task_as_well(loop, kind):
    async def leave():
        raise kind(4)

    task = loop.create_task(leave())
    with pytest.raises(kind):
        run_bounded(loop)
    assert task.done() and isinstance(task.exception(), kind)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_they_leave_the_loop_from_the_exception_handler(loop, kind):
    loop.set_exception_handler(lambda loop, context: fail(kind(5)))
    loop.call_soon(fail, ValueError())
    with pytest.raises(kind):
        run_bounded(loop)


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="before 3.12 the handler runs in the context of the loop"
)
def test_the_handler_runs_in_the_context_of_what_failed(loop):
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(level.get()))
    context = contextvars.copy_context()
    context.run(level.set, 7)
    loop.call_soon(fail, ValueError(), context=context)
    turn(loop)
    loop.call_exception_handler({"message": "of no context"})
    assert seen == [7, 0]


def test_an_exception_nobody_asked_for_is_reported(loop, errors):
    async def fail_alone():
        raise ValueError("nobody looks")

    task = loop.create_task(fail_alone())
    turn(loop, 2)
    assert task.done()
    del task
    (context,) = errors
    assert context["message"] == "Task exception was never retrieved"
    assert isinstance(context["exception"], ValueError)


def test_a_pending_task_that_vanishes_is_reported(loop, errors):
    async def forever():
        await loop.create_future()

    loop.create_task(forever())
    turn(loop, 2)
    gc.collect()
    assert [context["message"] for context in errors] == ["Task was destroyed but it is pending!"]
    # The context holds the task: let go of it.
    errors.clear()
    gc.collect()


def test_the_traceback_of_a_callback_shows_no_lines_of_the_loop(loop, errors):
    loop.call_soon(fail, ValueError())
    turn(loop)
    traceback = errors[0]["exception"].__traceback__
    names = []
    while traceback:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert names[-1] == "fail"
    assert [name for name in names if name != "_run"] == ["fail"]

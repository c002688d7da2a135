"""Exceptions that nobody retrieved, remembered for the lints.

The loop's exception handler is told of them when their task or future is gone already.  What is kept is text.
"""

from __future__ import annotations

from collections import deque
from types import CoroutineType, GeneratorType
from typing import Any

from epicycle.watching.inside import chains, tasks

_KEPT = 20
_MARK = "exception was never retrieved"
_PLAIN = (str, int, float, bool, type(None))


class Unretrieved:
    """How many there were, and what the last ones were."""

    def __init__(self) -> None:
        self.count = 0
        self.last: deque[str] = deque(maxlen=_KEPT)

    def note(self, context: dict[str, Any]) -> None:
        """What the exception handler is told is noted here too, if it is of this kind.  Raises nothing."""
        try:
            message = context.get("message")
            if type(message) is str and message.endswith(_MARK):
                self.count += 1
                self.last.append(_text(context))
        except Exception:
            return


def _text(context: dict[str, Any]) -> str:
    future = context.get("future") if context.get("task") is None else context.get("task")
    whose = "a future"
    if tasks.is_task(future):
        whose = f"task {tasks.name_of(future)}"
        coroutine = tasks.attribute(future, "_coro")
        if type(coroutine) in (CoroutineType, GeneratorType):
            whose += f" ({chains.plain(coroutine.__qualname__)})"
    return f"{exception_text(context.get('exception'))} in {whose}"


def exception_text(error: Any) -> str:
    """An exception's type, its arguments if they are plain values, and where it was raised.  Runs no code of it."""
    if not issubclass(type(error), BaseException):
        return "an exception"
    text = chains.type_name(type(error))
    arguments = BaseException.__dict__["args"].__get__(error)
    if arguments and all(type(argument) in _PLAIN for argument in arguments):
        text += ": " + chains.plain(", ".join(str(argument) for argument in arguments))
    traceback = BaseException.__dict__["__traceback__"].__get__(error)
    code = None
    line = 0
    while traceback is not None:
        code, line = traceback.tb_frame.f_code, traceback.tb_lineno
        traceback = traceback.tb_next
    return f"{text} at {code.co_filename}:{line}" if code is not None else text

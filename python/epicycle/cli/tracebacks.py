"""Show a program's uncaught exception without the frames that brought it there."""

from __future__ import annotations

import sys
from types import CodeType, TracebackType

__all__ = ("show_from",)


def show_from(code: CodeType) -> None:
    """Have the interpreter print the exception that is leaving now from below the frame that runs ``code``.

    The printing is left to the interpreter, with all that it does at such an end: ``sys.last_exc`` and the like,
    the program's own ``sys.excepthook``, exit status 1, and for a KeyboardInterrupt the death by SIGINT that
    shells look for.
    """
    programs_hook = getattr(sys, "excepthook", sys.__excepthook__)

    def excepthook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        trace = _below(trace, code)
        value.__traceback__ = trace
        _hide_ours(value, set())
        trace = value.__traceback__
        sys.last_traceback = trace
        sys.excepthook = programs_hook
        try:
            programs_hook(kind, value, trace)
        except SystemExit:
            raise
        except BaseException as error:
            _show_failed_hook(error, value)

    sys.excepthook = excepthook


def _below(trace: TracebackType | None, code: CodeType) -> TracebackType | None:
    step = trace
    while step is not None and step.tb_frame.f_code is not code:
        step = step.tb_next
    if step is None:
        return trace
    step = step.tb_next
    while step is not None and step.tb_frame.f_globals.get("__name__") == "runpy":
        step = step.tb_next
    return step


def _hide_ours(error: BaseException | None, seen: set[int]) -> None:
    """Take this package's frames out of the traceback of ``error`` and of those it came from or holds."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    error.__traceback__ = _without_ours(error.__traceback__)
    _hide_ours(error.__cause__, seen)
    _hide_ours(error.__context__, seen)
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            _hide_ours(inner, seen)


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """``trace`` without the frames of the loop that lie between the program's own.

    Frames of ours at its end stay: what went wrong went wrong there, and a report of it needs the place.
    """
    steps = []
    while trace is not None:
        steps.append(trace)
        trace = trace.tb_next
    while steps and _is_ours(steps[-1]):
        trace = steps.pop()
    for step in reversed(steps):
        if not _is_ours(step):
            step.tb_next = trace
            trace = step
    return trace


def _is_ours(step: TracebackType) -> bool:
    return str(step.tb_frame.f_globals.get("__name__")).partition(".")[0] == "epicycle"


def _show_failed_hook(error: BaseException, value: BaseException) -> None:
    """What the interpreter prints when ``sys.excepthook`` raises, without our frame in it."""
    trace = error.__traceback__
    error.__traceback__ = trace.tb_next if trace is not None else None
    if error.__context__ is value:
        error.__context__ = None
    print("Error in sys.excepthook:", file=sys.stderr)
    sys.__excepthook__(type(error), error, error.__traceback__)
    print("\nOriginal exception was:", file=sys.stderr)
    sys.__excepthook__(type(value), value, value.__traceback__)

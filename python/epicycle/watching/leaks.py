"""Tasks that nobody waited for and exceptions that nobody retrieved, noted while a test runs.

In: the classes of Epicycle's loops and `asyncio.Runner`, whose methods are replaced from `begin` to `end`.  Out: a
sentence for each thing left behind, with the name of the task and the line that made it.

A loop that is closed while tasks are pending is the plain case. Runners cancel what is left before they close their
loop, so they are looked at before that. What asyncio tells the loop's exception handler of tasks and futures that
nobody asked is taken from there.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import epicycle
from epicycle.loop import EventLoop
from epicycle.loop._reporting import Reporting
from epicycle.loop._running import Running

__all__ = ("Leaks",)

_NEVER_RETRIEVED = "exception was never retrieved"
_DESTROYED = "Task was destroyed but it is pending!"

# Frames of these are on the way to a task's making, and not the place where it was made.
_MACHINERY = tuple(os.path.join(os.path.dirname(module.__file__ or ""), "") for module in (asyncio, epicycle))

# Tasks in which plugins run the tests themselves, by the module and the function.
_RUNNERS_OF_TESTS = {("anyio._backends._asyncio", "_run_tests_and_fixtures")}


class Leaks:
    """What is left behind on Epicycle's loops of this process, in any thread, from `begin` on."""

    def __init__(self) -> None:
        self._found: list[str] = []
        # By id and not weakly: when a task's exception turns out never to have been retrieved, weak references to it
        # may be cleared already. A task made later at the same address takes the entry over.
        self._places: dict[int, str] = {}
        self._told: set[int] = set()
        self._used = False
        self._undo: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Start noting."""
        create_task, run_forever, close = EventLoop.create_task, Running.run_forever, Running.close
        call_handler, close_runner = Reporting.call_exception_handler, asyncio.Runner.close

        def noting_create_task(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
            self._used = True
            task = create_task(loop, coro, **options)
            self._places[id(task)] = _place(sys._getframe(1))
            self._told.discard(id(task))
            return task

        def noting_run_forever(loop: Any) -> None:
            self._used = True
            run_forever(loop)

        def noting_close(loop: Any) -> None:
            if not loop.is_running() and not loop.is_closed():
                self._note_pending(loop, cancelled_too=True)
            close(loop)

        def noting_close_runner(runner: Any) -> None:
            loop = getattr(runner, "_loop", None)
            if isinstance(loop, EventLoop) and not loop.is_closed():
                self._note_pending(loop, cancelled_too=False)
            close_runner(runner)

        def noting_call_handler(loop: Any, context: dict[str, Any]) -> None:
            self._note_report(context)
            call_handler(loop, context)

        self._replace(EventLoop, "create_task", noting_create_task)
        self._replace(Running, "run_forever", noting_run_forever)
        self._replace(Running, "close", noting_close)
        self._replace(asyncio.Runner, "close", noting_close_runner)
        self._replace(Reporting, "call_exception_handler", noting_call_handler)

    def collect(self) -> list[str]:
        """What was found since the last time.

        Where a loop was used meanwhile, garbage is collected: only what is gone shows what it took along.
        """
        if self._used:
            self._used = False
            gc.collect()
        found, self._found = self._found, []
        return found

    def end(self) -> None:
        """Put everything back."""
        while self._undo:
            self._undo.pop()()

    def _replace(self, owner: type, name: str, function: Callable[..., Any]) -> None:
        own = vars(owner).get(name)
        self._undo.append(lambda: delattr(owner, name) if own is None else setattr(owner, name, own))
        setattr(owner, name, function)

    def _note_pending(self, loop: asyncio.AbstractEventLoop, *, cancelled_too: bool) -> None:
        for task in asyncio.all_tasks(loop):
            # One that was cancelled and has not ended yet is on its way, unless its loop ends before it.
            if (cancelled_too or not task.cancelling()) and not _runs_tests(task):
                self._note_task(task, "was left pending when its loop ended")

    def _note_report(self, context: dict[str, Any]) -> None:
        message = str(context.get("message", ""))
        future = context.get("task") or context.get("future")
        if message == _DESTROYED and isinstance(future, asyncio.Task):
            self._note_task(future, "was dropped while it was pending")
        elif message.endswith(_NEVER_RETRIEVED) and future is not None:
            error = context.get("exception")
            what = f"has an exception that was never retrieved: {type(error).__name__}: {error}"
            if isinstance(future, asyncio.Task):
                self._note_task(future, what)
            else:
                self._found.append(f"a {type(future).__name__} {what}{_origin(future, ', made at ')}")

    def _note_task(self, task: asyncio.Task[Any], what: str) -> None:
        if id(task) in self._told:
            return
        self._told.add(id(task))
        place = self._places.get(id(task))
        made = f", made at {place}" if place else _origin(task, ", made at ")
        self._found.append(f"task {task.get_name()!r} ({_described(task)}) {what}{made}")


def _place(frame: FrameType | None) -> str:
    """The innermost frame outside of asyncio and Epicycle."""
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_MACHINERY):
            return f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"
        frame = frame.f_back
    return ""


def _origin(future: Any, lead: str) -> str:
    """Where debug mode says that a future was made."""
    for frame in reversed(getattr(future, "_source_traceback", None) or ()):
        if not frame.filename.startswith(_MACHINERY):
            return f"{lead}{frame.filename}:{frame.lineno} in {frame.name}"
    return ""


def _described(task: asyncio.Task[Any]) -> str:
    coro: Any = task.get_coro()
    code = _code(coro)
    name = getattr(coro, "__qualname__", None) or type(coro).__name__
    return name if code is None else f"{name}, {code.co_filename}:{code.co_firstlineno}"


def _code(coro: Any) -> CodeType | None:
    code = getattr(coro, "cr_code", None) or getattr(coro, "gi_code", None)
    return code if isinstance(code, CodeType) else None


def _runs_tests(task: asyncio.Task[Any]) -> bool:
    coro: Any = task.get_coro()
    frame = getattr(coro, "cr_frame", None)
    module = frame.f_globals.get("__name__") if frame is not None else None
    return (module, getattr(coro, "__name__", None)) in _RUNNERS_OF_TESTS

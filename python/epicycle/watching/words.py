"""A stall in words, and what runs by its name.

Nothing of the user's is called for it: names come from Python's own objects, anything else goes by its type.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .watcher import Stall

__all__ = ("awaits", "holder", "named", "told")

_FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType)
# Coroutines within one another beyond this are not told.
_DEEPEST = 32
_MOST_TASKS = 8
# A thread as the detector knows it: its number in the system, and a name that before Python 3.14 is the process's.
_THREAD = re.compile(r"probably (\d+) \(.*\)$", re.DOTALL)
_AWAITING = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE

_CAUSES = {
    "python": "running code",
    "system call": "a blocking system call",
    "gil": "the interpreter is held elsewhere",
    "gc": "garbage collection",
    "cpu": "no processor to run on",
    "unknown": "",
}


def named(kind: str, subject: Any) -> tuple[str, str, str]:
    """What runs, for people; and if it is a task, its name and its coroutine's."""
    if subject is None:
        return kind, "", ""
    if kind == "task":
        task = _task_name(subject)
        coroutine = _coroutine_name(subject)
        return f"task {task!r}", task, coroutine
    if kind in ("callback", "timer"):
        owner = getattr(subject, "__self__", None) if type(subject) is types.MethodType else None
        if isinstance(owner, asyncio.Task):
            # A task written in Python takes its steps like any callback.
            return named("task", owner)
        return f"{kind} {_name(subject)}", "", ""
    return f"{kind} {type(subject).__name__}", "", ""


def holder(detail: str) -> str:
    """What the detector says of the thread that holds the interpreter, with the name that Python has for it."""
    found = _THREAD.search(detail)
    if found is None:
        return detail
    for thread in threading.enumerate():
        # Not by its properties: a thread's class may be the user's.
        known = vars(thread)
        if known.get("_native_id") == int(found[1]) and type(known.get("_name")) is str:
            return f"{detail[: found.start()]}probably thread {known['_name']!r}"
    return detail


def awaits(loop: asyncio.AbstractEventLoop, task: Any, running: types.FrameType | None) -> list[str]:
    """The coroutines that wait for one another, down to what runs in ``task``; outermost first.

    ``running`` is the innermost frame of the loop's thread: a coroutine that runs does not say itself what it is in.
    """
    inner: list[str] = []
    while running is not None and len(inner) < _DEEPEST:
        if running.f_code.co_flags & _AWAITING:
            inner.append(_at(running.f_code, running))
        running = running.f_back
    outer: list[str] = []
    for waiting in _waiting_for(loop, task):
        outer[:0] = _suspended(waiting)
    return outer + inner[::-1]


def _waiting_for(loop: asyncio.AbstractEventLoop, task: Any) -> list[Any]:
    """The task that awaits ``task``, the one that awaits that, and so on; the first found where there are several."""
    try:
        others = [other for other in asyncio.all_tasks(loop) if isinstance(other, asyncio.Task)]
    except RuntimeError:
        return []
    found: list[Any] = []
    while len(found) < _MOST_TASKS:
        waiting = next((other for other in others if other not in found and _awaits(other, task)), None)
        if waiting is None:
            break
        found.append(waiting)
        task = waiting
    return found


def _awaits(task: Any, other: Any) -> bool:
    waiter = getattr(task, "_fut_waiter", None)
    if waiter is other:
        return True
    children = getattr(waiter, "_children", None) if isinstance(waiter, asyncio.Future) else None
    return type(children) is list and any(child is other for child in children)


def _suspended(task: Any) -> list[str]:
    """The coroutines of a task that does not run."""
    found: list[str] = []
    inner = task.get_coro()
    while inner is not None and len(found) < _DEEPEST:
        code, frame, inner = _parts(inner)
        if code is None:
            break
        found.append(_at(code, frame))
    return found


def _at(code: types.CodeType, frame: types.FrameType | None) -> str:
    line = code.co_firstlineno if frame is None else frame.f_lineno
    return f"{code.co_qualname} ({code.co_filename}:{line})"


def _parts(coroutine: Any) -> tuple[types.CodeType | None, types.FrameType | None, Any]:
    """Code, frame and what it awaits."""
    if isinstance(coroutine, types.CoroutineType):
        return coroutine.cr_code, coroutine.cr_frame, coroutine.cr_await
    if isinstance(coroutine, types.GeneratorType):
        return coroutine.gi_code, coroutine.gi_frame, coroutine.gi_yieldfrom
    if isinstance(coroutine, types.AsyncGeneratorType):
        return coroutine.ag_code, coroutine.ag_frame, coroutine.ag_await
    return None, None, None


def _task_name(task: Any) -> str:
    name = task.get_name() if isinstance(task, asyncio.Task) else None
    return name if type(name) is str else type(task).__name__


def _coroutine_name(task: Any) -> str:
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    name = getattr(coroutine, "__qualname__", None) if _parts(coroutine)[0] is not None else None
    return name if type(name) is str else type(coroutine).__name__


def _name(callback: Any) -> str:
    if type(callback) in _FUNCTIONS:
        return str(callback.__qualname__)
    return type(callback).__qualname__


def told(stall: Stall) -> str:
    """One stall as one message, of several lines while it lasts."""
    of = f" by {stall.what}" if stall.what else ""
    if stall.coroutine:
        of += f" ({stall.coroutine})"
    at = f" at {stall.file}:{stall.line}" if stall.file else ""
    seconds = f"{stall.lasted:.3f} s"
    if stall.kind == "saturated":
        if stall.phase == "ended":
            return f"the loop's turn ended after {seconds}: many callbacks in one turn"
        lines = [f"the loop is saturated: one turn has taken {seconds} with many callbacks, now{of}{at}"]
    elif stall.phase == "ended":
        return f"the loop goes on after {seconds}: it was blocked{of}{at}{_because(stall)}"
    else:
        lines = [f"the loop has been blocked for {seconds}{of}{at}{_because(stall)}"]
    if stall.awaits:
        lines.append("  coroutines: " + " > ".join(stall.awaits))
    lines.extend(f"  {file}:{line} in {function}" for file, function, line in stall.stack)
    return "\n".join(lines)


def _because(stall: Stall) -> str:
    parts = [part for part in (_CAUSES.get(stall.cause, stall.cause), stall.detail) if part]
    return f" ({': '.join(parts)})" if parts else ""

"""The tasks of a loop and their attributes, read from any thread.

asyncio keeps its tasks in weak sets that are not made for other threads: walking one while the loop adds to it raises
`RuntimeError`.  Copying the set underneath is one step of the interpreter.
"""

from __future__ import annotations

import asyncio
import sys
import types
import weakref
from asyncio import tasks as _tasks
from types import GetSetDescriptorType
from typing import Any

from epicycle.watching.inside.chains import is_text, plain
from epicycle.watching.inside.pacing import Pace

# C's, unless somebody has put Python's in its place.
Task: Any = asyncio.Task
Future: Any = asyncio.Future
_PyTask: Any = _tasks._PyTask  # type: ignore[attr-defined]

_TRIES = 5


def fields(thing: Any) -> dict[str, Any]:
    """The instance's own attributes, past whatever its class does to look-ups; empty where there are none."""
    try:
        found = object.__getattribute__(thing, "__dict__")
        slots = _slots(type(thing))
        if slots:
            found = found | {name: slot.__get__(thing) for name, slot in slots.items()}
    except Exception:
        return {}
    return found if type(found) is dict else {}


def _slots(kind: type) -> dict[str, Any]:
    """Where the attributes of our streams lie."""
    if type.__dict__["__module__"].__get__(kind) != "epicycle._streams":
        return {}
    return {name: slot for name, slot in vars(kind).items() if type(slot) is types.MemberDescriptorType}


_NAMES = ("_coro", "_fut_waiter", "_loop", "_state", "_callbacks")


def _descriptors(kind: Any) -> dict[str, Any]:
    """What reads the attributes of C's classes, whatever a class derived from them has put over it."""
    found = {}
    for name in _NAMES:
        for base in kind.__mro__:
            if name in base.__dict__:
                found[name] = base.__dict__[name]
                break
    return found


_OF_TASKS = _descriptors(Task)
_OF_FUTURES = _descriptors(Future)


def attribute(task: Any, name: str) -> Any:
    """An attribute that asyncio gives its tasks and futures; None where it cannot be told."""
    kind = type(task)
    if kind is Task or kind is Future:
        return getattr(task, name, None)
    if issubclass(kind, Future):
        descriptor = (_OF_TASKS if issubclass(kind, Task) else _OF_FUTURES).get(name)
        if type(descriptor) is GetSetDescriptorType:
            return descriptor.__get__(task, kind)
    # Written in Python.
    return fields(task).get(name)


def is_task(thing: Any) -> bool:
    """Whether it is a task, by its true class."""
    return issubclass(type(thing), (Task, _PyTask))


def is_future(thing: Any) -> bool:
    """Whether it is one of asyncio's futures, by its true class."""
    return issubclass(type(thing), (Future, _tasks.futures._PyFuture))  # type: ignore[attr-defined]


def is_done(future: Any) -> bool:
    """Whether a future or task is done; False where it cannot be told."""
    if issubclass(type(future), Future):
        return bool(Future.done(future))
    state = fields(future).get("_state")
    return type(state) is str and state != "PENDING"


def name_of(task: Any) -> str:
    """The task's name; empty where it has none."""
    name: Any = Task.get_name(task) if issubclass(type(task), Task) else fields(task).get("_name")
    return plain(name) if is_text(name) else ""


def cancelling(task: Any) -> int:
    """How often the task's end has been asked for."""
    if issubclass(type(task), Task):
        return int(Task.cancelling(task))
    number = fields(task).get("_num_cancels_requested")
    return number if type(number) is int else 0


def current(loop: Any) -> Any:
    """The task that runs now, or None."""
    try:
        return asyncio.current_task(loop)
    except Exception:
        return None


def references(loop: Any, pace: Pace) -> list[weakref.ref[Any]]:
    """Weak references to tasks, those of the loop among them; holds none of the tasks.

    Who looks at one must not be the last to hold it: see `lend`.
    """
    if sys.version_info >= (3, 14):
        return _listed(loop, pace)
    for _ in range(_TRIES):
        try:
            return _copied()
        except RuntimeError:
            # Only for sets that are not what they are in CPython.
            continue
    return []


def _copied() -> list[weakref.ref[Any]]:
    module: Any = _tasks
    if hasattr(module, "_all_tasks"):
        # Before Python 3.12.
        return list(module._all_tasks.data)
    eager = [weakref.ref(task) for task in list(module._eager_tasks)]
    return eager + list(module._scheduled_tasks.data)


def _listed(loop: Any, pace: Pace) -> list[weakref.ref[Any]]:
    """From Python 3.14 on the tasks of C are in lists that only C can walk."""
    found: set[Any] = set()
    for _ in range(_TRIES):
        try:
            found = asyncio.all_tasks(loop)
            break
        except RuntimeError:
            continue
    # Python's own, which that leaves out.
    module: Any = _tasks
    others = getattr(module, "_scheduled_tasks", None)
    listed: list[weakref.ref[Any]] = list(getattr(others, "data", ()))
    while found:
        task = found.pop()
        listed.append(weakref.ref(task))
        lend(task, loop)
        del task
        pace()
    return listed


def belongs(task: Any, loop: Any) -> bool:
    """Whether the task is the loop's and not done."""
    return attribute(task, "_loop") is loop and not is_done(task)


def _holders(reference: weakref.ref[Any]) -> int:
    return sys.getrefcount(reference())


class _Thing:
    """Something that has references."""


def _count_one() -> int:
    thing = _Thing()
    return _holders(weakref.ref(thing))


# The count of what one variable holds.
_ONE = _count_one()


def holders(reference: weakref.ref[Any]) -> int:
    """How many references there are to a task beside the caller's one variable."""
    return _holders(reference) - _ONE


def lend(task: Any, loop: Any) -> None:
    """Sees to it that a task whose last reference is our caller's is destroyed in the loop's thread, not in this one.

    Destroying a task may run its `finally` blocks and tell the loop's exception handler.
    """
    # The caller's variable, our parameter, and the argument of the count.
    if sys.getrefcount(task) <= _LENT:
        try:
            loop.call_soon_threadsafe(_drop, task)
        except Exception:
            return


def _drop(task: Any) -> None:
    """Called by the loop, which then lets go of the task."""


def _count_lent() -> int:
    counts: list[int] = []

    def count(thing: Any) -> None:
        counts.append(sys.getrefcount(thing))

    def caller() -> None:
        thing = _Thing()
        count(thing)

    caller()
    return counts[0]


_LENT = _count_lent()

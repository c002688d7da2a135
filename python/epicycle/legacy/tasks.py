"""``Task.all_tasks`` and ``Task.current_task`` (gone in 3.9).

asyncio's Task class cannot be given attributes, so ``asyncio.Task`` becomes a class that stands for it: calling it
makes a plain asyncio task, and every task is an instance of it to ``isinstance``.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from typing import Any

from .notices import say

__all__ = ("revive",)

_Task: Any = asyncio.tasks.Task


class _StandsForTask(type):
    def __instancecheck__(cls, value: object) -> bool:
        if cls is Task:
            return isinstance(value, _Task)
        return super().__instancecheck__(value)

    def __subclasscheck__(cls, kind: type) -> bool:
        if cls is Task:
            return issubclass(kind, _Task)
        return super().__subclasscheck__(kind)


class Task(_Task, metaclass=_StandsForTask):  # type: ignore[misc]
    """asyncio's Task, with the class methods it had; see ``asyncio.Task``."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make an ordinary task; a program's own subclass of this is made as it is."""
        if cls is Task:
            return _Task(*args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    @classmethod
    def current_task(cls, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Task[Any] | None:
        """The task running on ``loop`` (by default the current one), None outside a task."""
        say("asyncio.Task.current_task()", "asyncio.current_task()")
        return asyncio.current_task(events.get_event_loop() if loop is None else loop)

    @classmethod
    def all_tasks(cls, loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
        """The tasks of ``loop`` (by default the current one) that are not finished."""
        say("asyncio.Task.all_tasks()", "asyncio.all_tasks()")
        return asyncio.all_tasks(events.get_event_loop() if loop is None else loop)


Task.__module__ = _Task.__module__


def revive() -> None:
    if not hasattr(_Task, "all_tasks"):
        asyncio.Task = asyncio.tasks.Task = Task  # type: ignore[misc]

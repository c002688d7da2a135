"""``loop=`` of the locks and queues (gone in 3.10), and ``with (yield from lock)`` (gone in 3.9)."""

from __future__ import annotations

import asyncio
import functools
from asyncio import locks, queues
from collections.abc import Callable, Generator
from typing import Any, cast

from .attributes import revive_attribute
from .notices import say
from .waiting import loop_is_gone

__all__ = ("revive",)


def revive() -> None:
    kinds = (locks.Lock, locks.Event, locks.Condition, locks.Semaphore, locks.BoundedSemaphore, queues.Queue)
    for kind in kinds:
        _take_loop(kind)
    for kind in (locks.Lock, locks.Condition, locks.Semaphore):
        _hold_by_waiting(kind)
    for module in ("asyncio", "asyncio.queues"):
        revive_attribute(module, "JoinableQueue", lambda: asyncio.Queue, "asyncio.Queue")


def _take_loop(kind: Any) -> None:
    original: Callable[..., None] = kind.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if "loop" not in kwargs:
            original(self, *args, **kwargs)
            return
        loop_is_gone(kind.__name__)
        loop = kwargs.pop("loop")
        original(self, *args, **kwargs)
        if loop is not None:
            _bind(self, loop)

    kind.__init__ = __init__


def _bind(one: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Tie ``one`` to ``loop``, as its first wait would; using it on another loop is an error, as it was."""
    one._loop = loop
    # A condition made its own lock, a queue its own event.
    for inner in (getattr(one, "_lock", None), getattr(one, "_finished", None)):
        if inner is not None and getattr(inner, "_loop", loop) is None:
            inner._loop = loop


class _Held:
    """A lock that has been acquired; leaving the ``with`` block releases it."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def _hold_by_waiting(kind: Any) -> None:
    def wait(self: Any) -> Generator[Any, Any, _Held]:
        name = kind.__name__.lower()
        say(f"'with (yield from {name})' or 'with await {name}'", f"'async with {name}'")
        yield from self.acquire().__await__()
        return _Held(self)

    for name in ("__iter__", "__await__"):
        if not hasattr(kind, name):
            setattr(kind, name, cast(Any, wait))

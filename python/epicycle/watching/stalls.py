"""What is known of a stall once it is over, put together from the reports of it.

In: the reports of a watcher, in its thread.  Out: the stalls, each with the most that any report said.

What ran is looked up while the stall lasts, and a later report need not repeat it.
"""

from __future__ import annotations

import dataclasses

from epicycle.watching.watcher import Stall

__all__ = ("Stalls",)

_KEPT = ("cause", "detail", "what", "task", "coroutine", "file", "line", "stack", "awaits")
# Stalls whose end was never told (a process too busy to tell it) are forgotten, the oldest first.
_MOST = 1000


class Stalls:
    """The stalls that were reported, by loop and number."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Stall] = {}

    def note(self, stall: Stall) -> Stall:
        """Adds a report; returns all that is known of its stall."""
        key = stall.loop, stall.number
        before = self._known.pop(key, None)
        if before is not None:
            lacking = {name: getattr(before, name) for name in _KEPT if not getattr(stall, name)}
            stall = dataclasses.replace(stall, **lacking)
        elif len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[key] = stall
        return stall

    def forget(self, stall: Stall) -> None:
        """Drops what is known of a stall."""
        self._known.pop((stall.loop, stall.number), None)

    def all(self) -> list[Stall]:
        """Every stall that was not dropped."""
        return list(self._known.values())

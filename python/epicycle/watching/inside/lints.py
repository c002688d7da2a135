"""What looks wrong in a loop, and why.

Each finding is a dict of `kind`, `task` (its id, or None) and `text`:

- `unheld-task`: nobody holds a reference to a task, so the garbage collector may take it away while it waits
- `unretrieved-exception`: a task or future failed, and nobody asked
- `cancelled-goes-on`: a task was asked to end at least a second ago and has gone on to wait for something else
- `storm`: a coroutine that yields without waiting for anything, over and over
- `circle`: tasks that wait for one another, or for locks that the others hold
- `growing-buffer`: more is written to a transport than its peer takes, and its buffer only grows

Some show only in how things change, so they need more than one look.
"""

from __future__ import annotations

import threading
import weakref
from types import BuiltinMethodType
from typing import Any

from epicycle.watching.inside import tasks
from epicycle.watching.inside.records import Record

Finding = dict[str, Any]

# Steps a second of a task that waits for nothing.
_STORM = 20_000
# Seconds after which a cancelled task ought to have ended, or to stand still.
_PATIENCE = 1.0
# A buffer that has grown so often on end: five looks.
_GROWTHS = 4
# Findings of an observation.
MOST = 100


def finding(kind: str, task: int | None, text: str) -> Finding:
    """One finding."""
    return {"kind": kind, "task": task, "text": text}


# ---- tasks ----


# Tasks that asyncio and Epicycle start for themselves, and whose wait is always for what the loop holds.
_OWN = ("asyncio.base_subprocess.", "epicycle.")


def is_own(coroutine: str) -> bool:
    """Whether a task is one that asyncio or Epicycle started for themselves."""
    return coroutine.startswith(_OWN)


# What a future holds of a task that waits for it: its callback, and from Python 3.14 on a note of who awaits it.
_AWAITED_BY = "_asyncio_awaited_by"
AWAITED = 2 if hasattr(tasks.Future, _AWAITED_BY) else 1


def references_of(future: Any, task: Any) -> int:
    """How often a future refers to a task that waits for it; 0 for what is no future of C, which is not looked into.

    A task with no other reference is held by nobody.
    """
    if type(future) is not tasks.Future:
        return 0
    count = 0
    for entry in tasks.attribute(future, "_callbacks") or ():
        callback = entry[0] if type(entry) is tuple else None
        if type(callback) is BuiltinMethodType and callback.__self__ is task:
            count += 1
    if count and AWAITED > 1:
        count += any(awaiter is task for awaiter in getattr(future, _AWAITED_BY) or ())
    return count


def goes_on(record: Record, wanted: int, future: Any, now: float) -> bool:
    """Whether a task that should end (`wanted` times asked) has gone on since it was first seen to."""
    if not wanted:
        record.cancelled_at = None
        return False
    if record.cancelled_at is None:
        # It has not heard of it as long as it is not waiting.
        if future is not None and not tasks.is_done(future):
            record.cancelled_at, record.cancel_mark = now, (record.steps, id(future))
        return False
    return now - record.cancelled_at >= _PATIENCE and record.cancel_mark != (record.steps, id(future))


def storms(record: Record, rate: float, future: Any, running: bool) -> bool:
    """Whether a task makes very many steps a second, and is found waiting for nothing."""
    if rate < _STORM or future is not None:
        record.storms = 0
    elif not running:
        record.storms += 1
    return record.storms > 0


def circles(edges: dict[int, tuple[int, ...]]) -> list[list[int]]:
    """The circles among tasks that wait for others: each task once, each circle from its smallest id on."""
    found: dict[frozenset[int], list[int]] = {}
    finished: set[int] = set()
    for start in edges:
        if start in finished:
            continue
        path: list[int] = [start]
        places = {start: 0}
        branches = [iter(edges[start])]
        while branches:
            following = next(branches[-1], None)
            if following is None:
                branches.pop()
                gone = path.pop()
                del places[gone]
                finished.add(gone)
            elif following in places:
                circle = path[places[following] :]
                turn = circle.index(min(circle))
                found.setdefault(frozenset(circle), circle[turn:] + circle[:turn])
            elif following in edges and following not in finished:
                places[following] = len(path)
                path.append(following)
                branches.append(iter(edges[following]))
    return list(found.values())[:MOST]


# ---- connections ----


class Growth:
    """How the buffers of transports grow from one look to the next."""

    def __init__(self) -> None:
        self._sizes: dict[tuple[int, ...], tuple[int, int]] = {}

    def look(self, connections: list[dict[str, Any]]) -> list[Finding]:
        """The transports whose buffers have grown at every look of the last ones, above their high-water mark."""
        sizes: dict[tuple[int, ...], tuple[int, int]] = {}
        found: list[Finding] = []
        for connection in connections:
            size, limits = connection["buffer"], connection["limits"]
            if limits is None or size <= limits[1]:
                continue
            key = tuple(connection["objects"])
            before, times = self._sizes.get(key, (size, 0))
            times = times + 1 if size > before else 0
            sizes[key] = (size, times)
            if times >= _GROWTHS and len(found) < MOST:
                whom = connection["peer"] or f"fd {connection['fd']}"
                text = f"the buffer of {connection['kind']} {whom} only grows: {size} bytes, mark {limits[1]}"
                found.append(finding("growing-buffer", None, text))
        self._sizes = sizes
        return found


# ---- asking without a viewer ----

# Each thread has its own, so that none waits for another.
_asked = threading.local()


def check(loop: Any) -> list[Finding]:
    """What looks wrong in the loop now, and, where that shows only in a change, since this thread asked last.

    May be called in any thread, the loop's own included.
    """
    from epicycle.watching.inside.snapshot import Observer

    observers = getattr(_asked, "observers", None)
    if observers is None:
        observers = _asked.observers = weakref.WeakKeyDictionary()
    observer = observers.get(loop)
    if observer is None:
        observer = observers[loop] = Observer(loop)
    found: list[Finding] = observer.findings()
    return found

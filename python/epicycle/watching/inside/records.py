"""What is remembered of a task from one snapshot to the next."""

from __future__ import annotations

import weakref
from typing import Any

# For a task that stands where it stood: what it had run when it was looked at last.
Mark = tuple[int, int]


class Record:
    """What is remembered of one task, which it does not keep alive."""

    __slots__ = (
        "blocks",
        "busy",
        "cancel_mark",
        "cancelled_at",
        "edges",
        "first_seen",
        "future",
        "group",
        "held",
        "is_new",
        "lock",
        "reference",
        "scheduled",
        "seen",
        "stands",
        "steps",
        "storms",
    )

    def __init__(self, reference: weakref.ref[Any], now: float, is_new: bool) -> None:
        self.reference = reference
        # Monotonic seconds, and whether the task began only when it was watched for already.
        self.first_seen = now
        self.is_new = is_new
        # The number of the observation that saw it last.
        self.seen = 0
        # Summed up while it was watched: steps, and nanoseconds that it ran, or was due and did not run.
        self.steps = 0
        self.busy = 0
        self.scheduled = 0
        # Whether group, edges and locks are those of a task that waits, and the `id` of the future that it waits on.
        self.stands = False
        self.future = 0
        # Its group: the coroutine, and what it waits for.
        self.group = ("", "")
        # The `id`s of tasks that it waits for, and whether for all of them; of the lock that it waits for; of the locks
        # that it holds.
        self.edges: tuple[int, ...] = ()
        self.blocks = True
        self.lock = 0
        self.held: tuple[int, ...] | None = None
        # Since when somebody wants it to end, and where it waited then.
        self.cancelled_at: float | None = None
        self.cancel_mark: Mark = (0, 0)
        # In how many observations on end it woke itself, over and over.
        self.storms = 0


class Records:
    """The records of a loop's tasks, by `id`."""

    def __init__(self) -> None:
        self.by_id: dict[int, Record] = {}
        self.number = 0

    def begin(self) -> None:
        """Another observation begins."""
        self.number += 1

    def of(self, task: Any, reference: weakref.ref[Any], now: float) -> Record:
        """The record of a task, perhaps a new one."""
        record = self.by_id.get(id(task))
        if record is None or record.reference() is not task:
            record = self.by_id[id(task)] = Record(reference, now, self.number > 1)
        record.seen = self.number
        return record

    def end(self, count: int) -> None:
        """Forgets all but the `count` tasks that this observation has seen."""
        if len(self.by_id) != count:
            gone = [key for key, record in self.by_id.items() if record.seen != self.number]
            for key in gone:
                del self.by_id[key]

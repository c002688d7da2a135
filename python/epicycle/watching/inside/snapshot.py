"""A snapshot of a loop: its tasks, its connections, and what looks wrong.

It is a JSON object; all its text is somebody else's and may contain anything.  `version` changes when a key changes its
meaning or goes away; further keys may come without that.

    {"version": 1, "time": wall clock in seconds, "pid": n, "loop": its number in the process or 0,
     "took": seconds that the snapshot took,
     "tasks": {
       "total": n,
       "groups": [{"coroutine": "module.qualname", "waits": text, "count": n}],   all tasks, largest group first
       "list": [{                                      all tasks up to 2,000, else the 1,000 most interesting
                                                       (running, suspicious, busiest, then oldest); oldest first
         "id": n,                                      of the task while it lives: its `id()` in the process
         "name": text, "coroutine": "module.qualname",
         "file": text, "line": n,                      where it stands: the innermost frame of the user's own code
         "state": "running" | "ready" | "waiting" | "cancelling",
         "waits": {"kind": KIND, "text": text, ...},   see below
         "waits_for": id of the one task it waits for, or null,
         "awaited_by": [ids],                          50 at most
         "stack": ["file:line function", ...],         the await chain, outermost first
         "age": seconds, "age_is_at_least": bool,      true: it is older than the watching
         "busy": seconds, "scheduled": seconds,        while it was watched: running; due but not run
         "steps": n}]},                                the same
     "connections": {"total": n, "list": [{
       "kind": "tcp" | "unix" | "tls" | "udp" | "pipe-read" | "pipe-write" | "listener" | "callback",
       "fd": n, "local": text or null, "peer": text or null,
       "buffer": bytes waiting to be sent, "limits": [low, high] or null, "reading": bool, "writing_paused": bool,
       "unread": bytes that wait in the kernel while we do not read, "slow": "peer" | "us" | ""}]},
     "lints": [{"kind": text, "task": id or null, "text": text}]}        see `lints.py`

KIND and what comes with it, any of which may be null: `socket` (fd, peer, direction), `stream` (fd, peer, buffered),
`timer` (deadline), `lock` (holder, holder_name, waiting), `semaphore` (holders, waiting), `queue` (size, maxsize,
getters, putters, unfinished), `event` and `condition` (waiting), `barrier` (parties, there), `task` and `gather`
(tasks, pending, deadline), `executor` (function, where, queued), `dns` (host, port), `process` (pid), `future`,
`ready`, `none` (it runs).  Deadlines are in seconds from now.  `limit` may be with any of them: the seconds that a
time-out around it leaves.

When the snapshot fails it is `{"version": 1, "time": ..., "pid": ..., "error": text}`.
"""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from typing import Any

from epicycle.watching.inside import lints, waits
from epicycle.watching.inside.encoding import encode
from epicycle.watching.inside.looking import Look
from epicycle.watching.inside.pacing import Pace
from epicycle.watching.inside.records import Records

VERSION = 1


class Observer:
    """Looks at one loop again and again, from one thread, and remembers what it needs for the next time.

    `timed`: the loop sums up the steps of tasks, for this observer alone.
    """

    def __init__(self, loop: Any, timed: bool = False) -> None:
        self._timed = timed
        self._loop = weakref.ref(loop)
        self._shapes = waits.Shapes()
        self._records = Records()
        self._growth = lints.Growth()
        self._last = 0.0
        self._serial: int | None = None

    def observe(self, thread: int = 0, rests: bool = True) -> bytes:
        """A snapshot, as JSON in ASCII.

        `thread`: where the loop runs, as `threading.get_ident()` numbers it; `rests`: whether to let the loop get on in
        between, which makes sense in another thread than that.
        """
        loop = self._loop()
        if loop is None:
            return failure("the loop is gone")
        begun = time.perf_counter()
        look = self._look(loop, thread, Pace(rests))
        parts = [
            f'{{"version":{VERSION},"time":{time.time():.6f},"pid":{os.getpid()},"loop":{self._number(loop)},',
            f'"tasks":{{"total":{look.total},"groups":{encode(look.grouped())},"list":[',
            ",".join(look.details()),
            f']}},"connections":{{"total":{len(look.connections)},"list":[',
            ",".join(look.encoded_connections()),
            f']}},"lints":{encode(look.findings)},',
        ]
        parts.append(f'"took":{time.perf_counter() - begun:.6f}}}')
        return "".join(parts).encode("ascii")

    def findings(self) -> list[lints.Finding]:
        """The lints alone."""
        loop = self._loop()
        return [] if loop is None else self._look(loop, 0, Pace(rests=False)).findings

    def _number(self, loop: Any) -> int:
        if self._serial is None:
            self._serial = int(loop._serial())
        return self._serial

    def _look(self, loop: Any, thread: int, pace: Pace) -> Look:
        now = time.monotonic()
        elapsed = now - self._last if self._last else 0.0
        self._last = now
        look = Look(loop, thread, self._shapes, self._records, pace, elapsed, self._timed)
        look.over_connections()
        look.over_tasks()
        look.over_locks()
        look.judge(self._growth)
        return look


def take(loop: Any) -> dict[str, Any]:
    """A snapshot of a loop of ours, taken in its own thread."""
    taken: dict[str, Any] = json.loads(Observer(loop).observe(threading.get_ident(), rests=False))
    return taken


def failure(text: str) -> bytes:
    """What is published in place of a snapshot that could not be taken."""
    return encode({"version": VERSION, "time": time.time(), "pid": os.getpid(), "error": text}).encode(
        "ascii"
    )

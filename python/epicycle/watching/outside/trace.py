"""The flight recorder's events as a trace that Perfetto (ui.perfetto.dev) and Chrome's ``about:tracing`` show.

The form is Chrome's trace events, the object with ``traceEvents``: times in microseconds, ``B`` and ``E`` around what
lasts, ``X`` for what is over, ``i`` for moments, ``C`` for counters, ``M`` for names.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

from .clean import clean
from .view import cause_text

__all__ = ("Track", "write")

Event = dict[str, Any]
Recorded = tuple[int, int, str, str, int]

# A turn lasts until the loop parks or the next one begins, and a park until the next turn; these have no event for
# their end. What runs in a turn has one.
ROUNDS = ("turn", "park")
RUNS = ("step", "callback")

# Stalls have a line of their own below the loop's thread. Thread numbers end far below this.
STALLS = 1 << 24


class Track:
    """The trace of one loop, which grows as events come in.

    ``pid`` and ``tid`` say under which process and thread it is shown, ``after`` is the number of the first event
    that is wanted, or None where any may come first.
    """

    def __init__(self, pid: int, tid: int, program: str, name: str, after: int | None = None) -> None:
        self.events: list[Event] = [
            {"ph": "M", "name": "process_name", "pid": pid, "tid": tid, "args": {"name": clean(program)}},
            {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": clean(name)}},
        ]
        self.lost = 0
        self._pid = pid
        self._tid = tid
        self._open: list[str] = []
        self._sequence = None if after is None else after - 1
        self._last_ns = 0
        self._stalls = False

    def add(self, recorded: Iterable[Recorded]) -> None:
        """Take events on in their order; where numbers are missing, the ring went round before they were read."""
        for sequence, at, kind, name, value in recorded:
            if self._sequence is not None and sequence <= self._sequence:
                continue
            if self._sequence is not None and sequence > self._sequence + 1:
                self._gap(sequence - self._sequence - 1, at)
            self._sequence = sequence
            # Times from a damaged page may run backwards, which no viewer can draw.
            at = max(at, self._last_ns)
            self._last_ns = at
            self._take(at, kind, name, value)

    def _take(self, at: int, kind: str, name: str, value: int) -> None:
        if kind == "end":
            # What began before the ring's oldest event has no beginning here.
            if any(each in RUNS for each in self._open):
                self._close_rounds(at)
                self._close_one(at)
        elif kind in ROUNDS:
            self._close_rounds(at)
            self._begin(at, kind, kind, {"batch": value} if value else {})
        elif kind in RUNS:
            self._begin(at, kind, clean(name) or kind, {})

    def _begin(self, at: int, kind: str, name: str, args: dict[str, int]) -> None:
        self._open.append(kind)
        self._put("B", at, name, cat=kind, args=args)

    def _close_rounds(self, at: int) -> None:
        """Close the turn or park that is open; those around what runs a loop within a loop stay."""
        while self._open and self._open[-1] in ROUNDS:
            self._close_one(at)

    def _gap(self, count: int, at: int) -> None:
        self._close_all(self._last_ns)
        self.lost += count
        self._put("i", at, f"{count} events lost", cat="lost", s="t", args={"count": count})

    def _close_one(self, at: int) -> None:
        self._open.pop()
        self._put("E", at)

    def _close_all(self, at: int) -> None:
        while self._open:
            self._close_one(at)

    def add_counters(self, at: int, counters: dict[str, float]) -> None:
        """The figures at a time in monotonic nanoseconds, each drawn as a curve."""
        for name, value in counters.items():
            self._put("C", at, clean(name, 60), args={"value": value})

    def add_stalls(self, stalls: list[dict[str, Any]]) -> None:
        """The stalls that the page remembers, each on the stalls' own line, and its beginning marked on the loop's."""
        for stall in stalls:
            at, lasted = stall["began_ns"], stall["lasted"]
            self._name_stalls()
            name = f"{clean(stall.get('kind') or 'stall', 20)}: {cause_text(stall) or 'unknown'}"
            keys = (
                "number",
                "detail",
                "what",
                "task",
                "coroutine",
                "file",
                "line",
                "stack",
                "awaits",
                "over",
            )
            args = {key: stall[key] for key in ("cause", *keys) if stall.get(key) not in (None, "", [])}
            self._put("X", at, name, tid=STALLS + self._tid, cat="stall", dur=lasted * 1e6, args=args)
            self._put("i", at, name, cat="stall", s="t", args={"number": stall.get("number")})

    def _name_stalls(self) -> None:
        if not self._stalls:
            self._stalls = True
            self.events.append(
                {
                    "ph": "M",
                    "name": "thread_name",
                    "pid": self._pid,
                    "tid": STALLS + self._tid,
                    "args": {"name": "stalls"},
                }
            )

    def end(self) -> None:
        """Close what is still open at the last event."""
        self._close_all(self._last_ns)

    def _put(self, phase: str, at: int, name: str | None = None, **more: Any) -> None:
        event: Event = {"ph": phase, "ts": at / 1000, "pid": self._pid, "tid": self._tid}
        if name is not None:
            event["name"] = name
        event.update(more)
        self.events.append(event)


def write(path: str, tracks: list[Track], facts: dict[str, Any]) -> None:
    """Write the trace of all ``tracks`` to ``path``, in whole or not at all; raises OSError.

    A pipe or a device gets it as it comes.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "w", encoding="ascii") as file:
            file.writelines(_text(tracks, facts))
        return
    # A link stays one.
    path = os.path.realpath(path)
    folder = os.path.dirname(path) or "."
    handle, temporary = tempfile.mkstemp(prefix=".epicycle-", suffix=".json", dir=folder)
    try:
        with open(handle, "w", encoding="ascii") as file:
            file.writelines(_text(tracks, facts))
            file.flush()
            os.fsync(file.fileno())
        # mkstemp lets only the owner read; a file that open() makes is as the user's umask has it.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _text(tracks: list[Track], facts: dict[str, Any]) -> Iterator[str]:
    yield '{"displayTimeUnit": "ms", "otherData": '
    yield json.dumps(facts)
    yield ', "traceEvents": [\n'
    first = True
    for track in tracks:
        for event in track.events:
            yield ("" if first else ",\n") + json.dumps(event)
            first = False
    yield "\n]}\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

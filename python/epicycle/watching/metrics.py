"""`epicycle.metrics()`: the numbers of this process's loops, read from their pages.

In: the pages (`docs/design/005-watching.md`).  Out: plain dicts, lists and numbers, which `json.dumps` takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from epicycle.loop import EventLoop

__all__ = ("Lateness", "LoopMetrics", "Metrics", "Stalls", "metrics", "percentile")


class Lateness(TypedDict):
    """How late timers ran, in seconds."""

    count: int
    """Timers that ran."""
    p50: float | None
    """Half of them ran no later than this; None before the first."""
    p90: float | None
    """Nine in ten of them; None before the first."""
    p99: float | None
    """Ninety-nine in a hundred of them; None before the first."""
    buckets: list[int]
    """``buckets[i]`` of them ran between ``2**i`` and ``2**(i + 1)`` nanoseconds late."""


class Stalls(TypedDict):
    """Stalls that a watcher has noticed; all zero without one."""

    total: int
    """Since the loop was made."""
    blocked: int
    """Of the last 32, those in which one callback held the loop."""
    saturated: int
    """Of the last 32, those in which many short callbacks kept it from waiting."""
    now: float
    """How long the stall that goes on has lasted, in seconds; 0.0 where there is none."""
    last: dict[str, Any] | None
    """The latest, as the page has it: when it began, how long it lasted, its kind, cause, file and line."""


class LoopMetrics(TypedDict):
    """One loop."""

    loop: int
    """Its serial number in the process."""
    facts: dict[str, Any]
    """What it is and what it does: ``state``, ``thread``, ``created``, ``runs``, ``watching`` and so on."""
    counters: dict[str, int]
    """Since it was made: ``turns``, ``callbacks``, ``steps``, ``bytes_in`` and so on."""
    connections: dict[str, int]
    """Transports open now, by kind: ``tcp``, ``unix``, ``tls``, ``udp``, ``pipe``."""
    lateness: Lateness
    stalls: Stalls


class Metrics(TypedDict):
    """A process."""

    loops: list[LoopMetrics]
    """In the order in which they were made."""


def metrics(loop: asyncio.AbstractEventLoop | None = None) -> Metrics:
    """Return the counters, timer lateness, connections and stalls of every open Epicycle loop of this process.

    With ``loop``, of that one alone. May be called from any thread, also while a loop is blocked; it holds none up.
    Numbers of one loop are read one after the other while it goes on, so they may be a few callbacks apart.

    Raises TypeError where ``loop`` is not an Epicycle loop, RuntimeError where it is closed.
    """
    from epicycle.loop import EventLoop, _forking

    if loop is not None:
        if not isinstance(loop, EventLoop):
            raise TypeError(f"an Epicycle loop is expected, got {loop!r}")
        if loop.is_closed():
            raise RuntimeError("Event loop is closed")
        return {"loops": [_of_loop(loop)]}
    found = []
    for each in _forking.loops():
        try:
            found.append(_of_loop(each))
        except RuntimeError:
            # Another thread has closed it meanwhile.
            continue
    return {"loops": sorted(found, key=lambda one: one["loop"])}


def percentile(buckets: Sequence[int], share: float) -> float | None:
    """The lateness, in seconds, that ``share`` (0 to 1) of the timers did not exceed; None without timers.

    It is the upper end of a bucket, so up to twice the true figure and never less.
    """
    count = sum(buckets)
    if count == 0:
        return None
    seen = 0
    for i, number in enumerate(buckets):
        seen += number
        if seen >= share * count and number:
            return bucket_end(i)
    return bucket_end(len(buckets) - 1)


def bucket_end(i: int) -> float:
    """Where bucket ``i`` ends, in seconds."""
    return float(2 ** (i + 1)) / 1e9


def _of_loop(loop: EventLoop) -> LoopMetrics:
    page = loop._page()
    facts = page.facts()
    counters = page.counters()
    buckets = page.lateness()
    stalls = page.stalls()
    last = stalls[-1] if stalls else None
    return {
        "loop": facts["loop"],
        "facts": facts,
        "counters": counters,
        "connections": {
            key.removeprefix("opened_"): number - counters["closed_" + key.removeprefix("opened_")]
            for key, number in counters.items()
            if key.startswith("opened_")
        },
        "lateness": {
            "count": sum(buckets),
            "p50": percentile(buckets, 0.5),
            "p90": percentile(buckets, 0.9),
            "p99": percentile(buckets, 0.99),
            "buckets": buckets,
        },
        "stalls": {
            "total": counters["stalls"],
            "blocked": sum(stall["kind"] == "blocked" for stall in stalls),
            "saturated": sum(stall["kind"] == "saturated" for stall in stalls),
            "now": last["lasted"] if last is not None and not last["over"] else 0.0,
            "last": last,
        },
    }

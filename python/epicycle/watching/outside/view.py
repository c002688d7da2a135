"""What readings of a page mean: rates, percentiles, the banner. Values in, values out; nothing is read or printed."""

from __future__ import annotations

import os
import sysconfig
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .clean import clean

__all__ = (
    "RATES",
    "Banner",
    "History",
    "Lag",
    "Reading",
    "amount",
    "banner",
    "bytes_text",
    "cause_text",
    "innermost_own",
    "lag",
    "newest_stall",
    "rates",
    "seconds_text",
    "sparkline",
    "where",
)

Frame = Sequence[Any]

# The counters that are shown as so many a second.
RATES = ("turns", "callbacks", "steps", "events", "bytes_in", "bytes_out", "timers_fired", "accepts")

# Without the full block, so that lines below one another do not run together.
BARS = "▁▂▃▄▅▆▇"


@dataclass
class Reading:
    """What one look at a page found. ``process`` is ``running``, ``stopped`` or ``ended``, and ``file`` where only the
    page of a process is left. ``still`` is for how many seconds, at least, the loop has been in one and the same
    callback. ``snapshot`` is None where there is none, ``snapshot_age`` its age in seconds."""

    facts: dict[str, Any]
    counters: dict[str, int]
    lateness: list[int]
    stalls: list[dict[str, Any]]
    process: str = "running"
    still: float = 0.0
    stack: list[Frame] = field(default_factory=list)
    snapshot: dict[str, Any] | None = None
    snapshot_age: float = 0.0
    problem: str = ""

    @property
    def now(self) -> float:
        """When it was read, on the system's monotonic clock, in seconds."""
        return number(self.facts, "now_ns") / 1e9


def number(values: Mapping[str, Any], key: str) -> float:
    """The number at ``key``, or 0 where there is none: what comes from another process may be damaged."""
    value = values.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value == value else 0


def rates(before: Reading, after: Reading) -> dict[str, float]:
    """So many a second of each of ``RATES`` between two readings; 0 where the time between them is not known."""
    elapsed = after.now - before.now
    return {
        name: max(0.0, after.counters.get(name, 0) - before.counters.get(name, 0)) / elapsed
        if elapsed > 0
        else 0.0
        for name in RATES
    }


@dataclass(frozen=True)
class Lag:
    """How late timers ran, in seconds; all 0 where none ran (``count`` 0)."""

    count: int = 0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    most: float = 0.0


def lag(before: Sequence[int], after: Sequence[int]) -> Lag:
    """Percentiles of the timers that ran between two readings of ``Page.lateness()``; ``before`` may be empty.

    A bucket is as wide as it is high, so a figure is exact to a factor of two at worst; within the bucket the timers
    are taken to lie evenly.
    """
    earlier = [*before, *[0] * (len(after) - len(before))]
    counts = [max(0, new - old) for new, old in zip(after, earlier, strict=False)]
    total = sum(counts)
    if not total:
        return Lag()
    last = max(index for index, count in enumerate(counts) if count)
    return Lag(
        total,
        _percentile(counts, total * 0.50),
        _percentile(counts, total * 0.90),
        _percentile(counts, total * 0.99),
        2.0 ** (last + 1) / 1e9,
    )


def _percentile(counts: Sequence[int], rank: float) -> float:
    below = 0
    for index, count in enumerate(counts):
        if count and below + count >= rank:
            low = 2.0**index if index else 0.0
            return (low + (2.0 ** (index + 1) - low) * (rank - below) / count) / 1e9
        below += count
    return 0.0


class History:
    """The last values of several figures, for sparklines."""

    def __init__(self, length: int = 60) -> None:
        self._length = length
        self._values: dict[str, deque[float]] = {}

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._values.setdefault(name, deque(maxlen=self._length)).append(value)

    def of(self, name: str) -> list[float]:
        """The values of ``name``, oldest first."""
        return list(self._values.get(name, ()))


def sparkline(values: Sequence[float], columns: int) -> str:
    """The last ``columns`` values as bars, the highest one full, to the right; nothing is drawn for 0."""
    shown = values[-columns:] if columns > 0 else []
    most = max(shown, default=0)
    bars = (BARS[min(6, int(value / most * 7))] if value > 0 else " " for value in shown)
    return "".join(bars).rjust(max(columns, 0))


def amount(value: float) -> str:
    """A count in at most five characters: ``7``, ``0.4``, ``12.3k``, ``4.5M``."""
    if value < 10 and value != int(value):
        return f"{value:.1f}"
    if value < 9999.5:
        return f"{value:.0f}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        if value < size * 99.95:
            return f"{value / size:.1f}{unit}"
        if value < size * 999.5:
            return f"{value / size:.0f}{unit}"
    return f"{value / 1e12:.3g}T"


def bytes_text(value: float) -> str:
    """A number of bytes in binary units: ``512 B``, ``1.5 KiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1023.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def seconds_text(value: float) -> str:
    """A time span for people: ``35 µs``, ``4.2 ms``, ``3.2 s``, ``4m05s``, ``3h02m``, ``2d04h``."""
    if value <= 0:
        return "0"
    if value < 0.0009995:
        return f"{value * 1e6:.0f} µs"
    if value < 0.9995:
        return f"{value * 1e3:.1f} ms" if value < 0.09995 else f"{value * 1e3:.0f} ms"
    if value < 99.95:
        return f"{value:.1f} s"
    whole = int(value + 0.5)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole // 60 % 60:02}m"
    return f"{whole // 86400}d{whole // 3600 % 24:02}h"


# The libraries that a frame may be in while it is not the user's own code: this interpreter's, and by their names
# those of any other.
_LIBRARIES = tuple(
    {path + os.sep for key in ("stdlib", "platstdlib") if (path := sysconfig.get_paths().get(key))}
)
_NOT_OWN = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}", f"{os.sep}lib{os.sep}python3")


def innermost_own(stack: Iterable[Frame]) -> Frame | None:
    """The innermost frame of the user's own code, or the innermost of all where none is; None for an empty stack.

    ``stack`` has (file, function, line) and begins with the innermost.
    """
    first = None
    for frame in stack:
        if not isinstance(frame, list | tuple) or len(frame) < 3:
            continue
        first = first or frame
        file = str(frame[0])
        if not (file.startswith(("<frozen", *_LIBRARIES)) or any(part in file for part in _NOT_OWN)):
            return frame
    return first


def where(file: object, line: object, function: object = "") -> str:
    """A place in the code: ``app.py:12 in work``, with the last two parts of the file's name."""
    parts = str(file).replace("\\", "/").rsplit("/", 2)
    if not file:
        return clean(function)
    place = f"{'/'.join(parts[-2:])}:{line}"
    return clean(f"{place} in {function}" if function else place)


@dataclass(frozen=True)
class Banner:
    """What is to be said first of all: ``alarm`` is True where the loop does not get on."""

    alarm: bool
    text: str


def newest_stall(reading: Reading) -> dict[str, Any] | None:
    """The stall that is going on, as the watcher wrote it down."""
    last = reading.stalls[-1] if reading.stalls else None
    if last is None or last.get("over") is not False or reading.process != "running":
        return None
    return last


def banner(reading: Reading, patience: float) -> Banner | None:
    """What a reader should know before all else, or None: the process ended or was stopped, or the loop is stuck.

    ``patience`` is how many seconds the loop may stay in one callback before that is said without a watcher.
    """
    facts = reading.facts
    if reading.process == "file":
        return Banner(False, f"the page of process {facts.get('pid')}, which has ended")
    if reading.process == "ended":
        return Banner(False, f"process {facts.get('pid')} has ended")
    if reading.process == "stopped":
        return Banner(True, "STOPPED: the process has been sent SIGSTOP or is held by a debugger")
    stall = newest_stall(reading)
    if stall is not None:
        return Banner(True, _stall_banner(stall, reading))
    if reading.still >= patience:
        frame = innermost_own(reading.stack)
        place = f" at {where(frame[0], frame[2], frame[1])}" if frame else f" in a {runs(facts)}"
        return Banner(True, f"BLOCKED for at least {seconds_text(reading.still)}{place}")
    if facts.get("state") == "closed":
        return Banner(False, "the loop is closed")
    return None


def _stall_banner(stall: dict[str, Any], reading: Reading) -> str:
    lasted = max(number(stall, "lasted"), reading.still)
    if stall.get("kind") == "saturated":
        text = f"SATURATED for {seconds_text(lasted)}: callbacks leave no time for events"
    else:
        text = f"BLOCKED for {seconds_text(lasted)}"
    cause = cause_text(stall)
    place = stall_place(stall)
    task = subject(stall)
    return (
        text
        + (f" by {cause}" if cause else "")
        + (f" at {place}" if place else "")
        + (f" ({task})" if task else "")
    )


def subject(stall: Mapping[str, Any]) -> str:
    """What ran when the loop was stalled: a task by its name, else what the watcher knows of the callback."""
    if stall.get("task"):
        return f"task {clean(stall['task'], 80)}"
    return clean(stall.get("what") or "", 80)


def stall_place(stall: dict[str, Any]) -> str:
    """Where a stall was: the user's innermost line as the watcher has it, else as the stack has it."""
    frames = stall.get("stack")
    own = innermost_own(frames) if isinstance(frames, list) else None
    if stall.get("file"):
        matching = own is not None and own[0] == stall["file"] and own[2] == stall.get("line")
        return where(stall["file"], stall.get("line"), own[1] if own is not None and matching else "")
    return where(own[0], own[2], own[1]) if own else ""


# What stalls a loop, as the watcher calls it and in words.
CAUSES = {
    "python": "running code",
    "system call": "a blocking system call",
    "gil": "the interpreter",
    "gc": "garbage collection",
    "cpu": "a processor that others use",
    "unknown": "",
}


def cause_text(stall: Mapping[str, Any]) -> str:
    """By what a loop is stalled, in words; empty where that is not known."""
    cause = str(stall.get("cause") or "")
    words = (CAUSES.get(cause, cause), stall.get("detail") or "")
    return ": ".join(clean(word, 160) for word in words if word)


def runs(facts: Mapping[str, Any]) -> str:
    """What kind of thing the loop runs just now."""
    return clean(facts.get("runs") or "callback", 20)

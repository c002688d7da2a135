"""What the measuring processes read: CPU time, peak memory, the distribution of waits."""

from __future__ import annotations

import time
from collections.abc import Sequence

__all__ = ("Answer", "cpu_seconds", "latencies", "peak_kib")

# What a measuring process prints as JSON. Always there: rate (operations a second), cpu_us (an operation's CPU time in
# the measured process, kernel side included), busy (share of a core it used), peak_kib. Where there is a load:
# client_busy. Where operations wait for something: p50_us and p99_us.
Answer = dict[str, float]


def cpu_seconds(pid: int) -> float:
    """The CPU time that another process of this user has used with all its threads, to the nanosecond."""
    # The id of a process's CPU-time clock, as clock_getcpuclockid(3) makes it on Linux.
    return time.clock_gettime(((~pid) << 3) | 2)


def peak_kib(pid: int | str = "self") -> float:
    """The most memory a process has had resident since it became the program it is, in KiB.

    Not ru_maxrss: that remembers what the process was before exec, a copy of its parent.
    """
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return float(line.split()[1])
    raise OSError(f"/proc/{pid}/status has no VmHWM")


def latencies(seconds: Sequence[float]) -> Answer:
    """The median and the 99th percentile of waits, in microseconds; nothing of no waits."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {"p50_us": ordered[last // 2] * 1e6, "p99_us": ordered[round(last * 0.99)] * 1e6}

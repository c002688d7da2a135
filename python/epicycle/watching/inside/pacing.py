"""Looking in short slices, so that the loop gets on meanwhile."""

from __future__ import annotations

import time

# Seconds.  The interpreter takes five milliseconds to make a thread give way; one that looks gives way sooner.
_SLICE = 0.001
# Not zero: whoever waits for the interpreter must have the time to wake up, or this thread takes it again.
_REST = 0.0002


class Pace:
    """Called between small pieces of work; sleeps when a slice is over.  With `rests` false, never."""

    __slots__ = ("_began", "_rests")

    def __init__(self, rests: bool = True) -> None:
        self._rests = rests
        self._began = time.perf_counter()

    def __call__(self) -> None:
        if self._rests and time.perf_counter() - self._began > _SLICE:
            time.sleep(_REST)
            self._began = time.perf_counter()

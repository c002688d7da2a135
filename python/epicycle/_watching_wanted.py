"""Whether this process's loops are to be watched from the first one on, as the command line or the environment says.

Nothing is imported for it before a loop is made.
"""

from __future__ import annotations

import os
import warnings

__all__ = ("begin", "want")

_USUAL = 0.1

_threshold: float | None = None
_begun = False


def want(seconds: float) -> None:
    """Have loops watched that do not get on for so many seconds."""
    global _threshold
    _threshold = seconds


def begin() -> None:
    """A loop is made: the first one begins the watching that was asked for, if any was."""
    global _begun
    if _begun:
        return
    _begun = True
    seconds = _threshold if _threshold is not None else _from_environment()
    if seconds is not None:
        from .watching.watcher import watch

        watch(seconds)


def _from_environment() -> float | None:
    """EPICYCLE_WATCH: 1 for the usual threshold, 0 or nothing for none, else seconds."""
    given = os.environ.get("EPICYCLE_WATCH", "")
    try:
        seconds = float(given or 0)
    except ValueError:
        seconds = -1.0
    if seconds == 0:
        return None
    if seconds != 1 and not 0.001 <= seconds <= 3600:
        warnings.warn(
            f"EPICYCLE_WATCH={given!r} is not used: it is 1, or 0.001 to 3600 seconds",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return _USUAL if seconds == 1 else seconds

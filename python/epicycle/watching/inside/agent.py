"""The thread that answers who rings at a loop's doorbell, while somebody does.

Each loop has its own, so that one that is slow to look at keeps nobody waiting for another.  It begins with the first
ring, which the loop itself has heard, and ends when nobody has rung for ten seconds; meanwhile it hears the bell
itself, so that a stuck loop is answered for too.  The interpreter does not wait for it at its end, and a child made by
fork() does not have it.
"""

from __future__ import annotations

import time
from typing import Any

from epicycle.watching.inside import chains
from epicycle.watching.inside.snapshot import Observer, failure

# Seconds without a ring after which the agent ends.
PATIENCE = 10.0
# Seconds from one snapshot to the next, at least; and at most so much of its time goes into looking.
_INTERVAL = 0.1
_SHARE = 0.25


def attend(loop: Any, thread: int) -> None:
    """Answers the bell of a loop until nobody rings any more; `thread` is the one that the loop runs in.

    Raises nothing: what goes wrong in looking is told in place of a snapshot, and a closed loop needs no answer.
    """
    timed = _set_timing(loop, True)
    try:
        _answer(loop, thread, timed)
    except Exception:
        return
    finally:
        _set_timing(loop, False)


def _answer(loop: Any, thread: int, timed: bool) -> None:
    observer = Observer(loop, timed)
    while True:
        begun = time.monotonic()
        loop._publish_snapshot(_snapshot(observer, thread))
        taken = time.monotonic() - begun
        rest = max(_INTERVAL - taken, taken / _SHARE - taken)
        if rest > 0:
            time.sleep(rest)
        if not loop._await_bell(PATIENCE):
            return


def _snapshot(observer: Observer, thread: int) -> bytes:
    try:
        return observer.observe(thread)
    except Exception as error:
        return failure(f"{chains.type_name(type(error))} while looking")


def _set_timing(loop: Any, on: bool) -> bool:
    """Has the loop sum up the steps of its tasks, or no more; whether it does what it was asked."""
    try:
        loop._time_steps(on)
    except Exception:
        # Closed by now, or its state is in use.
        return False
    return True

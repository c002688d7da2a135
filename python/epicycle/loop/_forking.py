"""What becomes of loops in a child made by fork().

Parent and child share the kernel's objects behind a loop (epoll, eventfd).  A child that went on using them would take
the parent's events and unregister the parent's descriptors, so there the loop lets go of them, and every use of it
raises `RuntimeError`.
"""

from __future__ import annotations

import functools
import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from epicycle.loop import EventLoop

_loops: weakref.WeakSet[EventLoop] = weakref.WeakSet()


def keep(loop: EventLoop) -> None:
    """Remembers a loop, so that a child can be told that it is not its own."""
    _watch_forks()
    _loops.add(loop)


@functools.cache
def _watch_forks() -> None:
    os.register_at_fork(after_in_child=_abandon)


def _abandon() -> None:
    for loop in list(_loops):
        loop._after_fork()

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

from epicycle import _epicycle

if TYPE_CHECKING:
    from epicycle.loop import EventLoop

_loops: weakref.WeakSet[EventLoop] = weakref.WeakSet()


def keep(loop: EventLoop) -> None:
    """Remembers a loop, so that a child can be told that it is not its own."""
    watch_forks()
    _loops.add(loop)


def loops() -> list[EventLoop]:
    """Those of this process that are not closed, in no particular order; from any thread."""
    while True:
        try:
            return [loop for loop in _loops if not loop.is_closed()]
        except RuntimeError:
            # Another thread made one meanwhile.
            continue


@functools.cache
def watch_forks() -> None:
    """From now on forks are noticed, whether there is a loop yet or not."""
    os.register_at_fork(
        before=_epicycle.hold_pages,
        after_in_parent=_epicycle.release_pages,
        after_in_child=_abandon,
    )


def _abandon() -> None:
    _epicycle.release_pages()
    for loop in list(_loops):
        loop._after_fork()

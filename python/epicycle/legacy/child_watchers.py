"""``asyncio.get_child_watcher`` and the watchers' classes (gone in 3.14).

Programs made one and attached it to their loop so that subprocesses would work; they work without one now. So
these do little, apart from ``add_child_handler``, which a few programs call with a child of their own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

from .attributes import revive_attribute

__all__ = ("revive",)

_NEW = "no watcher: subprocesses work without one"
_CLASSES = (
    "SafeChildWatcher",
    "FastChildWatcher",
    "MultiLoopChildWatcher",
    "ThreadedChildWatcher",
    "PidfdChildWatcher",
)


class AbstractChildWatcher:
    """Waits for child processes, each in a thread of its own."""

    def attach_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Once told the watcher which loop to use; the callbacks of handlers run in the waiting thread now."""

    def is_active(self) -> bool:
        """Whether subprocesses can be waited for: always."""
        return True

    def close(self) -> None:
        """Once gave the signal handler back."""

    def add_child_handler(self, pid: int, callback: Callable[..., object], *args: Any) -> None:
        """Call ``callback(pid, returncode, *args)`` from another thread once the child ``pid`` has ended."""

        def wait() -> None:
            try:
                _, status = os.waitpid(pid, 0)
                returncode = os.waitstatus_to_exitcode(status)
            except ChildProcessError:
                # Somebody else has waited for it; asyncio's watchers reported 255 then.
                returncode = 255
            callback(pid, returncode, *args)

        threading.Thread(target=wait, name=f"waits for child {pid}", daemon=True).start()

    def remove_child_handler(self, pid: int) -> bool:
        """False: a thread that waits for a child cannot be called off."""
        return False

    def __enter__(self) -> AbstractChildWatcher:
        return self

    def __exit__(self, *error: object) -> None:
        return None


_watcher: AbstractChildWatcher = AbstractChildWatcher()


def get_child_watcher() -> AbstractChildWatcher:
    """The watcher that was set last, or one made for the purpose."""
    return _watcher


def set_child_watcher(watcher: AbstractChildWatcher) -> None:
    """Have ``get_child_watcher`` return ``watcher``."""
    global _watcher
    _watcher = watcher


def revive() -> None:
    revive_attribute("asyncio", "get_child_watcher", lambda: get_child_watcher, _NEW)
    revive_attribute("asyncio", "set_child_watcher", lambda: set_child_watcher, _NEW)
    revive_attribute("asyncio", "AbstractChildWatcher", lambda: AbstractChildWatcher, _NEW)
    for name in _CLASSES:
        kind = type(
            name, (AbstractChildWatcher,), {"__module__": __name__, "__doc__": AbstractChildWatcher.__doc__}
        )
        revive_attribute("asyncio", name, _always(kind), _NEW)


def _always(value: object) -> Callable[[], object]:
    return lambda: value

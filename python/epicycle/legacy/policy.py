"""``asyncio.get_event_loop()`` outside a running loop.

It made a loop for the main thread until 3.13 (with a warning of its own since 3.12) and raises since 3.14. Futures,
tasks, ``gather`` and ``ensure_future`` without ``loop=`` ask in the same place, so they are served as well.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import events
from typing import Any, cast

from .._installing import has_policies
from .notices import say

__all__ = ("revive",)

_OLD = "asyncio.get_event_loop() outside a running loop"
_NEW = "asyncio.run(), or asyncio.new_event_loop() with asyncio.set_event_loop()"


def revive() -> None:
    if has_policies():
        return  # LegacyEventLoopPolicy, which 'epicycle run --legacy' has put in place, sees to it.
    _replace_functions()


if has_policies():
    from .._policy import EventLoopPolicy

    class LegacyEventLoopPolicy(EventLoopPolicy):
        """Makes and keeps a loop for the main thread the first time it is asked for, as asyncio did."""

        def get_event_loop(self) -> asyncio.AbstractEventLoop:
            """The thread's loop; RuntimeError where it has none, in another thread or after it was set to None."""
            # Both kept where asyncio keeps them, in what it clears after a fork.
            local: Any = cast(Any, self)._local
            in_main = threading.current_thread() is threading.main_thread()
            if local._loop is None and in_main and not getattr(local, "_set_called", False):
                say(_OLD, _NEW)
                self.set_event_loop(self.new_event_loop())
            return super().get_event_loop()

        def set_event_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
            """Make ``loop`` the thread's loop, or leave the thread without one."""
            local: Any = cast(Any, self)._local
            local._set_called = True
            super().set_event_loop(loop)


def _replace_functions() -> None:
    """Without policies: ``get_event_loop`` makes a loop where it would have raised for want of one."""
    original = events.get_event_loop
    set_original = events.set_event_loop
    was_set = False

    def get_event_loop() -> asyncio.AbstractEventLoop:
        nonlocal was_set
        try:
            return original()
        except RuntimeError:
            if was_set or threading.current_thread() is not threading.main_thread():
                raise
        say(_OLD, _NEW)
        loop = events.new_event_loop()
        set_event_loop(loop)
        return loop

    def set_event_loop(loop: asyncio.AbstractEventLoop | None) -> None:
        nonlocal was_set
        was_set = was_set or threading.current_thread() is threading.main_thread()
        set_original(loop)

    for module in (cast(Any, events), cast(Any, asyncio)):
        module.get_event_loop = get_event_loop
        module.set_event_loop = set_event_loop

"""The event loop policy that makes Epicycle loops; loaded when first asked for, since Python 3.16 has none."""

from __future__ import annotations

import asyncio
from asyncio import unix_events
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .loop import EventLoop

if TYPE_CHECKING:
    _DefaultPolicy = asyncio.DefaultEventLoopPolicy
else:
    # asyncio's own name for it warns from 3.14 on; the class behind it does not.
    _DefaultPolicy = getattr(unix_events, "_DefaultEventLoopPolicy", None) or getattr(
        unix_events, "DefaultEventLoopPolicy", None
    )
    if _DefaultPolicy is None:
        raise AttributeError(
            "asyncio has no event loop policies on this Python; use epicycle.install() or a loop factory"
        )

__all__ = ("EventLoopPolicy",)


class EventLoopPolicy(_DefaultPolicy):
    """asyncio's default policy, except that a new loop is an Epicycle loop.

    For places that ask for a policy: ``asyncio.set_event_loop_policy(epicycle.EventLoopPolicy())``.
    """

    _loop_factory: Any = EventLoop

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
        super().__init__()
        if loop_factory is not None:
            self._loop_factory = loop_factory


EventLoopPolicy.__module__ = "epicycle"

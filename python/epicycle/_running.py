"""Make a loop; run a coroutine on one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from .loop import EventLoop

__all__ = ("new_event_loop", "run")

T = TypeVar("T")


def new_event_loop() -> EventLoop:
    """Return a new Epicycle loop; it is not made the current one. This is the loop factory to hand to others."""
    from .loop import EventLoop

    return EventLoop()


def run(
    main: Coroutine[Any, Any, T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run ``main`` on a new Epicycle loop and return its result, as ``asyncio.run`` does on a standard one.

    At the end the tasks still there are cancelled, asynchronous generators and the default executor are shut
    down, and the loop is closed. The first Ctrl-C cancels the main task and then raises KeyboardInterrupt.

    ``debug`` sets the loop's debug mode; None leaves asyncio's own choice (``PYTHONASYNCIODEBUG``, ``-X dev``).
    ``loop_factory`` makes the loop in place of ``new_event_loop``.

    Raises RuntimeError where a loop is already running in this thread, and what ``main`` raises.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("epicycle.run() cannot be called from a running event loop")
    factory = new_event_loop if loop_factory is None else loop_factory
    with asyncio.Runner(debug=debug, loop_factory=factory) as runner:
        return runner.run(main)

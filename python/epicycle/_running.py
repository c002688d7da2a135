"""Make a loop; run a coroutine on one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from .loop import EventLoop
    from .loop._nesting import NestedEventLoop

__all__ = ("new_event_loop", "run")

T = TypeVar("T")


def new_event_loop(*, nested: bool = False) -> EventLoop:
    """Return a new Epicycle loop; it is not made the current one. This is the loop factory to hand to others.

    With ``nested`` it is a `NestedEventLoop`, whose ``run_until_complete`` may be called while it runs.
    """
    if nested:
        return _new_nested_loop()
    from .loop import EventLoop

    return EventLoop()


def run(
    main: Coroutine[Any, Any, T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    nested: bool = False,
) -> T:
    """Run ``main`` on a new Epicycle loop and return its result, as ``asyncio.run`` does on a standard one.

    At the end the tasks still there are cancelled, asynchronous generators and the default executor are shut
    down, and the loop is closed. The first Ctrl-C cancels the main task and then raises KeyboardInterrupt.

    ``debug`` sets the loop's debug mode; None leaves asyncio's own choice (``PYTHONASYNCIODEBUG``, ``-X dev``).
    ``loop_factory`` makes the loop in place of ``new_event_loop``.

    With ``nested`` the loop is a `NestedEventLoop`: what runs on it may call ``run_until_complete`` and this
    function again. Where such a loop is running in this thread already, ``main`` becomes a task of it, and only that
    task is ended at the end; where another loop is running, it waits until the new one is done.

    Raises RuntimeError where a loop is running in this thread that does not allow it, and what ``main`` raises.
    """
    running = asyncio._get_running_loop()
    if running is not None:
        from .loop._nesting import NestedEventLoop, aside

        if isinstance(running, NestedEventLoop) and loop_factory is None:
            return _run_inside(running, main, debug)
        if not nested:
            raise RuntimeError("epicycle.run() cannot be called from a running event loop")
        with aside():
            return run(main, debug=debug, loop_factory=loop_factory, nested=True)
    factory = loop_factory or (_new_nested_loop if nested else new_event_loop)
    with asyncio.Runner(debug=debug, loop_factory=factory) as runner:
        return runner.run(main)


def _new_nested_loop() -> NestedEventLoop:
    from .loop._nesting import NestedEventLoop

    return NestedEventLoop()


def _run_inside(loop: NestedEventLoop, main: Coroutine[Any, Any, T], debug: bool | None) -> T:
    if not asyncio.iscoroutine(main):
        raise ValueError(f"a coroutine was expected, got {main!r}")
    before = loop.get_debug()
    if debug is not None:
        loop.set_debug(debug)
    task = loop.create_task(main)
    try:
        return cast(T, loop.run_until_complete(task))
    finally:
        if not task.done():
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        if debug is not None:
            loop.set_debug(before)

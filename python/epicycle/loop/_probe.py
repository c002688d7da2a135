"""How the native half gets to know asyncio's C Task.

The C Task hands `call_soon` an object that runs its next step, and a future hands it a built-in method that wakes the
task.  Both have types without a public name.  Recognised, they need no `Handle`; so one of each is caught from a task
that runs on a stand-in for a loop.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

from epicycle import _epicycle


class _Recorder:
    """The least that a Task asks of a loop."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[..., Any]] = []

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> None:
        self.callbacks.append(callback)

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nothing can go wrong that anyone would want to know of."""


def _catch() -> tuple[Callable[..., Any], Callable[..., Any]]:
    recorder: Any = _Recorder()
    asyncio._set_running_loop(recorder)
    try:
        future: asyncio.Future[None] = asyncio.Future(loop=recorder)

        async def wait() -> None:
            await future

        # Named, so that the program's own tasks are counted from one.
        task = asyncio.Task(wait(), loop=recorder, name="epicycle-probe")
        step = recorder.callbacks.pop()
        step()
        future.set_result(None)
        wakeup = recorder.callbacks.pop()
        wakeup(future)
        task.result()
        return step, wakeup
    finally:
        asyncio._set_running_loop(None)


@functools.cache
def teach() -> None:
    """Catches a step and a wake-up and shows them to the native half.  Once per process.

    Without them (a Task that is not C's) every callback gets a handle, as in asyncio.
    """
    caught: list[tuple[Callable[..., Any], Callable[..., Any]]] = []
    # A thread of its own: this one may be inside a running loop and task, which the recorder would disturb.
    thread = threading.Thread(target=lambda: caught.append(_catch()), name="epicycle-probe")
    try:
        thread.start()
    except RuntimeError:
        # No more threads, at the interpreter's end for instance.
        return
    thread.join()
    if caught:
        _epicycle.learn_task_callbacks(*caught[0])

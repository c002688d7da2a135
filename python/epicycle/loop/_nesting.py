"""Loops that may run inside of a running one.

In: `run_until_complete` and `run_forever` called from a callback or a task.  Out: an inner run, during which the outer
one and its task are put aside; afterwards everything is where it was.

The queue is the loop's, not the run's: what was left of the outer batch when the inner run began is the head of the
inner run's first batch, and what the inner run leaves is the outer run's next.  So callbacks are called in the order
in which they would be called without nesting.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import signal
import sys
import threading
import weakref
from asyncio import base_events, events, tasks
from collections.abc import Generator
from typing import Any

from epicycle.loop import EventLoop

DEPTH = 100
"""How many loops may run inside of one another in one thread.  Each takes a dozen Python frames and some kilobytes of
stack; Python's own limit of recursion and an 8 MiB stack are far beyond."""

_stop_loop: Any = base_events._run_until_complete_cb  # type: ignore[attr-defined]


# ---- what belongs to the thread ----


class _Thread(threading.local):
    """How deep the runs of this thread are nested: 0 in the outermost."""

    depth = 0


_thread = _Thread()


def check_depth() -> None:
    """Raises RecursionError when this thread may not begin another inner run."""
    if _thread.depth >= DEPTH:
        raise RecursionError(f"event loops run inside of one another {DEPTH} deep in this thread")


@contextlib.contextmanager
def aside() -> Generator[None, None, None]:
    """Within, no loop runs in this thread and no task is current, whatever is running outside."""
    outer = events._get_running_loop()
    if outer is None:
        yield
        return
    check_depth()
    task, depth = asyncio.current_task(outer), _thread.depth
    # Ctrl-C may come between any two of these steps: whatever has been done is undone.
    try:
        _replace_current_task(outer, task, None)
        events._set_running_loop(None)
        _thread.depth = depth + 1
        yield
    finally:
        _thread.depth = depth
        events._set_running_loop(outer)
        if asyncio.current_task(outer) is not task:
            _replace_current_task(outer, None, task)
        _give_back_context()


def _replace_current_task(
    loop: asyncio.AbstractEventLoop, before: asyncio.Task[Any] | None, after: asyncio.Task[Any] | None
) -> None:
    """`loop` is the running one."""
    if before is after:
        # In a callback.  3.12 does not swap no task for none.
        return
    if sys.version_info >= (3, 12):
        tasks._swap_current_task(loop, after)  # type: ignore[attr-defined]
    elif before is not None:
        tasks._leave_task(loop, before)
    elif after is not None:
        tasks._enter_task(loop, after)


# ---- contexts ----

_mark: contextvars.ContextVar[object] = contextvars.ContextVar("epicycle-mark")
_stand_ins: dict[int, tuple[weakref.ref[contextvars.Context], contextvars.Context]] = {}


def stand_in(context: contextvars.Context) -> contextvars.Context | None:
    """Where to run what belongs into `context`, which is entered already and cannot be entered again.

    None when it is the current context: there it is right.  Otherwise a frame further out is in it; a copy stands in
    until that frame gets control again.  Called by the native half.
    """
    if _is_current(context):
        return None
    known = _stand_ins.get(id(context))
    if known is not None:
        return known[1]
    key = id(context)
    copy = context.copy()
    _stand_ins[key] = weakref.ref(context, lambda _: _stand_ins.pop(key, None)), copy
    return copy


def _is_current(context: contextvars.Context) -> bool:
    mark = object()
    token = _mark.set(mark)
    try:
        return context.get(_mark) is mark
    finally:
        _mark.reset(token)


def _give_back_context() -> None:
    """What was set in the stand-in of the current context is set in the context itself."""
    for key, (reference, copy) in list(_stand_ins.items()):
        context = reference()
        if context is not None and _is_current(context):
            del _stand_ins[key]
            for variable, value in copy.items():
                if variable not in context or context[variable] is not value:
                    variable.set(value)


# ---- Ctrl-C ----


class _Interrupt:
    """In an inner run, the first Ctrl-C cancels what that run waits for, as `asyncio.Runner` does in an outer one."""

    def __init__(self, awaited: asyncio.Future[Any]) -> None:
        self.awaited = awaited
        self.count = 0

    def __call__(self, number: int, frame: Any) -> None:
        self.count += 1
        if self.count > 1 or self.awaited.done():
            raise KeyboardInterrupt
        self.awaited.cancel()
        # Wakes the loop if it sleeps.
        self.awaited.get_loop().call_soon_threadsafe(lambda: None)

    def ended(self) -> bool:
        """Whether it was Ctrl-C alone that ended the run."""
        if self.count == 0 or not self.awaited.cancelled():
            return False
        uncancel = getattr(self.awaited, "uncancel", None)
        return uncancel is None or uncancel() == 0


def _is_runners(handler: Any) -> bool:
    if isinstance(handler, _Interrupt):
        return True
    function = getattr(getattr(handler, "func", None), "__func__", None)
    return function is not None and function is getattr(asyncio.Runner, "_on_sigint", None)


@contextlib.contextmanager
def _interrupting(awaited: asyncio.Future[Any]) -> Generator[None, None, None]:
    """An inner run's part in the handling of Ctrl-C, where the outer run takes part in it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if not _is_runners(before):
        # The default handler raises in whatever runs, and a handler of the program's own knows what to do.
        yield
        return
    interrupt = _Interrupt(awaited)
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, before)
    if interrupt.ended():
        raise KeyboardInterrupt


# ---- the loop ----


class _Run:
    """One of the runs of a loop: what it waits for, if anything, in which thread, and whether it is to end next."""

    def __init__(self, awaited: asyncio.Future[Any] | None) -> None:
        self.awaited = awaited
        self.thread = threading.get_ident()
        self.is_over = False


class NestedEventLoop(EventLoop):
    """An `EventLoop` whose `run_until_complete` and `run_forever` may be called while it, or another loop, runs.

    Called from a callback or a task, they run the loop from there and return when they are done; the caller's task
    is not the current one meanwhile, and goes on afterwards.  `stop()` ends the innermost run.  RecursionError when
    runs are nested too deep.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._allow_nesting()
        super().__init__()

    def run_forever(self) -> None:
        """Runs until `stop()` is called, be it inside of another run.

        Raises RuntimeError when another thread runs the loop, or when it is closed.
        """
        self._go(_Run(None))

    def stop(self) -> None:
        """Ends the innermost run after the current turn."""
        if self._runs and self._is_for_outermost():
            self._runs[0].is_over = True
            if len(self._runs) > 1:
                return
        super().stop()

    def _is_for_outermost(self) -> bool:
        # asyncio's callback, which the outermost run's future has because anyio looks for it, cannot say which run it
        # means.  It comes once, after that future is done.
        outermost = self._runs[0]
        awaited = outermost.awaited
        return awaited is not None and not outermost.is_over and awaited.done() and not _passes(awaited)

    def _run_for(self, awaited: asyncio.Future[Any]) -> None:
        run = _Run(awaited)
        stop = functools.partial(self._finish, run) if self._runs else _stop_loop
        awaited.add_done_callback(stop)
        try:
            with _interrupting(awaited) if self._runs or _thread.depth else contextlib.nullcontext():
                self._go(run)
        finally:
            awaited.remove_done_callback(stop)

    def _finish(self, run: _Run, awaited: asyncio.Future[Any]) -> None:
        if _passes(awaited) or run not in self._runs:
            return
        if run is self._runs[-1]:
            super().stop()
        else:
            # It is not this run's turn: the inner ones have to end first.
            run.is_over = True

    def _go(self, run: _Run) -> None:
        self._check_closed()
        self._check_not_running()
        handle = self._current_handle
        with aside():
            self._runs.append(run)
            try:
                super().run_forever()
            finally:
                self._runs.pop()
                if self._runs:
                    self._current_handle = handle
                    self._track_coroutine_origins(self.get_debug())
                    if self._runs[-1].is_over:
                        super().stop()

    def _check_not_running(self) -> None:
        if self._runs and self._runs[-1].thread != threading.get_ident():
            raise RuntimeError("This event loop is already running")
        if events._get_running_loop() is not None:
            # Told before anything has been scheduled.
            check_depth()


def _passes(awaited: asyncio.Future[Any]) -> bool:
    """Whether a future's exception leaves the loop by itself, so that the loop need not be stopped."""
    return not awaited.cancelled() and isinstance(awaited.exception(), SystemExit | KeyboardInterrupt)


NestedEventLoop.__module__ = "epicycle"

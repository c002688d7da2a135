"""Running and ending a loop, asynchronous generators, debug mode."""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
import weakref
from asyncio import base_events, coroutines, events
from asyncio.log import logger
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from typing import Any

from epicycle import _epicycle
from epicycle.loop._part import Part

# The very function that asyncio's own loop adds: anyio looks for it among a future's callbacks.
_stop_loop: Any = base_events._run_until_complete_cb  # type: ignore[attr-defined]


class Running(Part):
    """run_forever, run_until_complete, close and what belongs to them."""

    slow_callback_duration: float
    """Seconds; in debug mode, a callback that takes this long is logged."""

    _is_made = False

    def _start_running(self) -> None:
        self.slow_callback_duration = 0.1
        self._current_handle: Any = None
        self._asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self._asyncgens_shutdown_called = False
        self._tracks_origins = False
        self.set_debug(coroutines._is_debug_mode())  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} running={self.is_running()} closed={self.is_closed()} debug={self.get_debug()}>"

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name == "time":
            # A test put its own clock here; timers go by it from now on.
            self._follow_time(True)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        if name == "time":
            self._follow_time(type(self).time is not _epicycle.Loop.time)

    def run_forever(self) -> None:
        """Runs until `stop()` is called.

        Raises RuntimeError when this or another loop already runs in this thread, or when the loop is closed.
        """
        self._check_closed()
        self._check_not_running()
        hooks = sys.get_asyncgen_hooks()
        self._track_coroutine_origins(self.get_debug())
        try:
            sys.set_asyncgen_hooks(firstiter=self._asyncgen_started, finalizer=self._asyncgen_dropped)
            events._set_running_loop(self)
            with self._woken_by_signals():
                self._run()
        finally:
            events._set_running_loop(None)
            self._track_coroutine_origins(False)
            sys.set_asyncgen_hooks(*hooks)

    def run_until_complete(self, future: Any) -> Any:
        """Runs until `future` (a coroutine, which becomes a task, or a future of this loop) is done.

        Returns its result or raises its exception.  Raises RuntimeError when the loop is stopped before.
        """
        self._check_closed()
        self._check_not_running()
        made_here = not asyncio.isfuture(future)
        awaited: asyncio.Future[Any] = asyncio.ensure_future(future, loop=self)
        if made_here:
            # Should it be left pending, the error below tells of it.
            awaited._log_destroy_pending = False  # type: ignore[attr-defined]
        try:
            self._run_for(awaited)
        except BaseException:
            if made_here and awaited.done() and not awaited.cancelled():
                # Nobody else can reach this task: its exception counts as retrieved.
                awaited.exception()
            raise
        if not awaited.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return awaited.result()

    def _run_for(self, awaited: asyncio.Future[Any]) -> None:
        awaited.add_done_callback(_stop_loop)
        try:
            self.run_forever()
        finally:
            awaited.remove_done_callback(_stop_loop)

    def _check_not_running(self) -> None:
        if self.is_running():
            raise RuntimeError("This event loop is already running")
        if events._get_running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")

    def close(self) -> None:
        """Closes the loop for good; what is queued is forgotten.  Idempotent.

        Raises RuntimeError while the loop runs.
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        if self.get_debug():
            logger.debug("Close %r", self)
        self._close_signals()
        self._close_processes()
        self._close()
        self._close_executors()

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if not self._is_made:
            # Its `__init__` never ran to the end: there is nothing in it that anyone could have used.
            self._close()
        elif not self.is_closed():
            _warn(f"unclosed event loop {self!r}", ResourceWarning, source=self)
            if not self.is_running():
                self.close()

    # ---- asynchronous generators (PEP 525) ----

    def _asyncgen_started(self, agen: AsyncGenerator[Any, Any]) -> None:
        if self._asyncgens_shutdown_called:
            warnings.warn(
                f"asynchronous generator {agen!r} was scheduled after loop.shutdown_asyncgens() call",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
        self._asyncgens.add(agen)

    def _asyncgen_dropped(self, agen: AsyncGenerator[Any, Any]) -> None:
        # Called by the garbage collector, so from any thread.
        self._asyncgens.discard(agen)
        if not self.is_closed():
            self.call_soon_threadsafe(self.create_task, agen.aclose())

    async def shutdown_asyncgens(self) -> None:
        """Closes every asynchronous generator that is being iterated."""
        self._asyncgens_shutdown_called = True
        closing = list(self._asyncgens)
        if not closing:
            return
        self._asyncgens.clear()
        outcomes = await asyncio.gather(*[agen.aclose() for agen in closing], return_exceptions=True)
        for agen, outcome in zip(closing, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self.call_exception_handler(
                    {
                        "message": f"an error occurred during closing of asynchronous generator {agen!r}",
                        "exception": outcome,
                        "asyncgen": agen,
                    }
                )

    # ---- tasks ----

    def set_task_factory(self, factory: Any) -> None:
        """Sets what makes tasks: a callable of (loop, coro, **kwargs), or None for asyncio's Task."""
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        self._set_task_factory(factory)

    def _create_task_by_factory(self, factory: Any, coro: Any, options: dict[str, Any] | None) -> Any:
        options = options or {}
        if sys.version_info >= (3, 13, 3):
            return factory(self, coro, **options)
        # Older versions name the task themselves and pass a context only when there is one.
        name = options.pop("name", None)
        if options.get("context", False) is None:
            del options["context"]
        task = factory(self, coro, **options)
        if name is not None:
            task.set_name(name)
        return task

    # ---- debug mode ----

    def set_debug(self, enabled: bool) -> None:
        """Turns debug mode on or off (asyncio documentation, "Debug Mode")."""
        self._set_debug(bool(enabled))
        if self.is_running():
            self.call_soon_threadsafe(self._track_coroutine_origins, enabled)

    def _track_coroutine_origins(self, enabled: bool) -> None:
        if bool(enabled) == self._tracks_origins:
            return
        if enabled:
            self._origin_depth_before = sys.get_coroutine_origin_tracking_depth()
            sys.set_coroutine_origin_tracking_depth(10)
        else:
            sys.set_coroutine_origin_tracking_depth(self._origin_depth_before)
        self._tracks_origins = enabled

    @contextmanager
    def _woken_by_signals(self) -> Generator[None, None, None]:
        """While the main thread is parked, a signal has to wake it; other threads get no signals."""
        if threading.current_thread() is threading.main_thread():
            with self._signals_arriving():
                yield
        else:
            yield

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """For a `TimerHandle` that was not made by this loop; its own tell it directly."""

"""Work that would block the loop, in threads, processes and interpreters."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import warnings
from asyncio import futures
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

from epicycle.loop._part import Part
from epicycle.loop._threads import Threads

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class Executors(Part):
    """run_in_executor, set_default_executor, shutdown_default_executor."""

    def _start_executors(self) -> None:
        self._default_executor: concurrent.futures.Executor | None = None
        self._executor_shutdown_called = False
        self._resolver: Threads | None = None

    def _close_executors(self) -> None:
        self._executor_shutdown_called = True
        for executor in (self._default_executor, self._resolver):
            if executor is not None:
                executor.shutdown(wait=False)
        self._default_executor = self._resolver = None

    def run_in_executor(
        self,
        executor: concurrent.futures.Executor | None,
        func: Callable[[Unpack[_Ts]], _T],
        *args: *_Ts,
    ) -> asyncio.Future[_T]:
        """Runs `func(*args)` in an executor (None: the default one, of threads) and returns a future of its result.

        Raises RuntimeError once the default executor has been shut down or the loop closed.
        """
        self._check_closed()
        if self.get_debug():
            self._check_callback(func, "run_in_executor")
        if executor is None:
            if self._executor_shutdown_called:
                raise RuntimeError("Executor shutdown has been called")
            if self._default_executor is None:
                self._default_executor = Threads(thread_name_prefix="asyncio")
            executor = self._default_executor
        self._count_job()
        if type(executor) is Threads:
            return executor.run(self, func, args)
        return futures.wrap_future(executor.submit(func, *args), loop=self)

    def set_default_executor(self, executor: concurrent.futures.Executor) -> None:
        """Sets the executor that None stands for.  Raises TypeError unless it is one of threads."""
        if not isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            raise TypeError("executor must be ThreadPoolExecutor instance")
        self._default_executor = executor

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Waits until the default executor's threads have ended, `timeout` seconds at most (None: for ever).

        When time runs out a RuntimeWarning says so and the threads are left to themselves.
        """
        self._executor_shutdown_called = True
        executor = self._default_executor
        if executor is None:
            return
        done = self.create_future()
        thread = threading.Thread(target=self._shut_down, args=(executor, done))
        thread.start()
        try:
            async with asyncio.timeout(timeout):
                await done
        except TimeoutError:
            warnings.warn(
                f"The executor did not finishing joining its threads within {timeout} seconds.",
                RuntimeWarning,
                stacklevel=2,
            )
            executor.shutdown(wait=False)
        else:
            thread.join()

    def _shut_down(self, executor: concurrent.futures.Executor, done: asyncio.Future[None]) -> None:
        failure: Exception | None = None
        try:
            executor.shutdown(wait=True)
        except Exception as error:
            failure = error
        # The loop may be closed by now, and nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self.call_soon_threadsafe(_settle, done, failure)


def _settle(done: asyncio.Future[None], failure: Exception | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)

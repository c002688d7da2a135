"""Threads for jobs whose results go straight to the loop.

A `ThreadPoolExecutor` in everything that others see: `submit`, `map` and `shutdown` are its own, and so is the end of
the process.  Only its queue is native, so that a job of the loop needs no `concurrent.futures.Future`: see
`crates/extension/src/jobs`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from asyncio import exceptions
from collections.abc import Callable
from concurrent.futures import thread as pools
from typing import Any

from epicycle import _epicycle

# All the pools of the process share what the standard library knows of their threads and of the end.
_pools: Any = pools


class Threads(concurrent.futures.ThreadPoolExecutor):
    """A pool of threads with a short way for jobs of a loop."""

    def __init__(self, max_workers: int | None = None, *, thread_name_prefix: str) -> None:
        super().__init__(max_workers, thread_name_prefix)
        self._jobs = _epicycle.JobQueue()
        self._work_queue: Any = self._jobs
        self._threads: set[threading.Thread]

    def run(
        self, loop: _epicycle.Loop, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> asyncio.Future[Any]:
        """Runs `function(*args)` in a thread and returns a future of `loop` for its result.

        Raises RuntimeError after the pool's shutdown, and that of the interpreter.
        """
        with self._shutdown_lock, _pools._global_shutdown_lock:
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if _pools._shutdown:
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            future: asyncio.Future[Any] = loop.create_future()
            jobs = self._jobs
            jobs.put_job(loop, future, function, args)
            if jobs.lacks_threads():
                self._adjust_thread_count()
        return future

    def _adjust_thread_count(self) -> None:
        # Called by `submit` too, with the locks held.
        queue = self._jobs
        number = len(self._threads)
        if number >= self._max_workers or not queue.lacks_threads():
            return

        def forgotten(_reference: object) -> None:
            queue.put(None)

        thread = threading.Thread(
            name=f"{self._thread_name_prefix}_{number}",
            target=_work,
            args=(_epicycle.Worker(queue, _fail), queue, weakref.ref(self, forgotten), _context(self)),
        )
        thread.start()
        self._threads.add(thread)
        _pools._threads_queues[thread] = queue


def _work(
    worker: _epicycle.Worker,
    queue: _epicycle.JobQueue,
    reference: weakref.ref[Any],
    context: tuple[Any, ...],
) -> None:
    """What a thread of the pool does, as the standard library's do."""
    for each in context:
        each.initialize()
    try:
        while True:
            item = worker.work()
            if item is not None:
                item.run(*context)
                del item
                continue
            pool = reference()
            if _pools._shutdown or pool is None or pool._shutdown:
                if pool is not None:
                    pool._shutdown = True
                # For the next thread.
                queue.put(None)
                return
            del pool
    except BaseException:
        _pools._base.LOGGER.critical("Exception in worker", exc_info=True)
    finally:
        for each in context:
            each.finalize()


def _context(pool: Any) -> tuple[Any, ...]:
    """What a work item of `submit` is run with: from Python 3.14 on a context of the thread's."""
    make = getattr(pool, "_create_worker_context", None)
    return () if make is None else (make(),)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    """Hands the exception of a job over, as `asyncio.wrap_future` does."""
    if future.cancelled():
        return
    if type(error) is concurrent.futures.CancelledError:
        error = exceptions.CancelledError(*error.args)
    elif type(error) is concurrent.futures.InvalidStateError:
        error = exceptions.InvalidStateError(*error.args)
    future.set_exception(error)

"""Jobs of thread pools: which function, and where it is just now.

A future of a pool does not know its job.  Those that run are in the frames of the pool's threads, and those that wait
in its queue, which only the garbage collector can look into.  Epicycle's own pools tell both, by asyncio's future.
"""

from __future__ import annotations

import gc
import sys
from concurrent.futures import thread as pools
from types import FunctionType
from typing import Any

from epicycle import _epicycle
from epicycle.loop import _threads
from epicycle.watching.inside import chains
from epicycle.watching.inside.tasks import attribute, fields

_MOST = 1000
_RUN = getattr(pools._WorkItem, "run", None)
_WORK_CODE = _threads._work.__code__
_RUN_CODE = _RUN.__code__ if type(_RUN) is FunctionType else None


class Job:
    """A job: its function's name; whether it is queued; else where it stands, or empty: in C, or not begun."""

    __slots__ = ("function", "queued", "where")

    def __init__(self, function: Any, queued: bool, where: str = "") -> None:
        self.function = "" if function is None else chains.callable_name(function)
        self.queued = queued
        self.where = where


def all_jobs() -> dict[int, Job]:
    """The jobs of every pool of threads in the process.

    By the `id` of their `concurrent.futures.Future`; those of Epicycle's own pools by that of asyncio's.
    """
    found: dict[int, Job] = {}
    for function, future in _queued():
        found[id(future)] = Job(function, True)
    for frame in sys._current_frames().values():
        innermost: Any = frame
        here: Any = frame
        for _ in range(chains.DEEPEST):
            if here is None:
                break
            if here.f_code is _WORK_CODE or here.f_code is _RUN_CODE:
                function, future = _runs(here)
                where = "" if here is innermost else chains.place(innermost)
                if future is not None:
                    found[id(future)] = Job(function, False, where)
                    break
            here = here.f_back
    return found


def _runs(frame: Any) -> tuple[Any, Any]:
    """Function and future of the job that a frame of a pool runs; a future that is None: nothing."""
    if frame.f_code is _RUN_CODE:
        return _known(chains.variables_of_frame(frame).get("self"))
    worker = chains.variables_of_frame(frame).get("worker")
    return (type(worker) is _epicycle.Worker and worker.current()) or (None, None)


def _known(item: Any) -> tuple[Any, Any]:
    """Function and future of a work item of `concurrent.futures`."""
    known = fields(item)
    function = known.get("fn")
    if function is None and type(known.get("task")) is tuple and known["task"]:
        function = known["task"][0]
    return function, known.get("future")


def _queued() -> list[tuple[Any, Any]]:
    queues: Any = getattr(pools, "_threads_queues", None)
    found: list[tuple[Any, Any]] = []
    seen: set[int] = set()
    for queue in list(getattr(queues, "data", {}).values()):
        if id(queue) in seen:
            continue
        seen.add(id(queue))
        if type(queue) is _epicycle.JobQueue:
            found.extend(queue.queued(_MOST - len(found)))
        for held in gc.get_referents(queue):
            for item in held if type(held) is list else (held,):
                if type(item) is pools._WorkItem and len(found) < _MOST:
                    found.append(_known(item))
    return found


def job_future(future: Any) -> Any:
    """The `concurrent.futures.Future` that an asyncio future was made for, or None."""
    return _behind(future, "_chain_future.<locals>._call_check_cancel", "source")


def shielded(future: Any) -> Any:
    """What `asyncio.shield` keeps behind its future, or None."""
    return _behind(future, "shield.<locals>._outer_done_callback", "inner")


def _behind(future: Any, name: str, variable: str) -> Any:
    callbacks = attribute(future, "_callbacks")
    for entry in callbacks if type(callbacks) is list else ():
        callback = entry[0] if type(entry) is tuple and entry else None
        if type(callback) is FunctionType and callback.__code__.co_qualname == name:
            return captured(callback, variable) if chains.is_asyncios(callback.__code__) else None
    return None


def captured(function: FunctionType, name: str) -> Any:
    """What a function has captured under that name; None if nothing."""
    for known, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        if known == name:
            try:
                return cell.cell_contents
            except ValueError:
                return None
    return None

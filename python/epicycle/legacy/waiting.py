"""``loop=`` of asyncio's functions that wait (gone in 3.10), and coroutines given to ``asyncio.wait`` (3.11).

The functions stay plain functions that return the standard one's coroutine, so that a notice names the line of
the call and not that of a later ``await``.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from asyncio import coroutines, tasks
from collections.abc import Callable, Collection, Iterable
from types import ModuleType
from typing import Any, cast

from .coroutines import is_plain_generator
from .notices import say

__all__ = ("drop_loop", "loop_is_gone", "replace", "revive")


def revive() -> None:
    replace(drop_loop(tasks.sleep), asyncio, tasks)
    replace(_wait_for(tasks.wait_for), asyncio, tasks)
    replace(_wait(tasks.wait), asyncio, tasks)
    replace(_gather(tasks.gather), asyncio, tasks)
    replace(_shield(tasks.shield), asyncio, tasks)
    replace(_as_completed(tasks.as_completed), asyncio, tasks)


def replace(function: Callable[..., Any], *modules: ModuleType) -> None:
    """Put ``function`` in the place of its namesake in each of ``modules``."""
    for module in modules:
        setattr(module, function.__name__, function)


def loop_is_gone(name: str) -> None:
    """Say that ``asyncio.name`` takes no loop any more."""
    say(f"the loop argument of asyncio.{name}()", "the same call without it: the running loop is used")


def drop_loop(original: Callable[..., Any]) -> Callable[..., Any]:
    """``original``, a coroutine function, that takes ``loop=`` and ignores it: it can use the running loop alone."""

    def function(*args: Any, **kwargs: Any) -> Any:
        if "loop" in kwargs:
            loop_is_gone(original.__name__)
            del kwargs["loop"]
        return original(*args, **kwargs)

    return _like(original, function)


def _like(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with the looks of ``original``, to ``iscoroutinefunction`` too."""
    functools.update_wrapper(function, original)
    if inspect.iscoroutinefunction(original):
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(function)
        else:
            function._is_coroutine = cast(Any, coroutines)._is_coroutine  # type: ignore[attr-defined]
    return function


def _wait_for(original: Callable[..., Any]) -> Callable[..., Any]:
    async def as_task(awaitable: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await original(asyncio.ensure_future(awaitable), *args, **kwargs)

    def wait_for(fut: Any, *args: Any, **kwargs: Any) -> Any:
        if "loop" in kwargs:
            loop_is_gone("wait_for")
            del kwargs["loop"]
        if is_plain_generator(fut):
            return as_task(fut, args, kwargs)
        return original(fut, *args, **kwargs)

    return _like(original, wait_for)


def _wait(original: Callable[..., Any]) -> Callable[..., Any]:
    async def as_tasks(awaitables: Iterable[Any], kwargs: dict[str, Any]) -> Any:
        # In the order given and each once, as they were in a set.
        futures = [asyncio.ensure_future(awaitable) for awaitable in dict.fromkeys(awaitables)]
        return await original(futures, **kwargs)

    def wait(fs: Any, **kwargs: Any) -> Any:
        if "loop" in kwargs:
            loop_is_gone("wait")
            del kwargs["loop"]
        if is_plain_generator(fs):
            fs = list(fs)
        if not _has_coroutines(fs):
            return original(fs, **kwargs)
        say("giving coroutines to asyncio.wait()", "tasks: asyncio.create_task(...), or asyncio.gather()")
        return as_tasks(fs, kwargs)

    return _like(original, wait)


def _has_coroutines(fs: Any) -> bool:
    """Whether there are coroutines in ``fs``; what ``wait`` refuses by itself (a future, a coroutine) has none."""
    if asyncio.isfuture(fs) or asyncio.iscoroutine(fs) or not isinstance(fs, Collection):
        return False
    return any(asyncio.iscoroutine(one) for one in fs)


def _gather(original: Callable[..., Any]) -> Callable[..., Any]:
    def gather(*coros_or_futures: Any, **kwargs: Any) -> Any:
        if "loop" in kwargs:
            loop_is_gone("gather")
            loop = kwargs.pop("loop")
            if loop is not None:
                if not coros_or_futures:
                    empty = loop.create_future()
                    empty.set_result([])
                    return empty
                # A coroutine given twice is one task with two places in the result.
                futures = {
                    one: asyncio.ensure_future(one, loop=loop) for one in dict.fromkeys(coros_or_futures)
                }
                coros_or_futures = tuple(futures[one] for one in coros_or_futures)
        return original(*coros_or_futures, **kwargs)

    return _like(original, gather)


def _shield(original: Callable[..., Any]) -> Callable[..., Any]:
    def shield(arg: Any, **kwargs: Any) -> Any:
        if "loop" in kwargs:
            loop_is_gone("shield")
            loop = kwargs.pop("loop")
            if loop is not None:
                arg = asyncio.ensure_future(arg, loop=loop)
        return original(arg, **kwargs)

    return _like(original, shield)


def _as_completed(original: Callable[..., Any]) -> Callable[..., Any]:
    def as_completed(fs: Any, **kwargs: Any) -> Any:
        if is_plain_generator(fs):
            fs = list(fs)
        if "loop" in kwargs:
            loop_is_gone("as_completed")
            loop = kwargs.pop("loop")
            if loop is not None and not asyncio.isfuture(fs) and not asyncio.iscoroutine(fs):
                fs = [asyncio.ensure_future(one, loop=loop) for one in dict.fromkeys(fs)]
        return original(fs, **kwargs)

    return _like(original, as_completed)

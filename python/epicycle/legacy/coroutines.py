"""``@asyncio.coroutine`` and generators as coroutines.

The decorator (gone in 3.11) marks the generator function the way ``types.coroutine`` does, so that ``yield from``
in it takes futures, other generators and native coroutines, and ``await`` takes what it returns. Python 3.12 made
``asyncio.iscoroutine`` say no to generators; it says yes again, and with it ``Task``, ``create_task``,
``ensure_future``, ``gather``, ``run_until_complete`` and ``asyncio.run`` take them, C implementation included.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from asyncio import coroutines
from collections.abc import Awaitable, Callable, Generator
from typing import Any, cast

from .attributes import revive_attribute
from .notices import say

__all__ = ("coroutine", "is_plain_generator", "revive")

_FLAG = inspect.CO_ITERABLE_COROUTINE


def revive() -> None:
    for module in (asyncio, coroutines):
        if not hasattr(module, "coroutine"):
            module.coroutine = coroutine  # type: ignore[attr-defined]
    for name in ("asyncio", "asyncio.tasks"):
        revive_attribute(
            name, "async", lambda: asyncio.ensure_future, "asyncio.ensure_future() or create_task()"
        )
    _accept_generators()
    if not hasattr(asyncio, "iscoroutinefunction"):
        for module in (asyncio, coroutines):
            module.iscoroutinefunction = _iscoroutinefunction  # type: ignore[attr-defined]


def coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    """What ``@asyncio.coroutine`` was: turn a generator function into one that makes coroutines.

    A native coroutine function is returned as it is. A plain function becomes a generator-based coroutine
    function whose result, if it can be waited for, is waited for.
    """
    say("@asyncio.coroutine", "'async def' with 'await' in the place of 'yield from'")
    if inspect.iscoroutinefunction(function):
        return function
    if inspect.isgeneratorfunction(function):
        made = types.coroutine(function)
    else:
        made = types.coroutine(_waiting_for_result_of(function))
    made._is_coroutine = _marker()  # type: ignore[attr-defined]
    return made


def _waiting_for_result_of(function: Callable[..., Any]) -> Callable[..., Generator[Any, Any, Any]]:
    @functools.wraps(function)
    def waiting(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        result = function(*args, **kwargs)
        if isinstance(result, types.GeneratorType):
            return (yield from result)
        if isinstance(result, Awaitable):
            return (yield from result.__await__())
        return result

    return waiting


def is_plain_generator(value: object) -> bool:
    """Whether ``value`` is a generator that nobody has marked as a coroutine."""
    return isinstance(value, types.GeneratorType) and not value.gi_code.co_flags & _FLAG


def _marker() -> object:
    # asyncio's own, which its iscoroutinefunction looks for; 3.16 drops both.
    return getattr(coroutines, "_is_coroutine", _own_marker)


_own_marker = object()


def _iscoroutinefunction(function: object) -> bool:
    """What ``asyncio.iscoroutinefunction`` was, on Pythons that no longer have it."""
    return inspect.iscoroutinefunction(function) or getattr(function, "_is_coroutine", None) is _marker()


class _GeneratorsToo(type):
    def __instancecheck__(cls, value: object) -> bool:
        if not isinstance(value, types.GeneratorType):
            return False
        if is_plain_generator(value):
            say(
                "a generator in the place of a coroutine",
                "'async def' with 'await' in the place of 'yield from'",
            )
        return True


class _Generator(metaclass=_GeneratorsToo):
    """Stands for generators among asyncio's coroutine types, and notices the first plain one."""


def _accept_generators() -> None:
    module = cast(Any, coroutines)
    # The C implementation asks asyncio.coroutines.iscoroutine, which reads this; replacing the function instead
    # would not reach it.
    kinds = tuple(kind for kind in module._COROUTINE_TYPES if kind is not types.GeneratorType)
    module._COROUTINE_TYPES = (*kinds, _Generator)

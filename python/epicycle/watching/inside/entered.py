"""What a coroutine is inside of: the locks, semaphores and time-outs of its `async with` blocks.

asyncio's locks do not know their holder.  But the interpreter keeps the `__aexit__` of every `async with` on the
coroutine's own stack, and shows it to the garbage collector.  So for a lock that is held by `async with` the holder can
be told for certain; for one taken by `acquire()` it cannot.
"""

from __future__ import annotations

import asyncio
import gc
import math
from asyncio import locks, timeouts
from collections.abc import Iterable
from opcode import opmap
from types import CodeType, FunctionType, MethodType
from typing import Any

from epicycle.watching.inside import chains
from epicycle.watching.inside.tasks import fields

_Mixin: Any = locks._ContextManagerMixin
_KINDS = (_Mixin, timeouts.Timeout)
_EXITS = frozenset(id(kind.__dict__.get("__aexit__")) for kind in _KINDS)
# How `async with` begins; the second from Python 3.14 on, and of other statements too.
_ENTERING = frozenset(opmap[name] for name in ("BEFORE_ASYNC_WITH", "LOAD_SPECIAL") if name in opmap)
_ENTER = _Mixin.__dict__["__aenter__"].__code__
_WAIT = asyncio.Condition.__dict__["wait"].__code__


def contexts(link: Any) -> list[Any]:
    """The locks, semaphores, conditions and time-outs that a suspended coroutine has entered, or is about to."""
    found: list[Any] = []
    before: Any = None
    for held in gc.get_referents(link):
        kind = type(held)
        if kind is MethodType:
            if id(held.__func__) in _EXITS:
                found.append(held.__self__)
        # From Python 3.14 on the function and its object are on the stack, side by side.
        elif id(before) in _EXITS and issubclass(kind, _KINDS):
            found.append(held)
        before = held if kind is FunctionType else None
    return found


def enters(code: CodeType) -> bool:
    """Whether there is an `async with` in the code; perhaps also if there is none."""
    return not _ENTERING.isdisjoint(code.co_code[::2])


def lock_of(thing: Any) -> Any:
    """The lock itself: that of a condition, or the lock."""
    return fields(thing).get("_lock") if issubclass(type(thing), asyncio.Condition) else thing


def held(links: chains.Links) -> list[Any]:
    """The locks and semaphores that the chain of a suspended task holds by `async with`; one of each entrance."""
    found: list[Any] = []
    for link in links:
        for thing in contexts(link):
            if not issubclass(type(thing), timeouts.Timeout):
                found.append(lock_of(thing))
        code = chains.code_of(link)
        if code is _ENTER or code is _WAIT:
            # Not yet, or not just now.
            own = lock_of(chains.variables(link).get("self"))
            for index, thing in enumerate(found):
                if thing is own:
                    del found[index]
                    break
    return found


def deadline(links: Iterable[Any]) -> float | None:
    """When the earliest time-out ends that these coroutines are inside of, on the loop's clock."""
    ends: list[float] = []
    for link in links:
        for thing in contexts(link):
            if issubclass(type(thing), timeouts.Timeout):
                when: Any = fields(thing).get("_when")
                if type(when) in (int, float) and math.isfinite(when):
                    ends.append(float(when))
    return min(ends, default=None)

"""Chains of coroutines: who awaits whom, and where each of them stands.

A suspended coroutine knows what it awaits (`cr_await` and its kin).  The objects between an asynchronous generator or
an `__await__` method and its awaiter do not say what they stand for, but the garbage collector knows what they hold.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import sys
import threading
import types
from collections.abc import Mapping
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any

import epicycle
from epicycle._epicycle import StreamCoroutine

# Links of a chain, and frames of a thread, that are followed.
DEEPEST = 1000
# Lines of a stack that are told: so many of its outer end, and of its inner one.
_OUTER, _INNERMOST = 24, 40

Links = list[Any]


def _unnamed_wrappers() -> frozenset[type]:
    """The types of what stands between a coroutine and the generator, or coroutine, that it awaits."""

    async def generator() -> Any:
        yield

    async def coroutine() -> None:
        pass

    # A loop that runs here would end these generators in tasks of its own.
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        values: list[Any] = [
            generator().asend(None),
            generator().athrow(GeneratorExit),
            anext(generator(), None),
        ]
    finally:
        sys.set_asyncgen_hooks(*hooks)
    unstarted = coroutine()
    found = {type(value) for value in values} | {type(unstarted.__await__())}
    for value in values:
        value.close()
    unstarted.close()
    return frozenset(found)


_WRAPPERS = _unnamed_wrappers()
_INNER = (CoroutineType, GeneratorType, AsyncGeneratorType)


def links(coroutine: Any) -> tuple[Links, Any]:
    """The coroutines and generators from the outermost to the innermost, and what that one awaits, if it says so."""
    found: Links = []
    here = coroutine
    while here is not None and len(found) < DEEPEST:
        kind = type(here)
        if kind is CoroutineType:
            found.append(here)
            here = here.cr_await
        elif kind is GeneratorType:
            found.append(here)
            here = here.gi_yieldfrom
        elif kind is AsyncGeneratorType:
            found.append(here)
            here = here.ag_await
        elif kind is StreamCoroutine:
            # Where asyncio's own coroutine does it, that one says more.
            if type(here.inner) is not CoroutineType and _stream_code(here.__qualname__) is not None:
                found.append(here)
            here = here.inner
        else:
            inner = _inside(kind, here)
            if inner is None:
                break
            here = inner
    return found, here


def _inside(kind: type, wrapper: Any) -> Any:
    if kind in _WRAPPERS:
        for held in gc.get_referents(wrapper):
            if type(held) in _INNER or type(held) in _WRAPPERS:
                return held
        return None
    # Coroutines of compilers (Cython's) have the attribute too, and not as Python code.
    descriptor: Any = kind.__dict__.get("cr_await")
    if type(descriptor) in (types.GetSetDescriptorType, types.MemberDescriptorType):
        return descriptor.__get__(wrapper, kind)
    return None


def code_of(link: Any) -> CodeType:
    """The code of a link of a chain."""
    kind = type(link)
    code: CodeType
    stream_code = _stream_code(link.__qualname__) if kind is StreamCoroutine else None
    if kind is CoroutineType:
        code = link.cr_code
    elif kind is GeneratorType:
        code = link.gi_code
    elif stream_code is not None:
        code = stream_code
    else:
        code = link.ag_code
    return code


@functools.cache
def _stream_code(name: str) -> CodeType | None:
    """The code of the asyncio method that a native one stands in for; None where a program has put none of Python's."""
    kind, _, method = name.partition(".")
    function = asyncio.StreamReader if kind == "StreamReader" else asyncio.StreamWriter
    code = getattr(vars(function).get(method), "__code__", None)
    return code if type(code) is CodeType else None


def is_running(link: Any) -> bool:
    """Whether a link of a chain runs at this moment."""
    kind = type(link)
    if kind is CoroutineType:
        return bool(link.cr_running)
    return kind is GeneratorType and bool(link.gi_running)


def lasts(found: Links) -> tuple[int, ...]:
    """Where each link of a suspended chain stands, as a number that means something to its code alone."""
    frames = [frame_of(link) for link in found]
    return tuple([-1 if frame is None else frame.f_lasti for frame in frames])


def frame_of(link: Any) -> FrameType | None:
    """The frame of a link; None once it is finished."""
    kind = type(link)
    frame: FrameType | None
    if kind is CoroutineType:
        frame = link.cr_frame
    elif kind is GeneratorType:
        frame = link.gi_frame
    elif kind is StreamCoroutine:
        frame = None
    else:
        frame = link.ag_frame
    return frame


def variables(link: Any) -> Mapping[str, Any]:
    """The local variables of a suspended coroutine of asyncio's or ours; empty while it runs, or once finished."""
    if type(link) is StreamCoroutine:
        return {"self": link.owner}
    if type(link) is not CoroutineType or link.cr_frame is None:
        return {}
    return _variables(link, link.cr_frame)


if sys.version_info >= (3, 13):

    def _variables(link: Any, frame: FrameType) -> Mapping[str, Any]:
        # It looks into the frame, and keeps nothing of it.
        return frame.f_locals

    def variables_of_frame(frame: FrameType) -> Mapping[str, Any]:
        """The local variables of a frame in another thread; empty where they cannot be had without a trace."""
        return frame.f_locals

else:
    # `f_locals` is a dictionary that stays with the frame.  What is in it would live as long as the frame, which an
    # exception may keep; so it is emptied again.  After a tracer was called for a frame, the dictionary is written back
    # into the frame.  So nothing may come between the question whether it runs and the end of the emptying, and nothing
    # does: the interpreter changes threads only after a call, and there is but one, the last.

    def _variables(link: Any, frame: FrameType) -> Mapping[str, Any]:
        if link.cr_running or frame.f_trace is not None:
            return {}
        known = frame.f_locals
        copied = {**known}
        known.clear()
        return copied

    def variables_of_frame(frame: FrameType) -> Mapping[str, Any]:
        """The local variables of a frame in another thread; empty where they cannot be had without a trace."""
        if (
            threading.gettrace() is not None
            or threading.getprofile() is not None
            or frame.f_trace is not None
        ):
            return {}
        known = frame.f_locals
        copied = {**known}
        known.clear()
        return copied


def module_of(frame: FrameType | None) -> str:
    """The name of the module that a frame's code belongs to."""
    name: Any = None if frame is None else dict.get(frame.f_globals, "__name__")
    return plain(name) if is_text(name) else ""


def full_name(frame: FrameType | None, code: CodeType) -> str:
    """`module.qualname`."""
    module = module_of(frame)
    if not module and code.co_filename.startswith(_ASYNCIO):
        module = "asyncio." + os.path.basename(code.co_filename).removesuffix(".py")
    return f"{module}.{code.co_qualname}" if module else code.co_qualname


_CUT = 200


def is_text(thing: Any) -> bool:
    """Whether it is a string, by its true class: `isinstance` would ask the object."""
    return issubclass(type(thing), str)


def plain(text: str) -> str:
    """The text as a mere `str` of a sensible length: somebody else's subclass may do anything."""
    if type(text) is not str:
        text = str.__str__(text)
    return text if len(text) <= _CUT else text[: _CUT - 1] + "\N{HORIZONTAL ELLIPSIS}"


_STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_PACKAGES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
_OURS = os.path.dirname(os.path.abspath(epicycle.__file__)) + os.sep
_ASYNCIO = os.path.dirname(os.path.abspath(asyncio.__file__)) + os.sep


def is_users(code: CodeType) -> bool:
    """Whether the code belongs neither to the standard library nor to Epicycle."""
    file = code.co_filename
    if file.startswith(("<frozen ", _OURS)):
        return False
    return not file.startswith(_STANDARD) or any(part in file for part in _PACKAGES)


def is_asyncios(code: CodeType) -> bool:
    """Whether the code is asyncio's or Epicycle's: how one waits, not why."""
    return code.co_filename.startswith((_ASYNCIO, _OURS))


def place(frame: FrameType) -> str:
    """`file:line function`."""
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno or code.co_firstlineno} {code.co_qualname}"


def stack(frames: list[FrameType]) -> list[str]:
    """The places of frames, with the middle of a long stack left out."""
    left_out = len(frames) - _OUTER - _INNERMOST
    if left_out <= 0:
        return [place(frame) for frame in frames]
    outer = [place(frame) for frame in frames[:_OUTER]]
    return [*outer, f"({left_out} more)", *(place(frame) for frame in frames[-_INNERMOST:])]


def frames_of(found: Links) -> list[FrameType]:
    """The frames of a chain that still have one, outermost first."""
    frames = [frame_of(link) for link in found]
    return [frame for frame in frames if frame is not None]


def running_frames(first: FrameType | None, thread: int) -> list[FrameType]:
    """The frames of a thread from `first` inwards, if it runs there now; else none."""
    frame = sys._current_frames().get(thread)
    frames: list[FrameType] = []
    while frame is not None and len(frames) < DEEPEST:
        frames.append(frame)
        if frame is first:
            frames.reverse()
            return frames
        frame = frame.f_back
    return []


def type_name(kind: type) -> str:
    """`module.qualname` of a class, whatever its metaclass says."""
    qualname = type.__dict__["__qualname__"].__get__(kind)
    module = type.__dict__["__module__"].__get__(kind)
    if is_text(module) and module != "builtins":
        return plain(f"{plain(module)}.{plain(qualname)}")
    return plain(qualname)


def callable_name(function: Any) -> str:
    """A name for what is called: `module.qualname` of a function, a method or what a partial calls; else its type."""
    for _ in range(4):
        kind = type(function)
        if kind is functools.partial:
            function = function.func
        elif kind is types.MethodType:
            function = function.__func__
        else:
            break
    kind = type(function)
    if kind is types.FunctionType:
        module: Any = dict.get(function.__globals__, "__name__")
        qualname = plain(function.__code__.co_qualname)
        return f"{plain(module)}.{qualname}" if is_text(module) else qualname
    if kind is types.BuiltinFunctionType:
        module, name = function.__module__, plain(function.__qualname__)
        return f"{plain(module)}.{name}" if is_text(module) else name
    if issubclass(kind, type):
        return type_name(function)
    return type_name(kind)

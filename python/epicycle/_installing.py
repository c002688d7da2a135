"""Have asyncio make Epicycle loops in this process, and put back what was there.

Up to Python 3.15 asyncio asks its event loop policy for new loops, so ours is put there. It is set by the same
road that asyncio takes itself, without the deprecation warnings of 3.14 and 3.15: those are addressed to programs
that define policies, and a user of ``install()`` has none to define. Python 3.16 has no policies, and its
``asyncio.run``, ``asyncio.Runner`` and ``asyncio.new_event_loop`` all call ``asyncio.events.new_event_loop``:
there that one function is replaced.

The functions that make streams are replaced by asyncio's own code with other classes: see ``_streams``. With
``nested``, ``asyncio.run`` is replaced too: asyncio's own refuses to be called where a loop is running.

A loop class that a program names itself (``asyncio.SelectorEventLoop()``) stays what it is.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import threading
from asyncio import events, runners, streams
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ("install", "installed", "uninstall")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_lock = threading.Lock()
_active: _Installation | None = None


class _ByPolicy:
    """Our policy stands in asyncio's place for one; None there means that asyncio has not yet made its own."""

    def __init__(self, policy: asyncio.AbstractEventLoopPolicy) -> None:
        self.policy = policy
        self.before = _current_policy()

    def enter(self) -> None:
        _set_policy(self.policy)

    def leave(self) -> None:
        _set_policy(self.before)

    def stands(self) -> bool:
        return _current_policy() is self.policy


class _Replaced:
    """A function of asyncio is replaced, in each module that offers it."""

    def __init__(self, name: str, function: Callable[..., Any], *modules: ModuleType) -> None:
        self.name, self.function = name, function
        self.before = [(module, getattr(module, name)) for module in modules]

    def enter(self) -> None:
        for module, _ in self.before:
            setattr(module, self.name, self.function)

    def leave(self) -> None:
        for module, function in self.before:
            # Unless somebody has put another one there since.
            if getattr(module, self.name) is self.function:
                setattr(module, self.name, function)

    def stands(self) -> bool:
        return getattr(self.before[0][0], self.name) is self.function


def _by_function(factory: LoopFactory) -> _Replaced:
    def new_event_loop() -> asyncio.AbstractEventLoop:
        """Create a new event loop and return it."""
        return factory()

    return _Replaced("new_event_loop", new_event_loop, events, asyncio)


def _nested_run() -> _Replaced:
    """A ``run`` that a running loop does not stop."""
    original = runners.run

    @functools.wraps(original)
    def run(main: Any, **options: Any) -> Any:
        if asyncio._get_running_loop() is None:
            return original(main, **options)
        from ._running import run

        return run(main, nested=True, **options)

    return _Replaced("run", run, runners, asyncio)


def _native_streams() -> list[_Replaced]:
    from ._streams import makers

    return [_Replaced(name, function, streams, asyncio) for name, function in makers().items()]


class _Installation:
    """All that is in asyncio's place, and what the loops are like."""

    def __init__(
        self, policy_type: Callable[..., asyncio.AbstractEventLoopPolicy] | None, debug: bool
    ) -> None:
        self.debug = debug
        self.run: _Replaced | None = None
        self.streams = _native_streams()
        self.loops: _ByPolicy | _Replaced
        if has_policies():
            from ._policy import EventLoopPolicy

            self.loops = _ByPolicy((policy_type or EventLoopPolicy)(self.new_event_loop))
        else:
            self.loops = _by_function(self.new_event_loop)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        from ._running import new_event_loop

        loop = new_event_loop(nested=self.run is not None)
        if self.debug:
            loop.set_debug(True)
        return loop

    def enter(self) -> None:
        self.loops.enter()
        for function in self.streams:
            function.enter()

    def nest(self) -> None:
        """From now on the loops may be nested."""
        if self.run is None:
            self.run = _nested_run()
            self.run.enter()

    def leave(self) -> None:
        if self.loops.stands():
            self.loops.leave()
        for function in (*self.streams, self.run):
            if function is not None:
                function.leave()

    def stands(self) -> bool:
        return self.loops.stands()


def install(*, nested: bool = False) -> None:
    """Have ``asyncio.run``, ``asyncio.Runner`` and ``asyncio.new_event_loop`` make Epicycle loops from now on.

    It holds for every thread of the process and for processes forked from it; a child process started afresh
    (multiprocessing's spawn and forkserver) installs again when it imports the module that calls this. Loops
    that exist already are left alone. Calling it again while it stands changes nothing.

    ``asyncio.open_connection``, ``asyncio.start_server`` and their Unix siblings make streams of Epicycle's then:
    subclasses of asyncio's ``StreamReader`` and ``StreamWriter`` whose reads and ``drain`` are native.

    With ``nested`` the loops are `NestedEventLoop`s, and ``asyncio.run`` may be called where a loop is running: on a
    `NestedEventLoop` it runs its coroutine there, while any other loop waits until it is done on one of its own.
    Calling it again with ``nested`` adds that to what is installed.
    """
    activate(nested=nested)


def uninstall() -> None:
    """Undo ``install()``: what asyncio used before is used again, the current loops of its policy included.

    Where nothing is installed, or somebody has set another policy since, nothing changes.
    """
    global _active
    with _lock:
        if _active is not None:
            _active.leave()
        _active = None


def installed() -> bool:
    """Whether asyncio makes Epicycle loops in this process because of ``install()`` or ``epicycle run``."""
    return _active is not None and _active.stands()


def activate(
    *,
    policy_type: Callable[..., asyncio.AbstractEventLoopPolicy] | None = None,
    debug: bool = False,
    nested: bool = False,
) -> None:
    """``install()`` with another policy class, or loops in debug mode.

    Raises ImportError where the compiled module is missing: better now than at the first loop.
    """
    importlib.import_module("epicycle.loop")

    global _active
    with _lock:
        if _active is None or not _active.stands():
            if _active is not None:
                _active.leave()
            _active = _Installation(policy_type, debug)
            _active.enter()
        if nested:
            _active.nest()


def has_policies() -> bool:
    """Whether this Python's asyncio has event loop policies (3.15 is the last that does)."""
    return hasattr(events, "_event_loop_policy")


def _current_policy() -> Any:
    # Not through get_event_loop_policy(), which makes the default policy where there is none yet: after
    # uninstall() it would not be exactly as before.
    return events._event_loop_policy  # type: ignore[attr-defined]


def _set_policy(policy: Any) -> None:
    setter = getattr(events, "_set_event_loop_policy", None) or events.set_event_loop_policy
    setter(policy)

"""Puts the loop under test where the interpreter's own tests make the standard one.

Used in the process that runs the tests, in two steps: `install` before a test module is imported, `adjust` after.
Everything is replaced on `asyncio` from the outside; a test's own body is never changed.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
import types
from asyncio import base_events, events, log, unix_events
from collections.abc import Iterable
from typing import Any

# Modules whose fake clock drives the standard loop's private parts: there it stays the standard loop.
STANDARD_CLOCK = frozenset(
    {
        "test_proactor_events",
        "test_selector_events",
        "test_subprocess",
        "test_transports",
        "test_unix_events",
        "test_windows_events",
    }
)
# A loop whose timers ignore an overridden `time()` cannot run under the tests' fake clock.
IGNORES_PATCHED_TIME = frozenset({"uvloop"})
# Modules of the loop that do what the standard loop's module does with the names that tests mock in it.
COUNTERPARTS = {
    "asyncio.base_events": ("epicycle.loop._connecting", "epicycle.loop._serving"),
    "asyncio.unix_events": ("epicycle.loop._signals",),
}


def resolve(name: str) -> type[asyncio.AbstractEventLoop] | None:
    """The loop class that a name stands for: epicycle, asyncio (None: nothing to replace), uvloop or MODULE:CLASS."""
    if name == "asyncio":
        return None
    known = {"epicycle": "epicycle.loop:EventLoop", "uvloop": "uvloop:Loop"}
    module, _, attribute = known.get(name, name).partition(":")
    loop_class: type[asyncio.AbstractEventLoop] = getattr(importlib.import_module(module), attribute)
    return loop_class


class Stand:
    """Stands where asyncio has a loop class, and gives the loop under test.

    It is called, subclassed, patched and asked for instances like the class it replaces. A selector that is passed in
    is not used: the loop has its own way to the kernel.
    """

    def __init__(self, loop_class: type[asyncio.AbstractEventLoop], replaced: type) -> None:
        own = {
            "loop_class": loop_class,
            "replaced": replaced,
            "made": [],
            "turns": not hasattr(loop_class, "_run_once"),
        }
        self.__dict__.update(own)

    def __call__(self, selector: object = None) -> Any:
        loop: Any = self.loop_class()
        if self.turns:
            # Tests of public behaviour turn the standard loop once by its private method, and may want to see nothing
            # left to do before they go on to what they are about.
            loop._run_once = types.MethodType(run_once, loop)
            loop._ready = ()
        self.made.append(None)
        return loop

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        if not self.turns:
            return (self.loop_class,)
        return (type(self.loop_class.__name__, (self.loop_class,), {"_run_once": run_once}),)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, (self.loop_class, self.replaced))

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, (self.loop_class, self.replaced))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["loop_class"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.loop_class, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.loop_class, name)


def run_once(loop: asyncio.AbstractEventLoop) -> None:
    """One turn of a loop, by public means."""
    loop.call_soon(loop.stop)
    loop.run_forever()


class Adapter:
    """What was replaced, and how many loops under test have been made so far."""

    def __init__(self, loop_name: str, module: str) -> None:
        self.loop_name = loop_name
        self.loop_class = resolve(loop_name)
        self.module = module.rpartition(".")[2]
        self.package = module.rpartition(".")[0]
        self._stands: list[Stand] = []
        self._clocks = 0

    @property
    def loops(self) -> int:
        """Number of loops under test made so far."""
        return self._clocks + sum(len(stand.made) for stand in self._stands)

    def install(self) -> None:
        """Replace the standard loop on asyncio; before the test module is imported."""
        if self.loop_class is None:
            return
        try:
            # Imported first: its fake clock is a subclass of the true BaseEventLoop.
            utils = importlib.import_module(f"{self.package}.utils")
        except ModuleNotFoundError:
            utils = None
        standard = unix_events.SelectorEventLoop
        stand = self._stand(standard)
        base = self._stand(base_events.BaseEventLoop)
        for holder in (asyncio, unix_events):
            for name in ("SelectorEventLoop", "EventLoop"):
                if hasattr(holder, name):
                    setattr(holder, name, stand)
        for holder in (asyncio, base_events):
            setattr(holder, "BaseEventLoop", base)  # noqa: B010
        # The class, not an instance: tests reset the policy, and asyncio then makes a new default one.
        policy: Any = unix_events._UnixDefaultEventLoopPolicy
        policy._loop_factory = staticmethod(stand)
        for module in (base_events, unix_events):
            own = COUNTERPARTS[module.__name__] if self.loop_name == "epicycle" else ()
            Seam.open(module, own)
        if utils is not None and hasattr(utils, "TestCase"):
            self._adjust_utils(utils)

    def _stand(self, replaced: type) -> Stand:
        assert self.loop_class is not None
        self._stands.append(Stand(self.loop_class, replaced))
        return self._stands[-1]

    def _adjust_utils(self, utils: Any) -> None:
        utils.TestCase.close_loop = staticmethod(closing(utils.TestCase.close_loop))
        if self.module in STANDARD_CLOCK or self.loop_name in IGNORES_PATCHED_TIME:
            return
        driven = time_driven(self.loop_class)

        def new_clock_loop(gen: Any = None) -> Any:
            self._clocks += 1
            return driven(gen)

        utils.TestLoop = new_clock_loop

    def adjust(self, module: types.ModuleType) -> None:
        """Replace what a test module asks of private parts on its way; after it is imported."""
        if self.loop_class is None:
            return
        if hasattr(module, "GatherTestsBase"):
            module.GatherTestsBase._run_loop = run_what_is_ready
        if hasattr(events, "_ThreadSafeHandle"):
            # Its tests ask for this class before they come to what its handles do.
            events._ThreadSafeHandle = events.Handle


def closing(standard_close: Any) -> Any:
    """TestCase.close_loop for a loop that has no `_default_executor` to look at."""

    def close_loop(loop: asyncio.AbstractEventLoop) -> None:
        if hasattr(loop, "_default_executor"):
            standard_close(loop)
            return
        # Not always: some tests leave a loop behind whose `call_soon` raises.
        if not loop.is_closed() and any(t.name.startswith("asyncio_") for t in threading.enumerate()):
            loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    return close_loop


def run_what_is_ready(case: Any, loop: asyncio.AbstractEventLoop) -> None:
    """`while loop._ready: run_once(loop)` by public means: more turns than any of those tests needs."""
    for _ in range(20):
        run_once(loop)


def time_driven(loop_class: Any) -> Any:
    """The tests' fake clock, on the loop under test: a subclass whose `time()` is set by the test's generator.

    The generator is told the deadline of each new timer and answers by how many seconds the clock moves on.
    """

    class TimeDrivenLoop(loop_class):  # type: ignore[misc]
        _ready = ()
        _clock = 0.0

        def __init__(self, gen: Any = None) -> None:
            super().__init__()
            self._deadlines: list[float] = []
            self._advances = gen() if gen is not None else iter(())
            self._must_finish = gen is not None
            if gen is not None:
                next(self._advances)

        def time(self) -> float:
            return self._clock

        def advance_time(self, seconds: float) -> None:
            if seconds:
                self._clock += seconds

        def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
            if delay is None:
                raise TypeError("delay must not be None")
            return self.call_at(self.time() + delay, callback, *args, context=context)

        def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
            if not self._deadlines:
                self.call_soon(self._move_clock)
            self._deadlines.append(when)
            return super().call_at(when, callback, *args, context=context)

        def _move_clock(self) -> None:
            deadlines, self._deadlines = self._deadlines, []
            for when in deadlines:
                self.advance_time(self._advances.send(when))

        def run_until_complete(self, future: Any) -> Any:
            try:
                return super().run_until_complete(future)
            finally:
                # What the last turn scheduled: the tests' own clock moves at the end of each turn.
                self._move_clock()

        def _run_once(self) -> None:
            run_once(self)
            self._move_clock()

        def close(self) -> None:
            super().close()
            if self._must_finish:
                try:
                    self._advances.send(0)
                except StopIteration:
                    self._must_finish = False
                else:
                    raise AssertionError("Time generator is not finished")

    if hasattr(loop_class, "_run_once"):
        del TimeDrivenLoop._run_once
    return TimeDrivenLoop


class Seam(types.ModuleType):
    """Class of the standard loop's modules while tests run: what a test mocks there reaches the loop under test too.

    The tests mock names such as `asyncio.base_events.socket` to see what the standard loop does with them. The
    counterparts have the same things under their own names: the mock is put there as well, and taken away with it.
    """

    _counterparts: list[types.ModuleType]

    @classmethod
    def open(cls, module: types.ModuleType, counterparts: Iterable[str]) -> None:
        """Begin to pass on what is mocked in a module."""
        module.__class__ = cls
        module.__dict__["_counterparts"] = [importlib.import_module(name) for name in counterparts]

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        super().__setattr__(name, value)
        if name == "logger":
            self._mock_logger(value)
            return
        for module in self._counterparts:
            if vars(module).get(name) is before:
                setattr(module, name, value)

    @staticmethod
    def _mock_logger(value: Any) -> None:
        """The logger is mocked by its methods: native code has it under no name at all."""
        for method in ("debug", "info", "warning", "error", "exception", "critical", "log"):
            if value is log.logger:
                log.logger.__dict__.pop(method, None)
            else:
                log.logger.__dict__[method] = getattr(value, method)

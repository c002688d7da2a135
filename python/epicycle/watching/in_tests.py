"""What goes around each test when `epicycle.pytest_plugin` is asked for it.

In: pytest's hooks.  Out: a test that failed, with the line that blocked the loop or that made the task left behind.

The phases of a test (setup, call, teardown) are guarded one by one and each fails by itself: what a plugin for
asynchronous tests runs in its fixtures counts like the test, whoever made the loop.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from epicycle.pytest_plugin import allowed, is_strict, stall_seconds
from epicycle.watching.leaks import Leaks
from epicycle.watching.stalls import Stalls
from epicycle.watching.watcher import Stall, watch

__all__ = ("Guarding",)

_STACK_LINES = 12

# How long the test may block a loop, for its three phases; 0.0: for as long as it likes.
_ALLOWED = pytest.StashKey[float]()


class Guarding:
    """A plugin of pytest, registered where an option, a marker or a fixture asks for it."""

    def __init__(self, config: pytest.Config) -> None:
        self._seconds = stall_seconds(config)
        self._strict = is_strict(config)
        self._root = config.rootpath
        self._leaks: Leaks | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        complaints = []
        try:
            item.stash[_ALLOWED] = self._allowed(item)
        except (TypeError, ValueError) as error:
            # Told at the end of the setup: what raises before the others have had their turn confuses them.
            item.stash[_ALLOWED] = 0.0
            complaints.append(f"the marker epicycle_stall: {error}")
        if self._has_to_be_clean(item):
            self._leaks = Leaks()
            self._leaks.begin()
        return (yield from self._guarded(item, "setup", complaints))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self._guarded(item, "call", []))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        try:
            return (yield from self._guarded(item, "teardown", []))
        finally:
            self._forget_leaks()

    def pytest_unconfigure(self) -> None:
        # A run that was interrupted has not come to the end of its test.
        self._forget_leaks()

    def _guarded(self, item: pytest.Item, phase: str, complaints: list[str]) -> Generator[None, Any, Any]:
        try:
            with self._watched(item, complaints):
                outcome = yield
        except BaseException:
            complaints += self._left()
            if complaints:
                item.add_report_section(phase, "epicycle", "\n\n".join(complaints))
            raise
        complaints += self._left()
        if complaints:
            pytest.fail("\n\n".join(complaints), pytrace=False)
        return outcome

    @contextlib.contextmanager
    def _watched(self, item: pytest.Item, complaints: list[str]) -> Iterator[None]:
        seconds = item.stash[_ALLOWED]
        if not seconds:
            yield
            return
        stalls = Stalls()
        try:
            with watch(seconds, callback=stalls.note, logger=None):
                yield
        finally:
            complaints += [
                self._describe(stall, seconds)
                for stall in stalls.all()
                # A machine that had no time for the loop is not the test's doing, nor are many short callbacks.
                if stall.kind == "blocked" and stall.cause != "cpu" and stall.lasted >= seconds
            ]

    def _allowed(self, item: pytest.Item) -> float:
        marker = item.get_closest_marker("epicycle_stall")
        if marker is None:
            return self._seconds
        given = _of_marker(*marker.args, **marker.kwargs)
        return self._seconds if given is None else given

    def _has_to_be_clean(self, item: pytest.Item) -> bool:
        marker = item.get_closest_marker("epicycle_strict")
        if marker is not None:
            return bool(marker.kwargs.get("on", marker.args[0] if marker.args else True))
        return self._strict or "epicycle_clean" in getattr(item, "fixturenames", ())

    def _left(self) -> list[str]:
        return (
            []
            if self._leaks is None
            else [self._shortened(_printable(leak)) for leak in self._leaks.collect()]
        )

    def _forget_leaks(self) -> None:
        if self._leaks is not None:
            self._leaks.end()
            self._leaks = None

    def _describe(self, stall: Stall, seconds: float) -> str:
        frames = list(stall.stack)
        culprit = next((frame for frame in frames if (frame[0], frame[2]) == (stall.file, stall.line)), None)
        where = f"{stall.file}:{stall.line}" if stall.file else "an unknown line"
        if culprit is not None:
            where += f" in {culprit[1]}"
        cause = f"{stall.cause}: {stall.detail}" if stall.detail else stall.cause
        lines = [f"{where}: the event loop was blocked for {stall.lasted:.3g} s, {seconds:.3g} s are allowed"]
        lines.append(f"  cause: {cause}")
        if stall.task:
            lines.append(f"  task: {stall.task}" + (f" ({stall.coroutine})" if stall.coroutine else ""))
        elif stall.what:
            lines.append(f"  callback: {stall.what}")
        if frames:
            lines.append("  stack, innermost first:")
            lines += [f"    {file}:{line} in {function}" for file, function, line in frames[:_STACK_LINES]]
        return self._shortened("\n".join(_printable(line) for line in lines))

    def _shortened(self, text: str) -> str:
        """With the paths below the project's root as pytest shows them."""
        return text.replace(f"{self._root}{os.sep}", "")


def _of_marker(seconds: Any = None, *, allow: bool = False) -> float | None:
    if allow:
        return 0.0
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"a number of seconds is expected, got {seconds!r}")
    return allowed(seconds)


def _printable(text: str) -> str:
    """With what a terminal would obey written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

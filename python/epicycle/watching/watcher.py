"""The watcher: notices from outside the loop's thread that a loop is stuck, and says what it is stuck in.

Two threads. The detector is native and never needs the interpreter (``_epicycle.Detector``); it writes what it finds
into the loop's page at once. The reporter, here, is woken by it, adds what only Python can tell (the task, its
coroutines), logs, and calls the user back. When native code holds the interpreter the page has the news at once, and
the log as soon as the interpreter can be had.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import logging
import os
import sys
import sysconfig
import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import FrameType, TracebackType
from typing import Any, Self

from epicycle import _epicycle
from epicycle.loop import EventLoop, _forking

from . import words

__all__ = ("Stall", "Watcher", "watch")

_logger = logging.getLogger("epicycle.stall")

# How long the reporter sleeps at most before it looks whether it is to end, in seconds.
_LOOK_UP = 1.0
# No more than this many messages in so many seconds.
_MOST, _WITHIN = 12, 10.0
# News that waited longer than this for the interpreter did so because native code held it.
_HELD = 0.05
_FRAMES = 24
# Stalls whose end has not been told yet; there is one for each loop, unless news were lost.
_MOST_KNOWN = 64
# Below this frame are the loop and whoever runs it.
_RUN = EventLoop.run_forever.__code__


@dataclass(frozen=True, kw_only=True)
class Stall:
    """A loop that did not get on.

    ``phase`` is ``began``, ``grew`` (it still lasts) or ``ended``; ``kind`` is ``blocked`` (one callback) or
    ``saturated`` (many short ones in one turn); ``cause`` is ``python``, ``system call``, ``gil``, ``gc``, ``cpu`` or
    ``unknown``, and ``detail`` says more of it. ``lasted`` is in seconds so far, ``began`` in seconds of wall-clock
    time. ``file`` and ``line`` are of the innermost frame of the user's own code; ``stack`` has (file, function, line),
    innermost first; ``awaits`` the coroutines that wait for it and for one another, outermost first, also those of
    other tasks.
    """

    number: int
    loop: int
    phase: str
    kind: str
    cause: str
    detail: str
    lasted: float
    began: float
    what: str
    task: str
    coroutine: str
    file: str
    line: int
    stack: list[tuple[str, str, int]] = field(default_factory=list)
    awaits: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return words.told(self)


class Watcher:
    """What :func:`watch` returns: watches until it is closed, or its ``with`` block ends. Thread-safe."""

    def __init__(
        self,
        threshold: float = 0.1,
        *,
        callback: Callable[[Stall], object] | None = None,
        logger: logging.Logger | None = _logger,
        loop: EventLoop | None = None,
    ) -> None:
        self.threshold = threshold
        self._callback = callback
        self._logger = logger
        self._loop = loop
        self._told: deque[float] = deque()
        self._untold = 0
        self._known: dict[tuple[int, int], Stall] = {}
        self._closed = False
        # Its thread reads the list of pages, which a child must not find locked.
        _forking.watch_forks()
        self._begin()
        _watchers.add(self)
        _start_collecting()

    def _begin(self) -> None:
        chosen = None if self._loop is None else [self._loop]
        self._detector = _epicycle.Detector(
            self.threshold, chosen, _libraries(), (_RUN.co_filename, _RUN.co_qualname)
        )
        self._thread = threading.Thread(target=self._report, name="epicycle-reporter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends watching; what was noticed before is still reported. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._detector.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        _watchers.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- the reporter's thread ----

    def _report(self) -> None:
        detector = self._detector
        while True:
            news = detector.wait(_LOOK_UP)
            if news is not None:
                try:
                    self._tell(self._explained(news))
                except Exception:
                    # A logging handler or the user's callback; the watcher goes on.
                    _logger.exception("the watcher could not report a stall")
            elif self._closed or self._detector is not detector:
                return

    def _explained(self, news: dict[str, Any]) -> Stall:
        running, waited = news.pop("running"), news.pop("waited")
        news.pop("over")
        news.pop("began_ns")
        if news["phase"] != "ended":
            lines: list[list[str]] = []
            # Then what the detector has seen is what it was, and the loop may have got on within that callback since.
            held = waited > _HELD
            if held and news["cause"] == "python":
                news["detail"] = "native code that does not let go of the interpreter"
                lines.append(["detail", news["detail"]])
            if news["cause"] == "gil":
                news["detail"] = words.holder(news["detail"])
                lines.append(["detail", news["detail"]])
            loop = next((loop for loop in _forking.loops() if loop._serial() == news["loop"]), None)
            if loop is not None and running != 0 and loop._running() == running:
                self._look_at(loop, news, lines, held)
            if lines:
                self._detector.explain(news["loop"], news["number"], lines)
        return self._remembered(Stall(**news))

    def _remembered(self, stall: Stall) -> Stall:
        """With what was known of it before: the interpreter may not have been there to ask this time."""
        key = (stall.loop, stall.number)
        known = self._known.pop(key, None)
        if known is not None:
            if stall.phase == "ended":
                return replace(known, phase="ended", lasted=stall.lasted)
            if not stall.what:
                stall = replace(
                    stall, what=known.what, task=known.task, coroutine=known.coroutine, awaits=known.awaits
                )
            if not stall.detail and stall.cause == known.cause:
                stall = replace(stall, detail=known.detail)
        if stall.phase != "ended":
            while len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[key] = stall
        return stall

    def _look_at(self, loop: EventLoop, news: dict[str, Any], lines: list[list[str]], held: bool) -> None:
        """What runs is what ran when the detector looked: adds what Python knows of it."""
        kind, subject = loop._what_runs()
        news["what"], news["task"], news["coroutine"] = words.named(kind, subject)
        for name in ("what", "task", "coroutine"):
            lines.append([name, news[name]])
        frame = sys._current_frames().get(loop._page().facts()["ident"])
        stack = _stack(frame)
        if kind == "task" and subject is not None:
            news["awaits"] = words.awaits(loop, subject, frame)
            lines.extend(["await", text] for text in news["awaits"])
        del frame, subject
        if stack and not (held and news["stack"]):
            news["stack"] = stack
            news["file"], _, news["line"] = _users(stack)
            lines.append(["at", str(news["line"]), news["file"]])
            lines.extend(["frame", str(line), file, function] for file, function, line in stack)

    def _tell(self, stall: Stall) -> None:
        if self._logger is not None and self._may_tell(stall):
            self._logger.warning("%s", stall, extra={"stall": stall})
        if self._callback is not None:
            self._callback(stall)

    def _may_tell(self, stall: Stall) -> bool:
        """Whether this is not one message too many; says how many there were."""
        now = stall.began + stall.lasted
        while self._told and self._told[0] < now - _WITHIN:
            self._told.popleft()
        if len(self._told) >= _MOST:
            self._untold += 1
            return False
        if self._untold and self._logger is not None:
            self._logger.warning("%d more messages about stalls were left out", self._untold)
            self._untold = 0
        self._told.append(now)
        return True

    # ---- fork ----

    def _after_fork(self) -> None:
        """In the child: the threads are not there."""
        self._detector.forget()
        if self._loop is not None:
            self._closed = True
        elif not self._closed:
            self._begin()


def watch(
    threshold: float = 0.1,
    *,
    callback: Callable[[Stall], object] | None = None,
    logger: logging.Logger | None = _logger,
    loop: EventLoop | None = None,
) -> Watcher:
    """Watch this process's Epicycle loops, also those made later, or one ``loop``; returns at once.

    A loop that does not get on for ``threshold`` seconds (0.001 to 3600) is reported while it is still stuck: to
    ``logger`` (by default ``epicycle.stall``, at level WARNING; None for no log), and by ``callback(stall)``, which is
    called in a thread of the watcher's. Again when the time has doubled, and once when it is over; the log has at most
    twelve messages in ten seconds. Raises ValueError for a threshold out of range.
    """
    return Watcher(threshold, callback=callback, logger=logger, loop=loop)


def _stack(frame: FrameType | None) -> list[tuple[str, str, int]]:
    stack: list[tuple[str, str, int]] = []
    while frame is not None and len(stack) < _FRAMES and frame.f_code is not _RUN:
        code = frame.f_code
        stack.append((code.co_filename, code.co_qualname, frame.f_lineno or 0))
        frame = frame.f_back
    return stack


def _users(stack: list[tuple[str, str, int]]) -> tuple[str, str, int]:
    """The innermost frame of the user's own code; the innermost of all where there is none."""
    libraries = tuple(_libraries())
    for entry in stack:
        if not entry[0].startswith(libraries) and not entry[0].startswith("<frozen"):
            return entry
    return stack[0]


def _libraries() -> list[str]:
    """Where files begin that are not the user's: the standard library, what is installed, and this package."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths.add(os.path.dirname(asyncio.__path__[0]))
    paths.add(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [os.path.join(path, "") for path in sorted(paths) if path]


# ---- garbage collection ----

_watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()


def _note_collection(phase: str, info: dict[str, int]) -> None:
    """The collector begins or ends in this thread; if a loop runs in it, the page says so."""
    running: Any = asyncio._get_running_loop()
    if isinstance(running, _epicycle.Loop):
        running._collects(phase == "start")


def _start_collecting() -> None:
    if _note_collection not in gc.callbacks:
        gc.callbacks.append(_note_collection)


# ---- the process ----


def _close_all() -> None:
    for watcher in list(_watchers):
        watcher.close()


def _after_fork() -> None:
    for watcher in list(_watchers):
        watcher._after_fork()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork)

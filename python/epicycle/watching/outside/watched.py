"""Looking at a process again and again: its page, its tasks where it answers, and whether it gets on at all."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from .clean import clean
from .find import CannotWatch, Found, Page, Process
from .view import Reading, newest_stall

__all__ = ("Watched", "each_loop")

# What stays the same while a loop is in one callback.
STILL = ("turns", "callbacks", "steps", "parks")


class Watched:
    """One loop, looked at from outside. Whatever becomes of the process meanwhile is told by the readings."""

    def __init__(self, page: Page, process: Process | None, pause: float = 0.01) -> None:
        self.page = page
        self.process = process
        self._pause = pause
        self._still: tuple[object, float] | None = None
        self._sequence = -1
        self._snapshot: dict[str, Any] | None = None
        self._problem = ""
        self._taken_ns = 0

    def read(self, stack: bool = True) -> Reading:
        """What the page says now; with the stack of the loop's thread where the loop stands still unwatched.

        Raises CannotWatch where the page has been damaged.
        """
        page = self.page
        try:
            reading = Reading(
                page.facts(), page.counters(), page.lateness(), page.stalls(), self.process_state()
            )
        except (OSError, ValueError) as error:
            raise CannotWatch(clean(error)) from None
        reading.still = self._standing(reading)
        if stack and reading.still and newest_stall(reading) is None:
            with contextlib.suppress(OSError, ValueError):
                reading.stack = list(self.page.stack())
        self.take_snapshot()
        self.add_snapshot(reading)
        return reading

    def process_state(self) -> str:
        """``running``, ``stopped`` or ``ended``, and ``file`` where there is no process."""
        return self.process.state() if self.process is not None else "file"

    def add_snapshot(self, reading: Reading) -> None:
        """Put the last snapshot taken, and its age, into ``reading``."""
        reading.snapshot = self._snapshot
        reading.problem = self._problem
        if self._snapshot is not None:
            reading.snapshot_age = max(0.0, reading.now - self._taken_ns / 1e9)

    def take_snapshot(self) -> bool:
        """Read the tasks as the process last told them; whether they are newer than those read before."""
        try:
            found = self.page.snapshot()
        except (OSError, ValueError):
            # It goes with the process.
            return False
        if found is None or found[0] == self._sequence:
            return False
        self._sequence, self._taken_ns, text = found
        try:
            snapshot = json.loads(text)
        except ValueError:
            self._problem = "the snapshot is damaged"
            return False
        if not isinstance(snapshot, dict) or snapshot.get("version") != 1:
            self._problem = "the snapshot is in a form that this version does not know"
            return False
        if "error" in snapshot:
            self._problem = f"the process could not tell its tasks: {snapshot['error']}"
            return False
        self._snapshot, self._problem = snapshot, ""
        return True

    def ring(self) -> None:
        """Ask the process to tell its tasks; one that has ended, or cannot be asked, does not answer."""
        with contextlib.suppress(OSError):
            self.page.ring()

    def wait_for_snapshot(self, seconds: float) -> bool:
        """Ring and wait for the answer; whether it came within ``seconds``."""
        if self.process is None:
            return False
        self.take_snapshot()
        self.ring()
        end = time.monotonic() + seconds
        while not self.take_snapshot():
            if time.monotonic() >= end or self.process.state() != "running":
                return False
            time.sleep(self._pause)
        return True

    def _standing(self, reading: Reading) -> float:
        """For how long the loop has been in one callback, as far as the readings tell."""
        if reading.process != "running" or reading.facts.get("state") != "running":
            self._still = None
            return 0.0
        mark = (reading.facts.get("tick"), *(reading.counters.get(name) for name in STILL))
        if self._still is None or self._still[0] != mark:
            self._still = (mark, reading.now)
        return reading.now - self._still[1]


def each_loop(found: Found) -> list[Watched]:
    """A look for each loop of a process."""
    return [Watched(page, found.process) for page in found.pages]

"""What the live view shows, apart from how: readings, rates with their history, and tasks in their order."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .. import tree
from ..find import CannotWatch, Found
from ..plain import is_stale, stale_text
from ..view import RATES, Banner, History, Lag, banner, lag, number, rates
from ..watched import Watched, each_loop

__all__ = ("Model",)

# Asking for tasks and putting them in order may take this share of the time, in the process that tells them and in
# ours; with very many tasks they are asked for less often than the figures are read.
SHARE = 0.015
# The process stops listening for the bell, and forgets what it knows of its tasks' times, after ten seconds.
LONGEST = 8.0


class Model:
    """One loop of a process at a time, looked at every ``interval`` seconds."""

    def __init__(self, found: Found, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.found = found
        self.interval = interval
        self.looks = each_loop(found)
        self.at = 0
        self.sort = "busy"
        self.as_tree = True
        self.wanted = ""
        self.damage = ""
        self.rows: list[tree.Row] = []
        self._clock = clock
        self._process_clock = time.process_time
        self._begin()

    def _begin(self) -> None:
        self.reading = self.look.read(stack=False)
        self.history = History()
        self.speed: dict[str, float] = dict.fromkeys(RATES, 0.0)
        self.late = Lag()
        self._pause = 0.0
        self._rung = float("-inf")
        self.arrange()

    @property
    def look(self) -> Watched:
        """The loop that is shown."""
        return self.looks[self.at]

    @property
    def patience(self) -> float:
        """From what age, in seconds, the tasks are called stale."""
        return 2 * max(self.interval, self._pause)

    @property
    def banner(self) -> Banner | None:
        """What is to be said first of all."""
        if self.damage:
            return Banner(True, self.damage)
        return banner(self.reading, self.interval * 0.9)

    @property
    def is_stuck(self) -> bool:
        """Whether there is cause for alarm."""
        said = self.banner
        return said is not None and said.alarm

    @property
    def note(self) -> str:
        """What is to be said of the tasks: that they are stale, or told less often."""
        if self.reading.problem or is_stale(self.reading, self.patience):
            return stale_text(self.reading, self.patience)
        if self._pause > self.interval * 1.5:
            return f"so many tasks are told every {self._pause:.0f} s"
        return ""

    def next_loop(self) -> None:
        """Show the next loop of the process."""
        before = self.at
        self.at = (self.at + 1) % len(self.looks)
        try:
            self._begin()
        except CannotWatch as error:
            self.at = before
            self.damage = str(error)

    def refresh(self) -> None:
        """Read the page anew, and ask for the tasks where it is time to; they come a little later."""
        before = self.reading
        try:
            self.reading = self.look.read()
        except CannotWatch as error:
            self.damage = str(error)
            return
        self.damage = ""
        if self.reading.snapshot is not before.snapshot:
            self.arrange()
        self.speed = rates(before, self.reading)
        self.late = lag(before.lateness, self.reading.lateness)
        self.history.add({**self.speed, "lag": self.late.p99})
        now = self._clock()
        # A refresh may come a little early.
        if self.reading.process == "running" and now - self._rung >= self._pause - self.interval / 4:
            self._rung = now
            self.look.ring()

    def take_tasks(self) -> bool:
        """Take on the tasks if the process has told them by now; whether there was anything new."""
        before = self._process_clock()
        new = self.look.take_snapshot()
        if new:
            self.look.add_snapshot(self.reading)
            self.arrange()
            cost = self._process_clock() - before
            took = number(self.reading.snapshot or {}, "took")
            self._pause = min(LONGEST, max(cost, took) / SHARE)
            if self._pause <= self.interval:
                self._pause = 0.0
        return new

    def arrange(self) -> None:
        """Put the tasks into the order that is asked for."""
        self.rows = tree.rows(tree.tasks_of(self.reading.snapshot), self.sort, self.as_tree, self.wanted)

    def sort_by(self, key: str) -> None:
        """Sort by one of ``tree.SORTS``."""
        self.sort = key
        self.arrange()

    def filter(self, wanted: str) -> None:
        """Show only tasks with ``wanted`` in their texts."""
        self.wanted = wanted
        self.arrange()

    def total(self, section: str) -> int:
        """How many tasks or connections the process has, listed or not."""
        found = (self.reading.snapshot or {}).get(section)
        return int(number(found, "total")) if isinstance(found, dict) else 0

    def groups(self) -> list[dict[str, Any]]:
        """All tasks, by coroutine and by what they wait for."""
        return tree.listed((self.reading.snapshot or {}).get("tasks"), "groups")

    def connections(self) -> list[dict[str, Any]]:
        """The connections, those with the most to send first."""
        found = tree.listed((self.reading.snapshot or {}).get("connections"), "list")
        return sorted(found, key=lambda each: -number(each, "buffer"))

    def lints(self) -> list[dict[str, Any]]:
        """What looks wrong in the program."""
        found = (self.reading.snapshot or {}).get("lints")
        return [lint for lint in found if isinstance(lint, dict)] if isinstance(found, list) else []

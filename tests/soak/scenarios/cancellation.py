"""Every await that opens something, cancelled at every point where it waits, while numbers are used again at once."""

import asyncio
import contextlib
import functools
import gc
import pathlib
import random
import sys
import tempfile
import time

from scenarios.awaits import AWAITS, Made
from scenarios.decoys import Decoys, Witnesses
from scenarios.setting import Skipped, children, counters
from toolkit import new_descriptors, open_descriptors, turn

# Turns of the loop between the point that was reached and the cancellation; None cancels from inside the await.
DELAYS = (None, 0, 1, 2, 3, 5, 8)
PATIENCE = 30.0
# Seconds after which an await that gets no answer has passed all its points.
STANDSTILL = 0.05
# Rounds between two counts of what is left.
BLOCK = 50
# Rounds for each cancellation that comes in time, at most: when an await is done first, that is a round too.
ROUNDS = 8


class Points:
    """Counts the points where an await waits, and tells when the one that is looked for is reached."""

    def __init__(self, awaitable, point, reached):
        self._awaitable = awaitable
        self._point = point
        self._reached = reached
        self.passed = 0

    def __await__(self):
        return self._steps(self._awaitable.__await__())

    def _steps(self, steps):
        step = functools.partial(steps.send, None)
        while True:
            try:
                waits_for = step()
            except StopIteration as end:
                return end.value
            self.passed += 1
            if self.passed == self._point:
                self._reached()
            try:
                step = functools.partial(steps.send, (yield waits_for))
            except BaseException as error:
                step = functools.partial(steps.throw, error)


class Rounds:
    """One kind of await, cancelled again and again."""

    def __init__(self, loop, make, chance, in_vain):
        self.loop = loop
        self.make = make
        # Whether the await ends only by being cancelled.
        self.in_vain = in_vain
        self.decoys = Decoys(chance)
        self.witnesses = Witnesses(loop, chance, self.decoys.wrong)
        self.cancelled = 0
        self.too_late = 0
        self.points = 0

    def churn(self):
        self.decoys.churn()
        self.witnesses.churn()

    def one(self, point, delay):
        """Start, cancel at the point, wait for the end; whether the point was reached."""
        loop = self.loop
        reached = []
        made = Made()

        def note():
            reached.append(True)
            if delay is None:
                task.cancel()

        async def body():
            return await points

        points = Points(self.make(made), point, note)
        task = loop.create_task(body())
        since = time.monotonic()

        def got_there():
            return reached or task.done() or (self.in_vain and time.monotonic() - since > STANDSTILL)

        self.go(got_there, "reach its point")
        for _ in range(delay or 0):
            turn(loop)
        self.churn()
        task.cancel()
        self.churn()
        self.go(task.done, "end", churn=True)
        self.points = max(self.points, points.passed)
        if task.cancelled():
            self.cancelled += 1
        else:
            self.too_late += 1
            error = task.exception()
            assert error is None or isinstance(error, OSError), repr(error)
        loop.run_until_complete(made.end())
        self.churn()
        return bool(reached)

    def go(self, condition, what, churn=False):
        """Turn the loop until the condition is true."""
        end = time.monotonic() + PATIENCE
        turns = 0
        while not condition():
            assert time.monotonic() < end, f"the await did not {what} within {PATIENCE} seconds"
            turn(self.loop)
            turns += 1
            # The first turns after the cancellation are those in which descriptors are closed.
            if churn and turns < 10:
                self.churn()

    def all(self, times):
        """Rounds until so many were cancelled: every point, with every delay, from the first again after the last."""
        point, delays = 1, list(DELAYS)
        for number in range(1, ROUNDS * (times + len(DELAYS)) + 1):
            if not self.one(point, delays.pop()):
                point, delays = 1, list(DELAYS)
            elif not delays:
                point, delays = point + 1, list(DELAYS)
            if self.cancelled >= times:
                return
            if number % BLOCK == 0:
                yield
        raise AssertionError(f"of {number} rounds only {self.cancelled} were cancelled in time")

    def quieten(self):
        """Close decoys and witnesses, and let the loop come to rest."""
        self.decoys.close()
        self.witnesses.close()
        self.go(lambda: self.witnesses.is_quiet, "come to rest")
        turn(self.loop, 3)


def cancel(prepared, full, setting, figures):
    """The check of one await."""
    strangers = children()
    wrong = []
    hook, sys.unraisablehook = (
        sys.unraisablehook,
        lambda told: wrong.append(f"unraisable: {told.exc_value!r}"),
    )
    try:
        with tempfile.TemporaryDirectory() as folder, setting.loop() as loop:
            # What the first of everything opens (the threads of the executor, the watcher of children) stays open.
            loop.run_until_complete(loop.getaddrinfo("localhost", 80))
            stack = contextlib.AsyncExitStack()
            try:
                make = loop.run_until_complete(
                    stack.enter_async_context(prepared(loop, pathlib.Path(folder)))
                )
                in_vain = prepared.__name__.endswith("in_vain")
                rounds = Rounds(loop, make, random.Random(setting.seed), in_vain)
                repeat(rounds, setting.times(full), wrong)
            except NotImplementedError as error:
                raise Skipped(str(error)) from None
            finally:
                loop.run_until_complete(stack.aclose())
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        sys.unraisablehook = hook
    figures["cancelled"] = rounds.cancelled
    figures["done before"] = rounds.too_late
    figures["points"] = rounds.points
    figures["decoys checked"] = rounds.decoys.checks
    figures["witnesses"] = rounds.witnesses.connections
    # multiprocessing may keep helpers of its own: those that were there before do not count.
    assert not children() - strangers, "a child is left"


def repeat(rounds, times, wrong):
    """All rounds, with a count of what is left after every block of them."""
    loop = rounds.loop
    # The first rounds make what is made once.
    rounds.one(1, 0)
    rounds.one(1 << 30, 0)
    rounds.quieten()
    base, base_counters = count_all(loop)
    for _ in rounds.all(times):
        rounds.quieten()
        check(rounds, base, base_counters, wrong)
    rounds.quieten()
    check(rounds, base, base_counters, wrong)


def count_all(loop):
    gc.collect()
    return open_descriptors(), counters(loop)


def check(rounds, base, base_counters, wrong):
    """Fail for what is left, and for what decoys and witnesses saw."""
    loop = rounds.loop
    wrong += rounds.decoys.wrong
    assert not wrong, f"{len(wrong)} wrong, first: {wrong[:3]}"
    assert loop.contexts == [], f"the exception handler was called: {loop.contexts[:3]}"
    end = time.monotonic() + PATIENCE
    while True:
        # Servers learn of clients that have gone in a turn of their own; children take a moment to die.
        turn(loop, 2)
        gc.collect()
        pending = asyncio.all_tasks(loop)
        left = new_descriptors(base, patience=0)
        now = counters(loop)
        grown = {name: (count, now[name]) for name, count in base_counters.items() if now[name] > count}
        if not pending and not left and not grown:
            return
        assert time.monotonic() < end, f"left: descriptors {left}, tasks {pending}, counted {grown}"


CHECKS = {
    prepared.__name__.replace("_", " "): functools.partial(cancel, prepared, full)
    for prepared, full in AWAITS.items()
}

"""``epicycle record``: the flight recorder turned on for a while, and what it noted written as a trace."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

from .clean import clean
from .find import Found, Page
from .trace import Track, write
from .view import RATES, Reading, banner, number, rates
from .watched import Watched, each_loop

__all__ = ("record",)

# The ring is emptied so often that a busy loop does not go round it in between.
PAUSE = 0.02
# The curves need fewer points.
SAMPLE = 0.1
# The longest that one request is good for, and when the next follows, both in seconds.
MOST = 120.0
AGAIN = 60.0
# How long a process may take to begin recording.
ANSWER = 2.0


class Recorder:
    """The recording of one loop."""

    def __init__(self, look: Watched, number_: int, count: int, program: str) -> None:
        self.look = look
        self.page: Page = look.page
        facts = self.page.facts()
        tid = int(number(facts, "thread")) or number_
        name = "loop" if count == 1 else f"loop {number_}"
        # What is in the ring from before is left out, unless it is all there will be, or part of a recording that
        # another has asked for.
        live = look.process is not None and not facts.get("recording")
        self.after = self.page.events()[0] if live else 0
        self.track = Track(int(number(facts, "pid")), tid, program, name, self.after if live else None)
        self.events = 0
        self._sampled: Reading | None = None

    def collect(self) -> None:
        """Take on what the ring holds since the last time."""
        self.after, events = self.page.events(self.after)
        self.events += len(events)
        self.track.add(events)

    def sample(self) -> None:
        """Add a point to the curves, at most every ``SAMPLE`` seconds."""
        facts = self.page.facts()
        now = number(facts, "now_ns") / 1e9
        if self._sampled is not None and now - self._sampled.now < SAMPLE:
            return
        reading = Reading(facts, self.page.counters(), [], [])
        if self._sampled is not None:
            speed = rates(self._sampled, reading)
            self.track.add_counters(
                int(number(facts, "now_ns")),
                {f"{name.replace('_', ' ')} per second": speed[name] for name in RATES},
            )
        self._sampled = reading

    def finish(self, since_ns: int) -> None:
        """Add the stalls that were not over at ``since_ns`` of the monotonic clock, and close the track."""
        self.track.add_stalls(
            [
                stall
                for stall in self.page.stalls()
                if not stall["over"] or stall["began_ns"] + stall["lasted"] * 1e9 >= since_ns
            ]
        )
        self.track.end()


def record(found: Found, path: str, seconds: float) -> int:
    """Record the loops of a process for ``seconds`` and write the trace to ``path``; returns the exit status."""
    each = each_loop(found)
    program = found.process.program if found.process else found.title
    recorders = [Recorder(look, at, len(each), program) for at, look in enumerate(each, 1)]
    if found.process is None:
        for recorder in recorders:
            recorder.collect()
            recorder.finish(0)
    else:
        since = time.monotonic_ns()
        with contextlib.suppress(KeyboardInterrupt):
            _record_live(recorders, seconds)
        for recorder in recorders:
            recorder.finish(since)
    if not any(recorder.events for recorder in recorders):
        return _nothing(recorders)
    return _write(recorders, path)


def _record_live(recorders: list[Recorder], seconds: float) -> None:
    _ask(recorders, seconds)
    _go_on(recorders, ANSWER, lambda: any(_is_recording(recorder) for recorder in recorders))
    end = time.monotonic() + seconds
    _go_on(recorders, min(seconds, AGAIN), lambda: False)
    while (left := end - time.monotonic()) > 0 and recorders[0].look.process_state() != "ended":
        _ask(recorders, left)
        _go_on(recorders, min(left, AGAIN), lambda: False)


def _ask(recorders: list[Recorder], seconds: float) -> None:
    for recorder in recorders:
        with contextlib.suppress(OSError):
            recorder.page.record(min(seconds, MOST))


def _is_recording(recorder: Recorder) -> bool:
    return bool(recorder.page.facts().get("recording")) or recorder.events > 0


def _go_on(recorders: list[Recorder], seconds: float, enough: Callable[[], bool]) -> None:
    """Collect for ``seconds``, or until ``enough()`` or the end of the process."""
    end = time.monotonic() + seconds
    while not enough():
        ended = recorders[0].look.process_state() == "ended"
        for recorder in recorders:
            recorder.collect()
            recorder.sample()
        left = end - time.monotonic()
        if ended or left <= 0:
            return
        time.sleep(min(PAUSE, left))


def _nothing(recorders: list[Recorder]) -> int:
    """Say why there is no event to write."""
    look = recorders[0].look
    if look.process is None:
        reason = "its page holds no events: nothing was being recorded when it ended"
    else:
        # Twice, since only a second look tells that a loop stands still.
        look.read(stack=False)
        time.sleep(PAUSE)
        reading = look.read()
        said = banner(reading, PAUSE / 2)
        reason = (
            said.text
            if said
            else f"its loop is {clean(reading.facts.get('state'), 20)} and did not begin to record"
        )
    print(f"epicycle: nothing was recorded: {reason}", file=sys.stderr)
    return 1


def _write(recorders: list[Recorder], path: str) -> int:
    facts: dict[str, Any] = {
        "recorded by": "epicycle record",
        "loops": [one.page.facts() for one in recorders],
    }
    lost = sum(recorder.track.lost for recorder in recorders)
    if lost:
        facts["events lost"] = lost
    try:
        write(path, [recorder.track for recorder in recorders], facts)
    except OSError as error:
        print(f"epicycle: cannot write '{clean(path)}': {error.strerror or error}", file=sys.stderr)
        return 1
    count = sum(recorder.events for recorder in recorders)
    print(f"written: {clean(path)}, {count} events" + (f", {lost} lost" if lost else ""))
    return 0

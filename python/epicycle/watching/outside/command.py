"""``epicycle top``, ``tasks``, ``stalls`` and ``record``, from their arguments to their exit status."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time

from . import options, plain
from .find import CannotWatch, Found, find, processes
from .options import Options
from .view import Reading, newest_stall, number
from .watched import Watched, each_loop

__all__ = ("run",)

# Between the two readings that a rate is made from, in seconds.
APART = 0.5
# How long a process that gets on may take to tell its tasks before the last ones are shown instead.
ANSWER = 2.0
# The same of one that is stuck, which answers at once unless what it is stuck in holds the interpreter. Not for longer,
# or the stall would be over before it is told.
STUCK_ANSWER = 0.3
# The longest that a process which needs long to tell them is waited for.
LONGEST = 10.0
INTERRUPTED = 130


def run(command: str, arguments: list[str]) -> int:
    """Carry out one command line.

    Returns 0; 1 where the target cannot be looked into or the trace cannot be written; 130 after Ctrl-C. Raises
    UsageError for a command line that is wrong.
    """
    wanted = options.parse(command, arguments)
    if isinstance(wanted, str):
        print(wanted)
        return 0
    if sys.platform != "linux":
        return _refuse("looking into a process needs Linux")
    try:
        return _carry_out(wanted)
    except CannotWatch as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("epicycle: interrupted", file=sys.stderr)
        return INTERRUPTED


def _carry_out(wanted: Options) -> int:
    if not wanted.target:
        return _list(wanted)
    found = find(wanted.target)
    try:
        if wanted.command == "record":
            from . import recording

            return recording.record(found, wanted.output, wanted.seconds)
        if wanted.command == "tasks":
            return _tasks(found, wanted)
        if wanted.command == "stalls":
            return _stalls(found)
        if wanted.json or wanted.once or not (sys.stdout.isatty() and sys.stdin.isatty()):
            return _once(found, wanted)
        from . import top

        return top.run(found, wanted.interval)
    finally:
        found.close()


def _list(wanted: Options) -> int:
    everything = processes()
    try:
        if wanted.json:
            listed = [
                {
                    "pid": found.process.pid,
                    "program": found.process.program,
                    "command": found.process.command,
                    "state": found.process.state(),
                    "loops": [page.facts() for page in found.pages],
                }
                for found in everything
                if found.process
            ]
            print(json.dumps({"format": plain.FORMAT, "time": time.time(), "processes": listed}, indent=1))
        else:
            print(plain.listing(everything, _columns()))
    finally:
        for found in everything:
            found.close()
    return 0


def _once(found: Found, wanted: Options) -> int:
    pairs = _read_twice(each_loop(found))
    if wanted.json:
        print(plain.as_json(found, pairs))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        print(plain.overview(found, pairs, _columns(), colour))
    return 0


def _read_twice(each: list[Watched]) -> list[plain.Pair]:
    """Two readings of each loop. The tasks are asked for at both, since only the second answer has their times."""
    before = [look.read(stack=False) for look in each]
    if before[0].process in ("running", "stopped"):
        for look in each:
            look.ring()
        time.sleep(APART)
    return [(earlier, _answered(look)) for earlier, look in zip(before, each, strict=True)]


def _answered(look: Watched) -> Reading:
    """A reading with the tasks as they are now, if the process tells them."""
    reading = look.read()
    if reading.still or newest_stall(reading) is not None:
        # A loop that is stuck hears the bell only where an agent hears it for the loop.
        if reading.facts.get("agent"):
            look.wait_for_snapshot(STUCK_ANSWER)
            return look.read()
        return reading
    # The first answer of a process with very many tasks takes its time, and the agent rests three times as long.
    if reading.snapshot is not None or look.wait_for_snapshot(ANSWER):
        took = number(look.read(stack=False).snapshot or {}, "took")
        look.wait_for_snapshot(min(ANSWER + 5 * took, LONGEST))
    return look.read()


def _tasks(found: Found, wanted: Options) -> int:
    texts = [
        plain.tasks_text(after, wanted.sort, _columns(), wanted.stacks)
        for _, after in _read_twice(each_loop(found))
    ]
    print(_titled(found, texts))
    return 0


def _stalls(found: Found) -> int:
    print(
        _titled(found, [plain.stalls_text(look.read(stack=False), _columns()) for look in each_loop(found)])
    )
    return 0


def _titled(found: Found, texts: list[str]) -> str:
    """The texts of a process's loops, each with its number where there are several."""
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(
        f"{found.title}, loop {at} of {len(texts)}\n{text}" for at, text in enumerate(texts, 1)
    )


def _columns() -> int:
    """The width of the terminal, or 0 where the output goes elsewhere: then lines are left whole."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def _refuse(reason: str) -> int:
    print(f"epicycle: {reason}", file=sys.stderr)
    return 1

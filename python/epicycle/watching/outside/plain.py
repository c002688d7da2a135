"""What a look found, as plain text for a terminal or a pipe, and as JSON for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from . import tree
from .clean import clean, cut, fit
from .find import Found, Process
from .view import (
    Lag,
    Reading,
    amount,
    banner,
    bytes_text,
    cause_text,
    lag,
    newest_stall,
    number,
    rates,
    runs,
    seconds_text,
    stall_place,
    subject,
    where,
)

__all__ = ("FORMAT", "as_json", "listing", "overview", "stalls_text", "tasks_text")

# Of the JSON; raised when older readers would misread it.
FORMAT = 1
# From this age on, in seconds, tasks are not those of now.
STALE = 2.0

Pair = tuple[Reading, Reading]

RED = "\x1b[1;31m"
PLAIN = "\x1b[0m"


def overview(found: Found, pairs: list[Pair], columns: int, colour: bool, most: int = 40) -> str:
    """Every loop of a process, from two readings of each; ``columns`` is 0 where lines need not fit."""
    lines = []
    for at, (before, after) in enumerate(pairs):
        lines += ["", *_loop(found, at, len(pairs), before, after)]
        said = banner(after, _patience(before, after))
        if said is not None:
            lines.insert(0, _banner_line(said.text, columns, colour and said.alarm))
        lines += ["", *_tasks_head(after), *_task_lines(after, "busy", most)]
        lines += _section("connections", connection_lines(after)[:most])
        lines += _section("lints", lint_lines(after)[:most])
        if after.stalls:
            lines += [
                "",
                "STALLS",
                *(line for stall in after.stalls[:-6:-1] for line in _stall(stall, False)),
            ]
    while lines and not lines[0]:
        lines.pop(0)
    return "\n".join(line if line.startswith(RED) else _within(line, columns) for line in lines)


def _patience(before: Reading, after: Reading) -> float:
    """A loop that stood still for half of the time between two readings, or more, is blocked."""
    return max(0.001, (after.now - before.now) / 2)


def _banner_line(text: str, columns: int, colour: bool) -> str:
    text = _within(text, columns)
    return f"{RED}{text}{PLAIN}" if colour else text


def _within(line: str, columns: int) -> str:
    return cut(line, columns) if columns else line


def _loop(found: Found, at: int, count: int, before: Reading, after: Reading) -> Iterator[str]:
    yield head(found, at, count, after)
    speed = rates(before, after)
    late = lag(before.lateness, after.lateness)
    over = "now" if late.count else "since the loop began"
    yield f"lag {lag_text(late if late.count else lag([], after.lateness))}  ({over})"
    yield "  ".join(
        f"{name.replace('_', ' ')} {amount(speed[name])}/s"
        for name in ("turns", "callbacks", "steps", "events")
    )
    yield (
        f"in {bytes_text(speed['bytes_in'])}/s  out {bytes_text(speed['bytes_out'])}/s  "
        f"open {open_text(after.counters)}"
    )


def head(found: Found, at: int, count: int, reading: Reading) -> str:
    """The line that says what is looked at: process, loop, state, versions, age."""
    facts = reading.facts
    state = clean(facts.get("state") or "?", 20)
    if reading.process in ("ended", "file"):
        state = "ended"
    elif state == "running":
        state = f"running a {runs(facts)}"
    watcher = (
        f"watcher {seconds_text(number(facts, 'watching'))}" if number(facts, "watching") else "no watcher"
    )
    age = seconds_text(max(0.0, reading.now - number(facts, "created_ns") / 1e9))
    return (
        f"{found.title}  loop {at + 1} of {count}: {state}  up {age}  {watcher}  "
        f"Epicycle {clean(facts.get('epicycle'), 30)}  Python {clean(facts.get('python'), 30)}"
    )


def lag_text(late: Lag) -> str:
    """The percentiles of how late timers ran."""
    if not late.count:
        return "no timer ran"
    figures = (("p50", late.p50), ("p90", late.p90), ("p99", late.p99), ("max", late.most))
    return "  ".join(f"{name} {seconds_text(value)}" for name, value in figures)


def open_text(counters: dict[str, int]) -> str:
    """How many connections of each kind are open."""
    kinds = [
        (name[7:], count - counters.get(f"closed_{name[7:]}", 0))
        for name, count in counters.items()
        if name.startswith("opened_")
    ]
    return ", ".join(f"{clean(kind, 20)} {count}" for kind, count in kinds if count > 0) or "nothing"


def tasks_text(reading: Reading, sort: str, columns: int, stacks: bool) -> str:
    """The tree of a loop's tasks, all of them."""
    lines = [*_tasks_head(reading), *_task_lines(reading, sort, None, stacks), *_group_lines(reading)]
    return "\n".join(_within(line, columns) for line in lines)


def _tasks_head(reading: Reading) -> Iterator[str]:
    yield f"TASKS  {tasks_title(reading)}"
    note = stale_text(reading, STALE)
    if note:
        yield note


def tasks_title(reading: Reading) -> str:
    """How many tasks there are, and how many of them are listed."""
    tasks = (reading.snapshot or {}).get("tasks")
    total = number(tasks, "total") if isinstance(tasks, dict) else 0
    shown = len(tree.tasks_of(reading.snapshot))
    return f"{total:.0f}" if shown >= total else f"{total:.0f}, of which {shown} are listed"


def is_stale(reading: Reading, patience: float) -> bool:
    """Whether the tasks of a reading are older than ``patience`` seconds, or not known at all."""
    return reading.snapshot is None or reading.snapshot_age > patience


def stale_text(reading: Reading, patience: float) -> str:
    """Why the tasks are not today's, or an empty text."""
    if reading.problem:
        return clean(reading.problem)
    if not is_stale(reading, patience):
        return ""
    why = {
        "ended": "the process has ended",
        "file": "the process has ended",
        "stopped": "the process is stopped",
    }.get(reading.process)
    if why is None:
        state = reading.facts.get("state")
        if reading.still or newest_stall(reading) is not None:
            why = "the loop is blocked"
        else:
            why = {"idle": "the loop is not running", "closed": "the loop is closed"}.get(
                str(state), "the loop does not answer"
            )
    if reading.snapshot is None:
        return f"{why}: its tasks are not known"
    return f"{why}; tasks as of {seconds_text(reading.snapshot_age)} ago"


def _task_lines(reading: Reading, sort: str, most: int | None, stacks: bool = False) -> Iterator[str]:
    rows = tree.rows(tree.tasks_of(reading.snapshot), sort)
    if rows:
        yield f"{'BUSY':>8} {'SCHED':>8} {'AGE':>8}  TASK"
    for row in rows[:most]:
        yield task_line(row)
        if stacks:
            stack = row.task.get("stack")
            for frame in stack if isinstance(stack, list) else ():
                yield f"{'':28}{clean(frame, 200)}"
    if most is not None and len(rows) > most:
        yield f"{'':26}  and {len(rows) - most} more: 'epicycle tasks' lists them"


def _group_lines(reading: Reading) -> Iterator[str]:
    """All tasks in groups, where not all are listed one by one."""
    tasks = (reading.snapshot or {}).get("tasks")
    if not isinstance(tasks, dict) or len(tree.listed(tasks, "list")) >= number(tasks, "total"):
        return
    yield ""
    yield f"{'COUNT':>8}  ALL TASKS, BY COROUTINE AND WAIT"
    for group in tree.listed(tasks, "groups"):
        count, coroutine, waits = group_cells(group)
        yield f"{count:>8}  {coroutine}: {waits}"


def group_cells(group: dict[str, Any]) -> list[str]:
    """A group of tasks: how many there are, their coroutine, what they wait for."""
    return [
        f"{number(group, 'count'):.0f}",
        clean(group.get("coroutine") or "?", 120),
        clean(group.get("waits") or "", 200),
    ]


def task_line(row: tree.Row) -> str:
    """A task in one line."""
    task = row.task
    times = " ".join(
        fit(seconds_text(number(task, key)), 8, right=True) for key in ("busy", "scheduled", "age")
    )
    circle = "  IN A CIRCLE" if row.circle else ""
    place = tree.place(task)
    return (
        f"{times}  {row.lead}{clean(task.get('name') or '?', 60)}  {clean(task.get('coroutine') or '', 80)}"
        f"{f'  {place}' if place else ''}  {tree.doing(task)}{circle}"
    )


def _section(name: str, lines: list[str]) -> list[str]:
    return ["", name.upper(), *lines] if lines else []


def connection_lines(reading: Reading) -> list[str]:
    """The connections, those with the most to send first."""
    connections = tree.listed((reading.snapshot or {}).get("connections"), "list")
    connections.sort(key=lambda each: -number(each, "buffer"))
    return ["  ".join(filter(None, connection_cells(each))) for each in connections]


def connection_cells(connection: dict[str, Any]) -> list[str]:
    """A connection: kind, descriptor, its two ends, what waits to be sent, and who is slow."""
    limits = connection.get("limits")
    high = limits[1] if isinstance(limits, list) and len(limits) > 1 and isinstance(limits[1], int) else 0
    buffer = bytes_text(number(connection, "buffer")) + (f" of {bytes_text(high)}" if high else "")
    slow = {"peer": "the peer is slow", "us": "we are slow"}.get(str(connection.get("slow")), "")
    unread = number(connection, "unread")
    states = [
        slow,
        "writing paused" if connection.get("writing_paused") else "",
        "" if connection.get("reading", True) else "not reading",
        f"{bytes_text(unread)} unread" if unread else "",
    ]
    return [
        clean(connection.get("kind") or "?", 20),
        f"fd {connection['fd']}" if isinstance(connection.get("fd"), int) else "",
        clean(connection.get("local") or "", 60),
        clean(connection.get("peer") or "", 60),
        buffer,
        ", ".join(filter(None, states)),
    ]


def lint_lines(reading: Reading) -> list[str]:
    """What the snapshot's lints say."""
    found = (reading.snapshot or {}).get("lints")
    each = [lint for lint in found if isinstance(lint, dict)] if isinstance(found, list) else []
    return [f"{clean(lint.get('kind') or '?', 40)}: {clean(lint.get('text') or '', 300)}" for lint in each]


def stalls_text(reading: Reading, columns: int) -> str:
    """The stalls that the page remembers, the latest first, with their stacks."""
    if not reading.stalls:
        watched = number(reading.facts, "watching")
        return (
            "no stall"
            if watched
            else "no stall is known: no watcher runs in the process ('epicycle.watch()')"
        )
    return "\n".join(
        _within(line, columns) for stall in reversed(reading.stalls) for line in _stall(stall, True)
    )


def _stall(stall: dict[str, Any], stack: bool) -> Iterator[str]:
    yield stall_line(stall)
    if not stack:
        return
    for key, what in (("task", "task"), ("coroutine", "coroutine"), ("what", "runs")):
        if stall.get(key):
            yield f"    {what} {clean(stall[key], 200)}"
    frames = stall.get("stack")
    for frame in frames if isinstance(frames, list) else ():
        if isinstance(frame, list | tuple) and len(frame) > 2:
            yield f"    at {where(frame[0], frame[2], frame[1])}"
    awaits = stall.get("awaits")
    for step in awaits if isinstance(awaits, list) else ():
        yield f"    awaits {clean(step, 200)}"


def stall_line(stall: dict[str, Any]) -> str:
    """A stall in one line: number, when, how long, kind, cause, place."""
    began = time.strftime("%H:%M:%S", time.localtime(max(0.0, min(number(stall, "began"), 4e9))))
    lasted = seconds_text(number(stall, "lasted"))
    going_on = "" if stall.get("over", True) else " so far"
    cause = cause_text(stall)
    place = stall_place(stall)
    task = subject(stall)
    return (
        f"#{number(stall, 'number'):.0f}  {began}  {clean(stall.get('kind') or '', 20)} {lasted}{going_on}"
        f"{f'  by {cause}' if cause else ''}{f'  at {place}' if place else ''}{f'  ({task})' if task else ''}"
    )


def listing(everything: list[Found], columns: int) -> str:
    """The Epicycle processes of this user, a line for each loop."""
    if not everything:
        return "no Epicycle loop runs in a process of yours"
    lines = [f"{'PID':>8}  {'LOOP':>4}  {'STATE':8}  {'UP':>8}  PROGRAM"]
    for found in everything:
        if found.process is None:
            continue
        for at, page in enumerate(found.pages):
            facts = page.facts()
            up = (number(facts, "now_ns") - number(facts, "created_ns")) / 1e9
            state = "stopped" if found.process.state() == "stopped" else clean(facts.get("state"), 8)
            lines.append(
                f"{found.process.pid:>8}  {at + 1:>4}  {state:8}  {seconds_text(max(0.0, up)):>8}  "
                f"{clean(' '.join(found.process.command) or found.process.name, 200)}"
            )
    return "\n".join(_within(line, columns) for line in lines)


def as_json(found: Found, pairs: list[Pair]) -> str:
    """Two readings of each loop as one JSON object, in ASCII: nothing in it moves a terminal."""
    return json.dumps(
        {
            "format": FORMAT,
            "time": time.time(),
            "process": _process(found.process, pairs),
            "file": found.path or None,
            "loops": [_loop_json(before, after) for before, after in pairs],
        },
        indent=1,
    )


def _process(process: Process | None, pairs: list[Pair]) -> dict[str, Any]:
    facts = pairs[0][1].facts
    return {
        "pid": process.pid if process else facts.get("pid"),
        "program": process.program if process else None,
        "command": process.command if process else None,
        "state": pairs[0][1].process if process else "ended",
    }


def _loop_json(before: Reading, after: Reading) -> dict[str, Any]:
    said = banner(after, _patience(before, after))
    late = lag(before.lateness, after.lateness)
    ever = lag([], after.lateness)
    return {
        "facts": after.facts,
        "counters": after.counters,
        "rates": rates(before, after),
        "lateness": {"buckets": after.lateness, "now": _lag_json(late), "ever": _lag_json(ever)},
        "blocked": said is not None and said.alarm and after.process == "running",
        "still": after.still,
        "banner": said.text if said else None,
        "stack": [list(frame) for frame in after.stack],
        "stalls": after.stalls,
        "snapshot": after.snapshot,
        "snapshot_age": after.snapshot_age if after.snapshot is not None else None,
        "stale": is_stale(after, STALE),
        "problem": after.problem or None,
    }


def _lag_json(late: Lag) -> dict[str, float]:
    return {"count": late.count, "p50": late.p50, "p90": late.p90, "p99": late.p99, "max": late.most}

"""The tasks of a snapshot: who waits for whom as a tree, sorted and filtered. Values in, values out.

Tasks stay the dictionaries that came out of the JSON, and are looked at only as far as a row is shown: a program may
have very many. They come from another process, so nothing is taken for granted about what is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .clean import clean
from .view import number, seconds_text, where

__all__ = ("SORTS", "Row", "chain", "doing", "listed", "matches", "place", "rows", "tasks_of", "waits_text")

Task = dict[str, Any]

# What can be sorted by, and what each is called.
SORTS = {"busy": "time busy", "scheduled": "time scheduled", "age": "age", "waits": "what it waits for"}

# Deeper than this nothing is moved further to the right.
DEEPEST = 12


@dataclass(frozen=True, slots=True)
class Row:
    """A task as a line of the tree. ``lead`` is what is drawn before its name; ``circle`` marks one of tasks that wait
    for one another."""

    task: Task
    lead: str = ""
    circle: bool = False


def tasks_of(snapshot: dict[str, Any] | None) -> list[Task]:
    """The tasks of a snapshot that may be damaged or missing."""
    return listed((snapshot or {}).get("tasks"), "list")


def listed(section: object, key: str) -> list[dict[str, Any]]:
    """The objects in a list of a section of a snapshot."""
    found = section.get(key) if isinstance(section, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def matches(task: Task, wanted: str) -> bool:
    """Whether ``wanted``, in lower case, is part of what is shown of a task."""
    texts = (task.get("name"), task.get("coroutine"), task.get("state"), task.get("file"), waits_text(task))
    return any(wanted in str(text).lower() for text in texts)


def waits_text(task: Task) -> str:
    """What a task waits for, in words."""
    waits = task.get("waits")
    if not isinstance(waits, dict):
        return ""
    return clean(waits.get("text") or waits.get("kind") or "", 200)


def doing(task: Task) -> str:
    """What a task does: it waits for something, unless said otherwise."""
    state = clean(task.get("state") or "", 20)
    text = waits_text(task)
    if state in ("", "waiting") or state == text:
        return text
    kind = _kind(task)
    return state if kind in ("none", state) or not text else f"{state}: {text}"


def place(task: Task) -> str:
    """Where a task's coroutine stands: the file's name and the line."""
    folder, _, name = str(task.get("file") or "").rpartition("/")
    if name in ("__init__.py", "__main__.py"):
        name = f"{folder.rpartition('/')[2]}/{name}"
    return where(name, task.get("line"))


def rows(tasks: list[Task], sort: str = "busy", as_tree: bool = True, wanted: str = "") -> list[Row]:
    """The tasks in the order in which they are shown.

    In the tree a task stands below the one that awaits it, and a branch is as high up as its highest task. A filter
    (``wanted``) makes it a plain list of the tasks that match.
    """
    key = _keys(sort)
    if wanted:
        wanted = wanted.lower()
        tasks = [task for task in tasks if matches(task, wanted)]
    if wanted or not as_tree:
        return [Row(task) for task in sorted(tasks, key=key)]
    return _tree(tasks, key)


def _keys(sort: str) -> Callable[[Task], Any]:
    if sort == "waits":
        return lambda task: (_kind(task), waits_text(task), -number(task, "age"))
    return lambda task: (-number(task, sort), -number(task, "busy"), number(task, "id"))


def _kind(task: Task) -> str:
    waits = task.get("waits")
    return str(waits.get("kind")) if isinstance(waits, dict) else ""


def _tree(tasks: list[Task], key: Callable[[Task], Any]) -> list[Row]:
    known = {task.get("id"): task for task in tasks if isinstance(task.get("id"), int)}
    parents = {id(task): _parent(task, known) for task in tasks}
    below: dict[int, list[Task]] = {}
    tops = []
    for task in tasks:
        parent = parents[id(task)]
        if parent is None:
            tops.append(task)
        else:
            below.setdefault(id(parent), []).append(task)
    # Without the tree below them most tasks are tops, and then there is nothing to walk.
    if not below:
        return [Row(task) for task in sorted(tasks, key=key)]
    circles = _circles(tasks, parents)
    tops += [circle[0] for circle in circles]
    in_circle = {id(task) for circle in circles for task in circle}
    ranks = _ranks(tops, below, key)
    return _drawn(tops, below, ranks, in_circle)


def _parent(task: Task, known: dict[Any, Task]) -> Task | None:
    awaiting = task.get("awaited_by")
    for number_ in awaiting if isinstance(awaiting, list) else ():
        parent = known.get(number_) if isinstance(number_, int) else None
        if parent is not None:
            return parent
    return None


def _circles(tasks: list[Task], parents: dict[int, Task | None]) -> list[list[Task]]:
    """The rings among the parents, each beginning with the task whose number is lowest."""
    done: set[int] = set()
    found = []
    for task in tasks:
        path: dict[int, Task] = {}
        step: Task | None = task
        while step is not None and id(step) not in done and id(step) not in path:
            path[id(step)] = step
            step = parents[id(step)]
        if step is not None and id(step) in path:
            ring = list(path.values())
            ring = ring[next(at for at, member in enumerate(ring) if member is step) :]
            first = min(range(len(ring)), key=lambda at: number(ring[at], "id"))
            found.append(ring[first:] + ring[:first])
        done.update(path)
    return found


def _ranks(tops: list[Task], below: dict[int, list[Task]], key: Callable[[Task], Any]) -> dict[int, Any]:
    """For each task the best key among it and those below it; a walk without recursion, chains may be long."""
    order: list[Task] = []
    seen: set[int] = set()
    waiting = list(tops)
    while waiting:
        task = waiting.pop()
        if id(task) in seen:
            continue
        seen.add(id(task))
        order.append(task)
        waiting += below.get(id(task), ())
    ranks: dict[int, Any] = {}
    for task in reversed(order):
        children = (ranks[id(child)] for child in below.get(id(task), ()) if id(child) in ranks)
        ranks[id(task)] = min((key(task), *children))
    return ranks


def _drawn(
    tops: list[Task], below: dict[int, list[Task]], ranks: dict[int, Any], in_circle: set[int]
) -> list[Row]:
    found: list[Row] = []
    seen: set[int] = set()

    def by_rank(tasks: Iterable[Task]) -> list[Task]:
        return sorted(tasks, key=lambda task: ranks[id(task)], reverse=True)

    waiting = [(task, "", "") for task in by_rank(tops)]
    while waiting:
        task, lead, further = waiting.pop()
        if id(task) in seen:
            continue
        seen.add(id(task))
        found.append(Row(task, lead, id(task) in in_circle))
        children = by_rank(child for child in below.get(id(task), ()) if id(child) not in seen)
        deep = len(further) >= 2 * DEEPEST
        for at, child in enumerate(children):
            last = at == 0
            branch, rest = ("└ ", "  ") if last else ("├ ", "│ ")
            waiting.append((child, further + branch, further if deep else further + rest))
    return found


def chain(task: Task, tasks: list[Task]) -> list[str]:
    """What a task is about and what it waits for, step by step, as lines for the pane of details."""
    known = {each["id"]: each for each in tasks if isinstance(each.get("id"), int)}
    lines = [
        f"{clean(task.get('name') or '?', 80)}  {clean(task.get('coroutine') or '', 120)}",
        f"{clean(task.get('state') or '', 20)}: {waits_text(task) or 'nothing that can be told'}",
        _times(task),
    ]
    lines += _details(task)
    stack = task.get("stack")
    if isinstance(stack, list) and stack:
        lines += ["await chain, outermost first", *(f"  {clean(frame, 200)}" for frame in stack[:40])]
    for number_ in _numbers(task.get("awaited_by")):
        lines.append(f"awaited by {_called(known.get(number_), number_)}")
    seen = {task.get("id")}
    next_ = task.get("waits_for")
    while isinstance(next_, int):
        awaited = known.get(next_)
        if next_ in seen:
            lines.append(f"waits for {_called(awaited, next_)}: a circle")
            break
        seen.add(next_)
        lines.append(f"waits for {_called(awaited, next_)}" + (f": {waits_text(awaited)}" if awaited else ""))
        next_ = awaited.get("waits_for") if awaited else None
        if len(seen) > 40:
            break
    return lines


def _times(task: Task) -> str:
    at_least = "at least " if task.get("age_is_at_least") else ""
    return (
        f"age {at_least}{seconds_text(number(task, 'age'))}, busy {seconds_text(number(task, 'busy'))} "
        f"in {number(task, 'steps'):.0f} steps, scheduled {seconds_text(number(task, 'scheduled'))}"
    )


def _details(task: Task) -> list[str]:
    waits = task.get("waits")
    if not isinstance(waits, dict):
        return []
    more = [
        f"{clean(key, 20)} {clean(value, 80)}"
        for key, value in waits.items()
        if key not in ("kind", "text") and isinstance(value, str | int | float) and value != ""
    ]
    return [", ".join(more[:12])] if more else []


def _numbers(value: object) -> list[int]:
    return [each for each in value if isinstance(each, int)][:20] if isinstance(value, list) else []


def _called(task: Task | None, number_: int) -> str:
    if task is None:
        return f"task {number_}"
    return f"{clean(task.get('name') or number_, 60)} ({clean(task.get('coroutine') or '?', 80)})"

"""One look at a loop: over its connections, its tasks and its locks, and then what is told of them.

Everything in it lasts for one snapshot; what is kept for the next is in `records.py`.
"""

from __future__ import annotations

import heapq
import time
import weakref
from typing import Any

from epicycle import _epicycle
from epicycle.watching.inside import chains, connections, entered, jobs, lints, tasks, waits
from epicycle.watching.inside.encoding import encode
from epicycle.watching.inside.kinds import Details
from epicycle.watching.inside.pacing import Pace
from epicycle.watching.inside.records import Record, Records

# Up to so many tasks, each is told of by itself; of more, so many are chosen.
_MOST = 2000
_CHOSEN = 1000
_AWAITERS = 50
_GROUPS = 500
# Tasks that are looked at between two questions for the time.
_BUNCH = 16

_Steps = tuple[int, int, int, int]


class Look:
    """One observation: what `waits.py` asks of it is its part as a `View`."""

    def __init__(
        self,
        loop: Any,
        thread: int,
        shapes: waits.Shapes,
        records: Records,
        pace: Pace,
        elapsed: float,
        timed: bool,
    ) -> None:
        self.now = _epicycle.Loop.time(loop)
        self.total = 0
        self.connections: list[connections.Connection] = []
        self.findings: list[lints.Finding] = []
        self.incomplete = False
        self._loop = loop
        self._thread = thread
        self._shapes = shapes
        self._records = records
        self._pace = pace
        self._elapsed = elapsed
        self._monotonic = time.monotonic()
        self._running = 0
        self._groups: dict[tuple[str, str], int] = {}
        self._transports: dict[int, connections.Connection] = {}
        self._jobs: dict[int, jobs.Job] | None = None
        self._holders: dict[int, list[Details]] = {}
        self._wanted: set[int] = set()
        self._awaited_by: dict[int, list[int]] = {}
        self._circles: dict[int, tuple[int, ...]] = {}
        self._subjects: set[int] = set()
        # Steps since the last look.  In debug mode they are not counted.
        self._timed = timed and not _epicycle.Loop.get_debug(loop)
        self._steps: dict[int, _Steps] = loop._step_times() if timed else {}

    # ---- as a view ----

    def label(self, task: Any) -> str:
        """The name of a task."""
        return tasks.name_of(task)

    def peer(self, transport: Any) -> Details:
        """`fd` and `peer` of a transport."""
        connection = self._transports.get(id(transport))
        if connection is None:
            return {"fd": None, "peer": None}
        return {"fd": connection["fd"], "peer": connection["peer"]}

    def holders(self, lock: Any) -> list[Details]:
        """Who holds a lock by `async with`."""
        return self._holders.get(id(lock), [])

    def job(self, future: Any) -> jobs.Job | None:
        """The job of a pool of threads that a future waits for."""
        behind = jobs.job_future(future)
        if self._jobs is None:
            self._jobs = jobs.all_jobs()
        return self._jobs.get(id(future if behind is None else behind))

    # ---- looking ----

    def over_connections(self) -> None:
        """Looks at every connection."""
        try:
            self.connections = connections.collect(self._loop, self._pace)
        except RuntimeError:
            # Closed just now, or the state of one of them is in use.
            return
        self._transports = connections.by_object(self.connections)

    def over_tasks(self) -> None:
        """Looks at every task, briefly."""
        current = tasks.current(self._loop)
        self._running = id(current) if current is not None else 0
        self.incomplete = current is not None
        tasks.lend(current, self._loop)
        del current
        self._records.begin()
        for index, reference in enumerate(tasks.references(self._loop, self._pace)):
            try:
                self._look_at(reference)
            except Exception:
                # It has changed under our hands, or is of a kind that we know nothing of.
                continue
            if not index % _BUNCH:
                self._pace()
        self._records.end(self.total)

    def _look_at(self, reference: weakref.ref[Any]) -> None:
        task = reference()
        if task is None:
            return
        holders = tasks.holders(reference)
        record = self._standing(task, reference) if self._timed else None
        if record is not None:
            # As it was seen before: most tasks, most of the time.
            if holders <= lints.AWAITED:
                self._suspect(task, record, task._fut_waiter, 0.0, False, holders)
            self._count(id(task), record)
        elif tasks.belongs(task, self._loop):
            self._note(task, reference, holders)
        tasks.lend(task, self._loop)

    def _standing(self, task: Any, reference: weakref.ref[Any]) -> Record | None:
        """The record of a task that has not moved since it was last looked at."""
        ident = id(task)
        record = self._records.by_id.get(ident)
        if record is None or not record.stands or ident in self._steps or type(task) is not tasks.Task:
            return None
        future = task._fut_waiter
        if record.reference is not reference or record.future != id(future) or tasks.is_done(future):
            return None
        record.seen = self._records.number
        return record

    def _count(self, ident: int, record: Record) -> None:
        """Adds a task to its group, and to what it waits for."""
        self.total += 1
        group = record.group
        self._groups[group] = self._groups.get(group, 0) + 1
        if record.lock:
            self._wanted.add(record.lock)
        for awaited in record.edges:
            awaiters = self._awaited_by.setdefault(awaited, [])
            if len(awaiters) < _AWAITERS:
                awaiters.append(ident)

    def _note(self, task: Any, reference: weakref.ref[Any], holders: int) -> None:
        """Looks at a task that may have moved."""
        ident = id(task)
        record = self._records.of(task, reference, self._monotonic)
        future = tasks.attribute(task, "_fut_waiter")
        running = ident == self._running
        waits_still = future is not None and not running and not tasks.is_done(future)
        done = self._steps.get(ident)
        if done is not None:
            record.steps += done[0]
            record.busy += done[1]
            record.scheduled += done[2]
        shape = self._walk(task, record, future, waits_still)
        record.group = (
            shape.coroutine,
            shape.group(future) if waits_still else "running" if running else "ready",
        )
        self._count(ident, record)
        rate = done[0] / self._elapsed if done is not None and self._elapsed else 0.0
        self._suspect(task, record, future, rate, running, holders if waits_still else 0)

    def _walk(self, task: Any, record: Record, future: Any, waits_still: bool) -> waits.Shape:
        coroutine = tasks.attribute(task, "_coro")
        links, _ = chains.links(coroutine)
        shape = self._shapes.of(links, coroutine)
        record.stands, record.future = waits_still, id(future)
        record.edges, record.blocks, record.lock, record.held = (), True, 0, None
        if not waits_still:
            return shape
        known = shape.known
        if known is None or known.children is not None:
            children, record.blocks = waits.children(shape, links, future, self)
            record.edges = tuple(id(child) for child in children)
        elif known is not None and known.kind in ("lock", "semaphore"):
            record.lock = id(chains.variables(links[shape.at]).get("self"))
        return shape

    def over_locks(self) -> None:
        """Finds the holders of the locks that somebody waits for."""
        if not self._wanted:
            return
        for record in list(self._records.by_id.values()):
            try:
                self._find_held(record)
            except Exception:
                continue
            self._pace()

    def _find_held(self, record: Record) -> None:
        task = record.reference()
        if task is None:
            return
        if record.held is None or not record.stands:
            links, _ = chains.links(tasks.attribute(task, "_coro"))
            record.held = tuple(id(lock) for lock in entered.held(links))
        for lock in record.held:
            if lock in self._wanted:
                holder = {"task": id(task), "name": tasks.name_of(task)}
                self._holders.setdefault(lock, []).append(holder)
        tasks.lend(task, self._loop)

    # ---- judging ----

    def _suspect(
        self, task: Any, record: Record, future: Any, rate: float, running: bool, holders: int
    ) -> None:
        """What looks wrong in this task alone."""
        ident = id(task)
        what = record.group[0]
        if (
            0 < holders <= lints.AWAITED
            and lints.references_of(future, task) == holders
            and not lints.is_own(what)
        ):
            text = f"nobody holds a reference to task {tasks.name_of(task)} ({what}): it may vanish while it waits"
            self._find("unheld-task", ident, text)
        if lints.goes_on(record, tasks.cancelling(task), future, self._monotonic):
            since = self._monotonic - (record.cancelled_at or 0.0)
            text = f"task {tasks.name_of(task)} ({what}) was cancelled {since:.0f} s ago and goes on"
            self._find("cancelled-goes-on", ident, text)
        if lints.storms(record, rate, future, running):
            text = f"task {tasks.name_of(task)} ({what}) wakes itself {rate:.0f} times a second, waiting for nothing"
            self._find("storm", ident, text)

    def _find(self, kind: str, task: int | None, text: str) -> None:
        if task is not None:
            self._subjects.add(task)
        if len(self.findings) < lints.MOST:
            self.findings.append(lints.finding(kind, task, text))

    def judge(self, growth: lints.Growth) -> None:
        """What looks wrong among the tasks and in the rest of the loop."""
        for circle in lints.circles(self._graph()):
            told = [self._told(ident) for ident in circle[:10]]
            more = f" and {len(circle) - 10} more" if len(circle) > 10 else ""
            text = f"tasks that wait for one another: {' -> '.join([*told, told[0]])}{more}"
            if len(circle) == 1:
                text = f"task {told[0]} waits for itself"
            self._find("circle", circle[0], text)
            self._subjects.update(circle)
        self.findings += growth.look(self.connections)
        unretrieved = getattr(self._loop, "_unretrieved", None)
        if unretrieved is not None:
            for text in tuple(unretrieved.last):
                self._find("unretrieved-exception", None, text)

    def _graph(self) -> dict[int, tuple[int, ...]]:
        graph: dict[int, tuple[int, ...]] = {}
        for ident, record in self._records.by_id.items():
            edges = record.edges if record.blocks else ()
            for holder in self._holders.get(record.lock, ()):
                # Of a semaphore, others may be the ones to give it back.
                if record.group[1] == "Lock":
                    edges += (holder["task"],)
            if edges:
                graph[ident] = edges
        return graph

    def _told(self, ident: int) -> str:
        record = self._records.by_id.get(ident)
        task = record.reference() if record is not None else None
        return (tasks.name_of(task) or "a task") if task is not None else "a task"

    # ---- telling ----

    def grouped(self) -> list[Details]:
        """The groups, largest first."""
        most = heapq.nlargest(_GROUPS, self._groups.items(), key=lambda item: item[1])
        return [{"coroutine": group[0], "waits": group[1], "count": count} for group, count in most]

    def encoded_connections(self) -> list[str]:
        """The connections, each as JSON."""
        encoded = []
        for connection in connections.listed(self.connections):
            encoded.append(encode(connection))
            self._pace()
        return encoded

    def details(self) -> list[str]:
        """The most interesting tasks, each as JSON: whole dicts would keep the garbage collector busy."""
        encoded = []
        for ident in self._chosen():
            record = self._records.by_id.get(ident)
            try:
                told = self._detail(record) if record is not None else None
                if told is not None:
                    encoded.append(told)
            except Exception:
                # As in `over_tasks`.
                continue
            self._pace()
        return encoded

    def _chosen(self) -> list[int]:
        # Oldest first, but for numbers that are used again.
        known = self._records.by_id
        if len(known) <= _MOST:
            return sorted(known, key=self._began)
        chosen = {self._running} | self._subjects
        chosen.update(heapq.nlargest(_CHOSEN // 2, known, key=lambda ident: known[ident].busy))
        chosen &= known.keys()
        for ident in known:
            if len(chosen) >= _CHOSEN:
                break
            chosen.add(ident)
        return sorted(chosen, key=self._began)[:_CHOSEN]

    def _began(self, ident: int) -> float:
        record = self._records.by_id.get(ident)
        return record.first_seen if record is not None else 0.0

    def _detail(self, record: Record) -> str | None:
        task = record.reference()
        if task is None:
            return None
        told = None if tasks.is_done(task) else self._tell(task, record)
        tasks.lend(task, self._loop)
        return told

    def _tell(self, task: Any, record: Record) -> str:
        ident = id(task)
        coroutine = tasks.attribute(task, "_coro")
        links, _ = chains.links(coroutine)
        shape = self._shapes.of(links, coroutine)
        future = tasks.attribute(task, "_fut_waiter")
        if chains.is_running(coroutine):
            state = "running"
            waiting: Details = {"kind": "none", "text": "runs"}
            frames = chains.frames_of(links)
            frames = chains.running_frames(frames[0] if frames else None, self._thread) or frames
            place = waits.Place(frames, shape)
        else:
            waiting = waits.describe(shape, links, future, self)
            state = "ready" if waiting["kind"] == "ready" else "waiting"
            if tasks.cancelling(task):
                state = "cancelling"
            place = shape.place(links)
        told = {
            "id": ident,
            "name": tasks.name_of(task),
            "coroutine": shape.coroutine,
            "file": place.file,
            "line": place.line,
            "state": state,
            "waits": waiting,
            "waits_for": record.edges[0] if len(record.edges) == 1 else None,
            "awaited_by": self._awaited_by.get(ident, []),
            "age": round(self._monotonic - record.first_seen, 3),
            "age_is_at_least": not record.is_new,
            "busy": record.busy / 1e9,
            "scheduled": record.scheduled / 1e9,
            "steps": record.steps,
        }
        return f'{encode(told)[:-1]},"stack":{place.stack}}}'

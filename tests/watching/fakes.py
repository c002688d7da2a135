"""Pages without a process: what `_epicycle.Page` has, with values that a test chooses."""

import json
import os
import time

from epicycle.watching.outside.find import Found, Process


class FakePage:
    """A page whose `now` stands still until it is moved; `answers` makes ringing bring a fresh snapshot."""

    def __init__(self, pid=None, loop=1, tasks=(), connections=(), lints=(), groups=(), **facts):
        self.now = 100.0
        self.answers = True
        self.rung = 0
        self.recorded = []
        self.closed = False
        self.tasks = list(tasks)
        self.connections = list(connections)
        self.lints = list(lints)
        self.groups = list(groups)
        self._counters = {
            "turns": 10,
            "callbacks": 100,
            "steps": 50,
            "parks": 9,
            "opened_tcp": 3,
            "closed_tcp": 1,
        }
        self._lateness = [0] * 64
        self._stalls = []
        self._events = []
        self._stack = [("/usr/lib/python3.11/re/__init__.py", "match", 166), ("/srv/app.py", "work", 12)]
        self._snapshot = None
        self._facts = {
            "layout": 1,
            "pid": os.getpid() if pid is None else pid,
            "loop": loop,
            "epicycle": "9.9",
            "python": "3.13.1",
            "created": 1_000_000.0,
            "created_ns": 40_000_000_000,
            "thread": 4711,
            "state": "parked",
            "tick": 100,
            "runs": "",
            "watching": 0,
            "recording": False,
            "agent": False,
        } | facts

    def pass_time(self, seconds, **more):
        """Let time go by, and the counters and facts that are named go up by so much."""
        self.now += seconds
        for name, by in more.items():
            if name in self._facts:
                self._facts[name] += by
            else:
                self._counters[name] = self._counters.get(name, 0) + by

    def become(self, **facts):
        self._facts |= facts

    def get_stuck(self):
        self.become(state="running", runs="task")
        self.answers = False

    def stall(self, **more):
        entry = {
            "number": len(self._stalls) + 1,
            "began": time.time(),
            "began_ns": int(self.now * 1e9),
            "lasted": 2.5,
            "over": True,
            "kind": "blocked",
            "cause": "python",
            "detail": "",
            "what": "step of Task-7",
            "task": "Task-7",
            "coroutine": "app.work",
            "file": "/srv/app.py",
            "line": 12,
            "stack": [["/usr/lib/python3.11/re/__init__.py", "match", 166], ["/srv/app.py", "work", 12]],
            "awaits": ["main", "work"],
        } | more
        self._stalls.append(entry)
        return entry

    def late(self, bucket, count):
        self._lateness[bucket] += count

    def event(self, kind, name="", value=0, at=None):
        number = len(self._events)
        at = (number + 1) * 1000 if at is None else at
        self._events.append((number, at, kind, name, value))

    def answer(self, **more):
        """Tell the tasks as the agent of the process would."""
        told = {
            "version": 1,
            "time": time.time(),
            "pid": self._facts["pid"],
            "loop": self._facts["loop"],
            "took": 0.0,
            "tasks": {"total": len(self.tasks), "groups": self.groups, "list": self.tasks},
            "connections": {"total": len(self.connections), "list": self.connections},
            "lints": self.lints,
        } | more
        self.answer_text(json.dumps(told).encode())

    def answer_text(self, text):
        number = self._snapshot[0] + 1 if self._snapshot else 1
        self._snapshot = (number, int(self.now * 1e9), text)

    def facts(self):
        return self._facts | {"now_ns": int(self.now * 1e9)}

    def counters(self):
        return dict(self._counters)

    def lateness(self):
        return list(self._lateness)

    def stalls(self):
        return [dict(stall) for stall in self._stalls]

    def events(self, after=0):
        return len(self._events), self._events[after:]

    def snapshot(self):
        return self._snapshot

    def stack(self):
        return list(self._stack)

    def ring(self):
        self.rung += 1
        if self.answers:
            self.answer()

    def record(self, seconds):
        self.recorded.append(seconds)
        if self.answers:
            self.become(recording=True)

    def close(self):
        self.closed = True


def task(number, name=None, waits="timer", **more):
    """A task as the agent tells it."""
    return {
        "id": number,
        "name": name or f"Task-{number}",
        "coroutine": "app.work",
        "file": "/srv/app.py",
        "line": number,
        "state": "waiting",
        "waits": {"kind": waits, "text": f"a {waits}"},
        "waits_for": None,
        "awaited_by": [],
        "stack": ["/srv/app.py:1 main", f"/srv/app.py:{number} work"],
        "age": 10.0,
        "age_is_at_least": False,
        "busy": 0.0,
        "scheduled": 0.0,
        "steps": 1,
    } | more


def connection(fd, **more):
    """A connection as the agent tells it."""
    return {
        "kind": "tcp",
        "fd": fd,
        "local": "127.0.0.1:8000",
        "peer": f"127.0.0.1:{50000 + fd}",
        "buffer": 0,
        "limits": [16384, 65536],
        "reading": True,
        "writing_paused": False,
        "slow": "",
    } | more


class FakeProcess(Process):
    """A process whose state a test chooses."""

    def state(self):
        return STATES.get(self.pid, "running")


# By process number.
STATES = {}


def found(*pages, state="running", command=("python", "app.py")):
    """A process with these pages, or with one that has nothing special."""
    pages = list(pages) or [FakePage()]
    pid = pages[0].facts()["pid"]
    STATES[pid] = state
    return Found(FakeProcess(pid, 1, list(command), "python", (pid,)), pages)

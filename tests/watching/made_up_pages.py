"""A page made up of known numbers, for tests of what is made out of them."""

import contextlib
import types

from epicycle.loop import EventLoop

COUNTERS = {
    "turns": 11,
    "callbacks": 22,
    "steps": 17,
    "events": 5,
    "stale_events": 1,
    "timers_scheduled": 9,
    "timers_cancelled": 2,
    "timers_fired": 6,
    "parks": 8,
    "wakes": 3,
    "accepts": 4,
    "bytes_in": 123456789012345,
    "bytes_out": 77,
    "executor_jobs": 13,
    "dns_lookups": 12,
    "stalls": 40,
    "opened_tcp": 10,
    "closed_tcp": 7,
    "opened_unix": 1,
    "closed_unix": 1,
    "opened_tls": 2,
    "closed_tls": 0,
    "opened_udp": 0,
    "closed_udp": 0,
    "opened_pipe": 5,
    "closed_pipe": 3,
}

FACTS = {
    "layout": 1,
    "pid": 4321,
    "loop": 7,
    "epicycle": '0.1.0 "beta"\\\n',
    "python": "3.11.7",
    "created": 1764396000.25,
    "created_ns": 10,
    "now_ns": 20,
    "thread": 4321,
    "state": "parked",
    "tick": 22,
    "runs": "",
    "watching": 0.1,
    "recording": False,
    "agent": False,
}


def stall(number, **changes):
    """A stall as a page has it."""
    return {
        "number": number,
        "began": 1764396010.5,
        "lasted": 0.75,
        "over": True,
        "kind": "blocked",
        "cause": "python",
        "detail": "",
        "what": "task",
        "task": "Task-1",
        "coroutine": "main",
        "file": "/app/work.py",
        "line": 12,
        "stack": [["/usr/lib/python3.11/json/decoder.py", "decode", 337], ["/app/work.py", "handle", 12]],
        "awaits": [],
    } | changes


def lateness(**counts):
    """64 buckets, given as ``b10=3``."""
    return [counts.get(f"b{i}", 0) for i in range(64)]


def page(facts=None, counters=None, buckets=None, stalls=()):
    return types.SimpleNamespace(
        facts=lambda: FACTS | (facts or {}),
        counters=lambda: COUNTERS | (counters or {}),
        lateness=lambda: lateness(b9=5, b12=3, b20=2, b40=1) if buckets is None else buckets,
        stalls=lambda: list(stalls),
    )


class Watched(EventLoop):
    """A loop whose page says what the test wants."""

    def __init__(self, page):
        super().__init__()
        self.page = page

    def _page(self):
        return self.page


@contextlib.contextmanager
def watched(*args, **kwargs):
    """A loop with the page made of the arguments."""
    loop = Watched(page(*args, **kwargs))
    try:
        yield loop
    finally:
        loop.close()

"""Whole programs of the time: what they print, which is what Python 3.6 makes of them, and what is said of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"

PRINTS = {
    "current_task": """\
        True True 3
        True
        None
        True 2
        True True True
        True False False
        """,
    "generators": """\
        1 + 2 = 3
        3
        plain
        5
        from a future
        native
        10 + 20 = 30
        30
        hello world
        3 + 4 = 7
        True 7
        5 + 6 = 11
        True 11
        7 + 8 = 15
        15
        async
        [2, 'native', 4]
        ValueError: from a generator
        cancelled
        and seen so: True
        42
        cancelled
        timed out
        True True
        False False
        """,
    "locks": """\
        False ['in', 'out', 'in', 'out', 'in', 'out'] 6
        False ['in', 'out', 'in', 'out', 'in', 'out'] 6
        False ['in', 'out', 'in', 'out', 'in', 'out'] 6
        Queue [2, 3, 1]
        LifoQueue [1, 3, 2]
        PriorityQueue [1, 2, 3]
        Job [1, 2, 3]
        ['notified', 'event']
        """,
    "outside_a_loop": """\
        True True True
        ['future', 'item']
        in another thread: RuntimeError
        """,
    "own_loop": """\
        [1, 2]
        []
        3
        item
        no current loop
        """,
    "plain_generators": """\
        waited for it
        waited for it
        waited for it
        1 0
        """,
    "standard_library": """\
        True 1
        True True
        ['a', 'b'] args kwargs (2,)
        (a, b=2, *args, **kwargs)
        MainThread True
        6 b'YWJj\\n' b'abc'
        True True
        """,
    "streams": """\
        b'HELLO\\n'
        b'fed\\n'
        """,
    "subprocesses": """\
        (0, b'from the child\\n')
        """,
    "waiting": """\
        Task A: factorial(2) = 2
        [2] set()
        Task B: factorial(3) = 6
        Task B: factorial(3) = 6
        [6, 6] set()
        Task C: factorial(4) = 24
        [24]
        []
        Task D: factorial(3) = 6
        6
        Task E: factorial(3) = 6
        6
        timed out
        Task f: factorial(2) = 2
        Task g: factorial(3) = 6
        [2, 6]
        (1, 1, True)
        """,
}

# Each program's revivals, by how the notice begins.
SAYS = {
    "current_task": [
        "@asyncio.coroutine",
        "asyncio.Task.all_tasks()",
        "asyncio.Task.current_task()",
        "asyncio.get_event_loop() outside a running loop",
    ],
    "generators": ["@asyncio.coroutine", "asyncio.async"],
    "locks": [
        "'with (yield from condition)' or 'with await condition'",
        "'with (yield from lock)' or 'with await lock'",
        "'with (yield from semaphore)' or 'with await semaphore'",
        "@asyncio.coroutine",
        "asyncio.get_event_loop() outside a running loop",
        "the loop argument of asyncio.BoundedSemaphore()",
        "the loop argument of asyncio.Condition()",
        "the loop argument of asyncio.Event()",
        "the loop argument of asyncio.Lock()",
        "the loop argument of asyncio.Queue()",
        "the loop argument of asyncio.Semaphore()",
    ],
    "outside_a_loop": ["asyncio.get_event_loop() outside a running loop"],
    "own_loop": [
        "the loop argument of asyncio.Lock()",
        "the loop argument of asyncio.Queue()",
        "the loop argument of asyncio.gather()",
        "the loop argument of asyncio.shield()",
    ],
    "plain_generators": ["a generator in the place of a coroutine"],
    "standard_library": [
        "base64.decodestring",
        "base64.encodestring",
        "collections.Callable",
        "collections.Mapping",
        "collections.MutableMapping",
        "fractions.gcd",
        "inspect.formatargspec",
        "inspect.getargspec",
        "os.errno",
        "time.clock",
    ],
    "streams": [
        "@asyncio.coroutine",
        "asyncio.get_event_loop() outside a running loop",
        "the loop argument of asyncio.open_connection()",
        "the loop argument of asyncio.start_server()",
    ],
    "waiting": [
        "@asyncio.coroutine",
        "asyncio.get_event_loop() outside a running loop",
        "giving coroutines to asyncio.wait()",
        "the loop argument of asyncio.as_completed()",
        "the loop argument of asyncio.gather()",
        "the loop argument of asyncio.shield()",
        "the loop argument of asyncio.sleep()",
        "the loop argument of asyncio.wait()",
        "the loop argument of asyncio.wait_for()",
    ],
}

NOTICE = re.compile(
    r"^(?P<file>.+):(?P<line>\d+): LegacyWarning: (?P<old>.+) belongs to older Pythons; today use .+$"
)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def test_every_program_is_tried():
    assert {path.stem for path in PROGRAMS.glob("*.py")} == set(PRINTS)


@pytest.mark.parametrize("name", PRINTS)
def test_program_runs(name, legacy):
    completed = legacy(f"{name}.py", options=("-W", "ignore"))
    if "NotImplementedError" in completed.stderr:
        pytest.skip(completed.stderr.splitlines()[-1])
    assert completed.returncode == 0, completed.stderr
    assert completed.stderr == ""
    assert completed.stdout.splitlines() == lines(PRINTS[name])


@pytest.mark.parametrize("name", SAYS)
def test_each_revival_is_said_once_with_the_programs_line(name, legacy):
    completed = legacy(f"{name}.py")
    assert completed.returncode == 0, completed.stderr
    notices = [found for found in map(NOTICE.match, completed.stderr.splitlines()) if found]
    assert sorted(found["old"] for found in notices) == SAYS[name]
    source = (PROGRAMS / f"{name}.py").read_text().splitlines()
    shown = completed.stderr.splitlines()
    for found in notices:
        assert found["file"] == str(PROGRAMS / f"{name}.py")
        # Python shows the line after the notice.
        assert shown[shown.index(found.string) + 1].strip() == source[int(found["line"]) - 1].strip()


@pytest.mark.parametrize("name", sorted(set(PRINTS) - {"plain_generators", "outside_a_loop", "own_loop"}))
def test_program_fails_without_the_legacy_mode(name, legacy):
    """Otherwise it shows nothing."""
    completed = legacy(f"{name}.py", mode=(), options=("-W", "ignore"))
    assert completed.returncode == 1
    assert completed.stderr.startswith("Traceback")

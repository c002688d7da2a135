"""Another process, read while its interpreter cannot help."""

import os
import pathlib
import signal
import time

import pytest

from epicycle import _epicycle

BACKTRACKING = """
import re

def stuck():
    text = "a" * 60 + "b"
    ready()
    return re.search("(a+)+$", text)

def outer():
    stuck()

outer()
"""


def read_until(target, wanted, seconds=30.0):
    """The stack as soon as `wanted(stack)` is true."""
    deadline = time.monotonic() + seconds
    while True:
        rows = target.stack()
        if wanted(rows):
            return rows
        assert time.monotonic() < deadline, rows
        time.sleep(0.001)


def test_a_regular_expression_that_holds_the_interpreter(target):
    it = target(BACKTRACKING)
    rows = read_until(it, lambda rows: rows and rows[0][1] == "search")
    file = it.process.args[1]
    lines = [line.strip() for line in pathlib.Path(file).read_text(encoding="utf-8").splitlines()]
    assert rows[0][0].endswith(("re/__init__.py", "re.py"))
    assert [(row[0], row[1], lines[row[2] - 1]) for row in rows[1:]] == [
        (file, "stuck", 'return re.search("(a+)+$", text)'),
        (file, "outer", "stuck()"),
        (file, "<module>", "outer()"),
    ]
    assert it.stack() == rows


NAMED = """
def café():
    def λόγος():
        def 𐌰𐌹𐌽𐍃():
            ready()
            sys.stdin.read()
        𐌰𐌹𐌽𐍃()
    λόγος()

café()
"""


@pytest.mark.parametrize("file", ["plain.py", "déjà.py", "файл.py", "𐌰 😀.py"])
def test_names_of_every_width(target, file):
    it = target(NAMED, name=file)
    rows = read_until(it, lambda rows: rows and "ready" not in rows[0][1])
    assert [(os.path.basename(row[0]), row[1]) for row in rows] == [
        (file, "café.<locals>.λόγος.<locals>.𐌰𐌹𐌽𐍃"),
        (file, "café.<locals>.λόγος"),
        (file, "café"),
        (file, "<module>"),
    ]


@pytest.mark.parametrize("letter", ["a", "é", "λ", "𐌰"])
def test_of_a_long_name_the_end(target, letter):
    name = letter * 600 + "end"
    it = target(f"def {name}():\n    ready()\n    sys.stdin.read()\n{name}()\n")
    rows = read_until(it, lambda rows: rows and "ready" not in rows[0][1])
    assert rows[0][1] == "…" + name[-255:]


def test_a_thread_of_another_process(target):
    it = target("""
def body():
    ready()
    sys.stdin.read()

thread = threading.Thread(target=body)
thread.start()
thread.join()
""")
    rows = read_until(it, lambda rows: rows and rows[0][1] == "body")
    assert [row[1] for row in rows] == ["body", "Thread.run", "Thread._bootstrap_inner", "Thread._bootstrap"]


def test_a_process_that_has_ended(target):
    it = target("ready()\nsys.stdin.read()\n")
    assert it.stack()
    os.kill(it.pid, signal.SIGKILL)
    os.waitid(os.P_PID, it.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessLookupError):
        it.stack()
    it.process.wait(20)
    with pytest.raises(ProcessLookupError):
        it.stack()


def test_the_layout_of_two_processes_is_the_same_but_for_the_types(target, layout):
    it = target("ready()\nsys.stdin.read()\n")
    same = [(a, b) for a, b in zip(it.layout, layout, strict=True) if a < 2**16 or a == 2**64 - 1]
    assert len(same) >= len(layout) - 4
    assert all(a == b for a, b in same)


def test_the_layout_names_the_version(layout):
    import sys

    assert layout[1] >> 8 == sys.hexversion >> 8
    assert _epicycle.frame_layout() == layout

"""What is read, compared with what the interpreter says."""

import os
import subprocess
import sys

import pytest

from epicycle import _epicycle


def expected(frame):
    """The stack from `frame` outwards as `read_stack` gives it."""
    rows = []
    while frame is not None:
        rows.append((frame.f_code.co_filename, frame.f_code.co_qualname, frame.f_lineno or 0))
        frame = frame.f_back
    return rows


@pytest.fixture(scope="session")
def layout():
    return _epicycle.frame_layout()


@pytest.fixture
def own(layout):
    """Reads a thread of this process by its state's address."""
    return lambda state: _epicycle.read_stack(os.getpid(), state, layout)


# Printed by a target when it stands where it should be read; what follows keeps it there.
PREFACE = """
import os, sys, threading
from epicycle import _epicycle

def ready(state=None):
    print(state or _epicycle.thread_state(), *_epicycle.frame_layout(), flush=True)

"""


class Target:
    """A process to be read: its number, the address of a thread state, its layout."""

    def __init__(self, script, *, where, environment=None):
        where.write_text(PREFACE + script, encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, str(where)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )
        self.pid = self.process.pid

    def meet(self):
        """Wait until the target is ready."""
        line = self.process.stdout.readline()
        assert line, f"the target ended with {self.process.wait(10)}"
        self.state, *self.layout = map(int, line.split())
        return self

    def stack(self):
        return _epicycle.read_stack(self.pid, self.state, self.layout)

    def end(self):
        self.process.kill()
        self.process.wait(20)
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def target(tmp_path):
    """Starts a script as another process, with `ready()`, which is met before it is handed out."""
    started = []

    def start(script, name="target.py"):
        it = Target(script, where=tmp_path / name)
        started.append(it)
        return it.meet()

    yield start
    for it in started:
        it.end()

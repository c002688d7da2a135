"""The benchmark run short: whether it measures, not what comes out."""

import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

# Beyond what any short run takes, also on a busy machine.
FOREVER = 100


@pytest.fixture
def bench():
    """Run ``epicycle bench ARGUMENTS``, or another command in its place."""

    def bench(*arguments, command=("-m", "epicycle", "bench"), env=None):
        return subprocess.run(
            [sys.executable, *command, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=FOREVER,
            env=os.environ | (env or {}),
        )

    return bench


@pytest.fixture
def failing_bench(bench):
    """Run a command line that is wrong and return the one line that says how."""

    def failing_bench(*arguments):
        completed = bench(*arguments)
        assert completed.returncode == 2, completed
        assert completed.stdout == ""
        said, hint = completed.stderr.splitlines()
        assert hint == "Try 'epicycle bench --help' for more."
        return said.removeprefix("epicycle: ")

    return failing_bench

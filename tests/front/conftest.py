"""Each test of what holds for a whole process has a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

UNWANTED = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS")


@pytest.fixture
def process() -> Callable[[str], str]:
    """Run a piece of code in a new interpreter where every warning is an error; return what it prints."""

    def run(code: str, *options: str) -> str:
        completed = subprocess.run(
            [sys.executable, "-W", "error", *options, "-c", textwrap.dedent(code)],
            env={name: value for name, value in os.environ.items() if name not in UNWANTED},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (completed.returncode, completed.stderr) == (0, "")
        return completed.stdout

    return run

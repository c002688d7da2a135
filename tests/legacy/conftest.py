"""Programs of 2014-2019, run by ``epicycle run --legacy``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
UNWANTED = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS")
FOREVER = 120


@pytest.fixture
def legacy(tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program, the text of one or the name of one of ``programs/``, in legacy mode."""

    def run(
        program: str, *arguments: str, options: tuple[str, ...] = (), mode: tuple[str, ...] = ("--legacy",)
    ) -> subprocess.CompletedProcess[str]:
        path = PROGRAMS / program
        if "\n" in program:
            path = tmp_path / "program.py"
            path.write_text(program)
        return subprocess.run(
            [sys.executable, *options, "-m", "epicycle", "run", *mode, str(path), *arguments],
            env={name: value for name, value in os.environ.items() if name not in UNWANTED},
            capture_output=True,
            text=True,
            timeout=FOREVER,
        )

    return run

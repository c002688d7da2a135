"""Programs run by ``python`` and by ``epicycle run``, side by side."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

Completed = subprocess.CompletedProcess[str]
Launch = Callable[..., Completed]

# What would make the two sides differ, or the outcome depend on who runs the tests.
UNWANTED = (
    "PYTHONASYNCIODEBUG",
    "PYTHONDEVMODE",
    "PYTHONSAFEPATH",
    "PYTHONWARNINGS",
    "PYTHONBREAKPOINT",
    "FORCE_COLOR",
    "PYTHON_COLORS",
)
# A program that does not end is a failure; this is far beyond what any takes.
FOREVER = 120


@pytest.fixture
def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in UNWANTED}


@pytest.fixture
def python(environment: dict[str, str]) -> Launch:
    """Run ``python ARGUMENTS``."""

    def launch(*arguments: str | Path, cwd: Path | None = None, stdin: str = "") -> Completed:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=FOREVER,
        )

    return launch


@pytest.fixture
def epicycle(python: Launch) -> Launch:
    """Run ``epicycle ARGUMENTS``, the interpreter's own options first."""

    def launch(
        *arguments: str | Path, options: tuple[str, ...] = (), cwd: Path | None = None, stdin: str = ""
    ) -> Completed:
        return python(*options, "-m", "epicycle", *arguments, cwd=cwd, stdin=stdin)

    return launch


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a program below the test's folder and return its path."""

    def write(name: str, source: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    return write

"""The types that a user's checker sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import epicycle

pytest.importorskip("mypy", reason="mypy is not installed")

GOOD = """
import asyncio
from typing import assert_type

import epicycle


async def main(number: int) -> str:
    return str(number)


assert_type(epicycle.run(main(1)), str)
assert_type(epicycle.run(main(1), debug=True, loop_factory=epicycle.new_event_loop), str)
assert_type(epicycle.run(main(1), nested=True), str)
assert_type(epicycle.new_event_loop(), epicycle.EventLoop)
nested: epicycle.EventLoop = epicycle.NestedEventLoop()
assert_type(epicycle.installed(), bool)
assert_type(epicycle.__version__, str)
loop: asyncio.AbstractEventLoop = epicycle.EventLoop()
policy: asyncio.AbstractEventLoopPolicy = epicycle.EventLoopPolicy()
with asyncio.Runner(loop_factory=epicycle.new_event_loop) as runner:
    assert_type(runner.run(main(2)), str)
epicycle.install()
epicycle.uninstall()
"""

BAD = """
import epicycle

epicycle.run(1)
epicycle.run(main=None, fast=True)
epicycle.new_event_loop(1)
epicycle.install(True)
"""


@pytest.fixture
def check(tmp_path):
    def check(source: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "program.py"
        path.write_text(source)
        command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent"]
        folder = Path(epicycle.__file__).parent.parent
        # mypy finds installed packages by itself and does not want to be told of them.
        found = {} if folder.name == "site-packages" else {"MYPYPATH": str(folder)}
        return subprocess.run(
            [*command, str(path)],
            cwd=tmp_path,
            env=os.environ | found,
            capture_output=True,
            text=True,
            timeout=600,
        )

    return check


def test_right_use_passes(check):
    completed = check(GOOD)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_wrong_use_is_found(check):
    lines = [line for line in check(BAD).stdout.splitlines() if ": error:" in line]
    assert sorted({int(line.split(":")[1]) for line in lines}) == [4, 5, 6, 7]

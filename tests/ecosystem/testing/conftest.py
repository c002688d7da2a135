"""Projects of their own for the testing tools: files in a folder, and a process that runs them."""

import os
import subprocess
import sys
import textwrap

import pytest

# What would change the loops of the project, or what is printed.
UNWANTED = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS", "PYTEST_ADDOPTS", "FORCE_COLOR")


class Project:
    """A folder with files, and commands run in it."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, **files):
        """Each file's name without its ending, which is .py, and its text."""
        for name, text in files.items():
            (self.folder / f"{name}.py").write_text(textwrap.dedent(text))

    def run(self, *command):
        environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=environment | {"IPYTHONDIR": str(self.folder / "ipython")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
        )

    def pytest(self, *options, run_by=("-m", "pytest")):
        """What happened to the project's tests: a number for each outcome."""
        (self.folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
        done = self.run(*run_by, "-p", "no:cacheprovider", "-q", "-rA", *options)
        assert done.returncode in (0, 1), done.stdout
        words = [line.split(" ", 1)[0] for line in done.stdout.splitlines()]
        outcomes = [word for word in words if word in ("PASSED", "FAILED", "ERROR")]
        return {name: outcomes.count(name) for name in set(outcomes)}, done.stdout


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)

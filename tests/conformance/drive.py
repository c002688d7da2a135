"""Runs test modules in processes of their own, and goes on after a test that hangs or brings its process down."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass
class Settings:
    """How test modules are run. Limits are in seconds."""

    python: str
    package: str
    loop: str
    exclusions: Path
    kinds: Sequence[str] = ()
    match: str = ""
    run_all: bool = False
    test_limit: float = 30.0
    module_limit: float = 900.0


@dataclass
class Result:
    """The outcome of one test: passed, failed, error, timeout or skipped; unrun where it is listed as such."""

    id: str
    outcome: str
    message: str = ""
    seconds: float = 0.0
    loops: int = 0
    entry: dict[str, str] | None = None

    @property
    def bad(self) -> bool:
        """Whether it neither passed nor was left out."""
        return self.outcome in ("failed", "error", "timeout")


@dataclass
class ModuleRun:
    """One module's results, in the order of the tests, and what its processes wrote."""

    name: str
    results: dict[str, Result] = field(default_factory=dict)
    output: str = ""
    seconds: float = 0.0


def modules_of(python: str, package: str) -> list[str]:
    """The test modules of a package as that interpreter has them, the biggest first.

    Raises ModuleNotFoundError where it has no such package, RuntimeError where the interpreter does not start.
    """
    code = (
        "import importlib, os, sys\n"
        "try: package = importlib.import_module(sys.argv[1])\n"
        "except ModuleNotFoundError as error: sys.exit('missing ' + error.name)\n"
        "files = [e for p in package.__path__ for e in os.scandir(p) if e.name.startswith('test_')]\n"
        "files = [e for e in files if e.name.endswith('.py')]\n"
        "print('modules', *(e.name[:-3] for e in sorted(files, key=lambda e: -e.stat().st_size)))\n"
    )
    done = subprocess.run([python, "-c", code, package], capture_output=True, text=True)
    if done.returncode == 1 and done.stderr.startswith("missing "):
        raise ModuleNotFoundError(done.stderr.split()[1], name=done.stderr.split()[1])
    if done.returncode != 0:
        raise RuntimeError(f"{python} does not start:\n{done.stderr}")
    names = done.stdout.split()[1:]
    if not names:
        raise ModuleNotFoundError(package, name=package)
    return names


def run_module(settings: Settings, name: str, ids: Sequence[str] | None = None) -> ModuleRun:
    """Run one module, or only the tests of it whose ids are given."""
    run = ModuleRun(name)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        _Attempts(settings, run, Path(folder), ids).all()
    run.seconds = time.monotonic() - began
    return run


class _Attempts:
    """The processes that one module takes: another one after each test that ended its process."""

    def __init__(self, settings: Settings, run: ModuleRun, folder: Path, ids: Sequence[str] | None) -> None:
        self.settings = settings
        self.run = run
        self.folder = folder
        self.ids = ids
        self.deadline = time.monotonic() + settings.module_limit
        self.waiting: list[str] = []

    def all(self) -> None:
        while self._one():
            pass

    def _one(self) -> bool:
        """Run what is left. Tells whether another process has to go on."""
        events_file = self.folder / "events"
        dump = self.folder / "dump"
        for file in (events_file, dump):
            file.write_bytes(b"")
        status = self._process(events_file, dump)
        running = ended = None
        for line in events_file.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            match event["event"]:
                case "loaded":
                    self._loaded(event["tests"])
                case "start":
                    running = event["id"]
                case "result":
                    running = None
                    self._result(event)
                case "skipped" | "broken" as ended:
                    outcome = "skipped" if ended == "skipped" else "error"
                    self._note(Result(f"{self.settings.package}.{self.run.name}", outcome, event["message"]))
                case "end":
                    ended = "end"
        if ended == "end" and status == 0:
            for test_id in list(self.waiting):
                self._note(Result(test_id, "error", "the module ended without running it"))
            return False
        if ended in ("skipped", "broken"):
            for test_id in list(self.waiting):
                self._note(Result(test_id, "error", "the module broke off before it"))
            return False
        return self._died(running, ended == "end", status, dump.read_text(encoding="utf-8", errors="replace"))

    def _process(self, events_file: Path, dump: Path) -> int | None:
        """Run the child process to its end. Its exit status, None if it outlived the module's limit."""
        done = self.folder / "done"
        done.write_text("\n".join(self.run.results), encoding="utf-8")
        command = [self.settings.python, str(HERE / "child.py"), f"--done={done}"]
        command += [f"--module={self.settings.package}.{self.run.name}", f"--loop={self.settings.loop}"]
        command += [f"--events={events_file}", f"--dump={dump}", f"--limit={self.settings.test_limit}"]
        command += [f"--exclusions={self.settings.exclusions}", f"--kinds={','.join(self.settings.kinds)}"]
        command += [f"--match={self.settings.match}", *(["--run-all"] if self.settings.run_all else [])]
        if self.ids is not None:
            only = self.folder / "ids"
            only.write_text("\n".join(self.ids), encoding="utf-8")
            command.append(f"--ids={only}")
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        with open(self.folder / "output", "wb") as output:
            process = subprocess.Popen(
                command, cwd=work, env=_environment(), stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
            ended = _ended(process, max(1.0, self.deadline - time.monotonic()))
            # The session is the child's own: this ends what its tests left behind as well. The child is not reaped
            # before, so that its number still means it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        self.run.output += (self.folder / "output").read_text(encoding="utf-8", errors="replace")
        return status if ended else None

    def _loaded(self, tests: list[dict[str, Any]]) -> None:
        """Take up the module's tests; those listed as not to be run are done at once."""
        self.entries = {row["id"]: row["entry"] for row in tests}
        for row in tests:
            if row["unrun"]:
                self._note(Result(row["id"], "unrun"))
        self.waiting = [row["id"] for row in tests if row["id"] not in self.run.results]

    def _result(self, event: dict[str, Any]) -> None:
        fields = {name: event[name] for name in ("id", "outcome", "message", "seconds", "loops")}
        self._note(Result(**fields))

    def _note(self, result: Result) -> None:
        """Keep a result, and the worse one where two tests share an id."""
        if result.id in self.waiting:
            self.waiting.remove(result.id)
        elif result.id in self.run.results and not result.bad:
            return
        result.entry = getattr(self, "entries", {}).get(result.id)
        self.run.results[result.id] = result

    def _died(self, running: str | None, at_exit: bool, status: int | None, dump: str) -> bool:
        """Lay the end of a process at the door of the test it was running, or was about to run."""
        place = "" if running else " outside a test" if not at_exit else " at exit"
        if status is None:
            outcome, message = "timeout", f"the module took longer than {self.settings.module_limit:g} s"
        elif "Timeout (" in dump:
            outcome, message = "timeout", f"took longer than {self.settings.test_limit:g} s{place}\n{dump}"
        elif status < 0:
            outcome, message = "error", f"ended the process by {signal.Signals(-status).name}{place}\n{dump}"
        else:
            outcome, message = "error", f"ended the process with status {status}{place}\n{dump}"
        if running is None and (at_exit or not self.waiting):
            self._note(Result(f"{self.settings.package}.{self.run.name} (process)", outcome, message))
            return False
        self._note(Result(running or self.waiting[0], outcome, message))
        if status is None:
            for test_id in list(self.waiting):
                self._note(Result(test_id, "timeout", "not reached within the module's time"))
        return bool(self.waiting)


def _ended(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for a child to end, without reaping it, for at most so many seconds. Whether it ended."""
    descriptor = os.pidfd_open(process.pid)
    try:
        return bool(select.select([descriptor], [], [], timeout)[0])
    finally:
        os.close(descriptor)


def _environment() -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONASYNCIODEBUG", "PYTHONSAFEPATH")}
    paths = [str(Path(p).resolve()) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    if paths:
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment


def version_of(python: str) -> tuple[tuple[int, int], str]:
    """An interpreter's version: as (3, minor), and in full."""
    code = "import platform, sys; print(*sys.version_info[:2], platform.python_version())"
    major, minor, text = subprocess.check_output([python, "-c", code], text=True).split()
    return (int(major), int(minor)), text


def last_line(message: str) -> str:
    """The line of a traceback that says what went wrong."""
    lines = [line for line in message.splitlines() if line.strip()]
    if not lines:
        return ""
    if re.match(r"(took longer|ended the process|the module|not reached)", lines[0]):
        return lines[0]
    said = [
        line
        for line in lines
        if re.match(r"[A-Za-z_.]+(Error|Exception|Warning|Exit|Interrupt|Iteration)\b", line)
    ]
    return (said or lines)[-1].strip()


assert sys.version_info >= (3, 11), "CPython 3.11 or later is needed"

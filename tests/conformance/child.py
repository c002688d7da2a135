"""Runs one test module in this process and writes what happens to a file, one JSON object a line.

Started by the driver, once a module and again after each test that hung or brought the process down.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import os
import signal
import sys
import time
import traceback
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adapt
import exclusions

# What the interpreter's tests may use; not the network beyond this machine.
RESOURCES = ("cpu", "largefile", "subprocess", "walltime")


class Events:
    """The file of results. Forked children of a test share it and stay silent."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._pid = os.getpid()

    def write(self, event: str, **fields: Any) -> None:
        if os.getpid() == self._pid:
            os.write(self._fd, json.dumps({"event": event, **fields}).encode() + b"\n")


class Watchdog:
    """Ends the process when one test takes longer than its limit: from outside Python, so that it needs no lock."""

    def __init__(self, limit: float, dump_path: str) -> None:
        self._limit = limit
        self._dump = os.open(dump_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        faulthandler.enable(self._dump)

    def restart(self) -> None:
        faulthandler.dump_traceback_later(self._limit, exit=True, file=self._dump)


class Collector(unittest.TestResult):
    """Notes the outcome of each test, the worst of its subtests, and how many loops under test it made."""

    def __init__(self, events: Events, watchdog: Watchdog, adapter: adapt.Adapter, ids: list[str]) -> None:
        super().__init__()
        self._events = events
        self._watchdog = watchdog
        self._adapter = adapter
        self._waiting = set(ids)
        self._forget()

    def startTest(self, test: unittest.TestCase) -> None:
        self._watchdog.restart()
        self._forget()
        self._events.write("start", id=test.id())

    def stopTest(self, test: unittest.TestCase) -> None:
        self._waiting.discard(test.id())
        self._events.write(
            "result",
            id=test.id(),
            outcome=self._outcome or "passed",
            message=self._message,
            seconds=round(time.monotonic() - self._begun, 3),
            loops=self._adapter.loops - self._loops,
        )
        # Some versions skip a class without a word about its tests beginning.
        self._forget()
        self._watchdog.restart()

    def _forget(self) -> None:
        self._outcome = self._message = ""
        self._begun = time.monotonic()
        self._loops = self._adapter.loops

    def _note(self, test: Any, outcome: str, message: str) -> None:
        if not isinstance(test, unittest.TestCase):
            self._note_fixture(test.id(), outcome, message)
        elif self._outcome in ("", "skipped"):
            self._outcome, self._message = outcome, message
        elif outcome != "skipped":
            self._outcome, self._message = outcome, f"{self._message}\n{message}"

    def _note_fixture(self, description: str, outcome: str, message: str) -> None:
        """A failure or a skip of setUpClass or setUpModule is that of each test it stands for."""
        fixture, _, name = description.partition(" (")
        prefix = name.removesuffix(")") + "."
        covered = (
            sorted(i for i in self._waiting if i.startswith(prefix)) if fixture.startswith("setUp") else []
        )
        self._waiting.difference_update(covered)
        for test_id in covered or [description]:
            self._events.write("result", id=test_id, outcome=outcome, message=message, seconds=0.0, loops=0)

    @staticmethod
    def _text(err: Any) -> str:
        return "".join(traceback.format_exception(*err))

    def addError(self, test: Any, err: Any) -> None:
        self._note(test, "error", self._text(err))

    def addFailure(self, test: Any, err: Any) -> None:
        self._note(test, "failed", self._text(err))

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            outcome = "failed" if issubclass(err[0], test.failureException) else "error"
            self._note(test, outcome, f"{subtest._subDescription()}\n{self._text(err)}")

    def addSkip(self, test: Any, reason: str) -> None:
        owner = getattr(test, "test_case", test)
        self._note(owner, "skipped", reason)

    def addUnexpectedSuccess(self, test: Any) -> None:
        self._note(test, "failed", "expected to fail, and passed")

    def addSuccess(self, test: Any) -> None:
        pass

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        pass


def tests_of(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """The tests of a suite, in order."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_of(item)
        else:
            yield item


def run(options: argparse.Namespace) -> None:
    events = Events(options.events)
    watchdog = Watchdog(options.limit, options.dump)
    watchdog.restart()
    # A shell's background job ignores Ctrl-C; the tests send it to themselves.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    adapter = adapt.Adapter(options.loop, options.module)
    adapter.install()
    limit_resources()
    module = importlib.import_module(options.module)
    adapter.adjust(module)
    # Last, not gone: what multiprocessing spawns imports this file again, and its siblings have plain names.
    sys.path.append(sys.path.pop(0))

    listed = exclusions.Exclusions([])
    if options.kinds:
        listed = exclusions.read(Path(options.exclusions), kinds=frozenset(options.kinds.split(",")))
    done = set(Path(options.done).read_text(encoding="utf-8").split("\n")) if options.done else set()
    asked = set(Path(options.ids).read_text(encoding="utf-8").split("\n")) if options.ids else None
    package = options.module.rpartition(".")[0] + "."

    chosen: list[unittest.TestCase] = []
    chosen_listed: list[unittest.TestCase] = []
    rows: list[dict[str, Any]] = []
    for test in tests_of(unittest.defaultTestLoader.loadTestsFromModule(module)):
        short = test.id().removeprefix(package)
        if (asked is not None and test.id() not in asked) or options.match not in short:
            continue
        entry = listed.find(short)
        unrun = entry is not None and bool(entry.unrun) and not options.run_all
        rows.append({"id": test.id(), "entry": entry and vars(entry), "unrun": unrun})
        if not unrun and test.id() not in done:
            (chosen_listed if entry else chosen).append(test)
    # Last, what is expected to fail: it leaves sockets and tasks behind that other tests might stumble over.
    chosen += chosen_listed
    events.write("loaded", tests=rows)
    ids = [test.id() for test in chosen]
    unittest.TestSuite(chosen).run(Collector(events, watchdog, adapter, ids))
    events.write("end")
    watchdog.restart()


def limit_resources() -> None:
    try:
        support: Any = importlib.import_module("test.support")
    except ImportError:
        return
    support.use_resources = dict.fromkeys(RESOURCES)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", required=True)
    parser.add_argument("--loop", required=True)
    parser.add_argument("--events", required=True, help="file to append results to")
    parser.add_argument("--dump", required=True, help="file for tracebacks of a process that ends early")
    parser.add_argument("--limit", type=float, required=True, help="seconds for one test")
    parser.add_argument("--exclusions")
    parser.add_argument("--kinds", default="", help="kinds of exclusions that apply")
    parser.add_argument("--done", help="file with ids of tests not to run again")
    parser.add_argument("--ids", help="file with ids of the only tests to run")
    parser.add_argument("--match", default="", help="part of the names of the only tests to run")
    parser.add_argument("--run-all", action="store_true")
    options = parser.parse_args()
    try:
        run(options)
    except unittest.SkipTest as skip:
        Events(options.events).write("skipped", message=str(skip))
    except Exception:
        Events(options.events).write("broken", message=traceback.format_exc())


if __name__ == "__main__":
    main()

"""The conformance runner itself, on a package of tests made for the purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

RUNNER = Path(__file__).with_name("run.py")

MODULE = """
    import asyncio, os, signal, threading, unittest

    class Simple(unittest.TestCase):
        def test_passes(self):
            asyncio.new_event_loop().close()

        def test_fails(self):
            self.assertEqual(1, 2, "one is not two")

        def test_raises(self):
            raise LookupError("nothing there")

        @unittest.skip("not on this day")
        def test_skips(self):
            pass

        def test_fails_in_a_subtest(self):
            for number in range(3):
                with self.subTest(number=number):
                    self.assertNotEqual(number, 1)

        @unittest.expectedFailure
        def test_is_expected_to_fail(self):
            self.fail()

    class NoSetUp(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            raise OSError("no room")

        def test_first(self):
            pass

        def test_second(self):
            pass
"""
HANGING = """
    import threading, unittest

    class Hanging(unittest.TestCase):
        def test_a_before(self):
            pass

        def test_b_hangs(self):
            threading.Event().wait()

        def test_c_between(self):
            pass

        def test_d_hangs(self):
            threading.Event().wait()

        def test_e_after(self):
            pass
"""
CRASHING = """
    import os, signal, unittest

    class Crashing(unittest.TestCase):
        def test_a_crashes(self):
            os.kill(os.getpid(), signal.SIGSEGV)

        def test_b_exits(self):
            os._exit(7)

        def test_c_after(self):
            pass
"""


@dataclass
class Outcome:
    """What a run of the runner printed, returned and wrote."""

    status: int
    text: str
    errors: str
    results: dict[str, dict[str, Any]]
    whole: dict[str, Any]

    @property
    def outcomes(self) -> dict[str, str]:
        return {name: result["outcome"] for name, result in self.results.items()}

    @property
    def last_line(self) -> str:
        return self.text.splitlines()[-1]


class Runner:
    """Runs the runner on modules of a package in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "made_tests"
        self.package.mkdir()
        (self.package / "__init__.py").touch()
        self.list = folder / "list.toml"
        self.list.touch()

    def module(self, name: str, text: str) -> None:
        (self.package / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")

    def loop(self, text: str) -> None:
        (self.folder / "made_loop.py").write_text(textwrap.dedent(text), encoding="utf-8")

    def run(self, *options: str, loop: str = "asyncio", package: str = "made_tests") -> Outcome:
        report = self.folder / "report.json"
        command = [sys.executable, str(RUNNER), f"--package={package}", f"--exclusions={self.list}"]
        command += [f"--loop={loop}", f"--json={report}", *options]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        whole = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {"tests": []}
        results = {test["id"].removeprefix("made_tests."): test for test in whole["tests"]}
        return Outcome(done.returncode, done.stdout, done.stderr, results, whole)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def private(*tests: str, **fields: str) -> str:
    lines = [
        "[[exclude]]",
        f"tests = {json.dumps(list(tests))}",
        'kind = "private"',
        'reason = "made for this test"',
    ]
    return "\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in fields.items())]) + "\n"


def test_every_outcome_is_told_apart(runner: Runner) -> None:
    runner.module("test_simple", MODULE)
    done = runner.run()
    assert done.outcomes == {
        "test_simple.Simple.test_passes": "passed",
        "test_simple.Simple.test_fails": "failed",
        "test_simple.Simple.test_raises": "error",
        "test_simple.Simple.test_skips": "skipped",
        "test_simple.Simple.test_fails_in_a_subtest": "failed",
        "test_simple.Simple.test_is_expected_to_fail": "passed",
        "test_simple.NoSetUp.test_first": "error",
        "test_simple.NoSetUp.test_second": "error",
    }
    assert done.status == 1
    assert done.last_line == "conformance: 2 passed, 5 failed, 1 skipped"
    assert "one is not two" in done.results["test_simple.Simple.test_fails"]["message"]
    assert "no room" in done.results["test_simple.NoSetUp.test_second"]["message"]
    assert "(number=1)" in done.results["test_simple.Simple.test_fails_in_a_subtest"]["message"]


def test_only_what_is_asked_for_is_run(runner: Runner) -> None:
    runner.module("test_simple", MODULE)
    runner.module("test_other", CRASHING)
    done = runner.run("--module=test_simple", "--match=test_pass")
    assert done.outcomes == {"test_simple.Simple.test_passes": "passed"}
    assert done.status == 0
    assert runner.run("--module=test_absent").status == 2


def test_a_hanging_test_is_named_and_the_others_go_on(runner: Runner) -> None:
    runner.module("test_hanging", HANGING)
    done = runner.run("--test-limit=1")
    assert list(done.outcomes.items()) == [
        ("test_hanging.Hanging.test_a_before", "passed"),
        ("test_hanging.Hanging.test_b_hangs", "timeout"),
        ("test_hanging.Hanging.test_c_between", "passed"),
        ("test_hanging.Hanging.test_d_hangs", "timeout"),
        ("test_hanging.Hanging.test_e_after", "passed"),
    ]
    assert "in test_b_hangs" in done.results["test_hanging.Hanging.test_b_hangs"]["message"]
    assert done.last_line == "conformance: 3 passed, 2 failed, 0 skipped"


def test_a_module_that_takes_too_long_is_cut_off(runner: Runner) -> None:
    runner.module("test_hanging", HANGING)
    done = runner.run("--module-limit=1")
    assert done.outcomes["test_hanging.Hanging.test_b_hangs"] == "timeout"
    assert "not reached" in done.results["test_hanging.Hanging.test_e_after"]["message"]
    assert done.last_line == "conformance: 1 passed, 4 failed, 0 skipped"


def test_a_crash_is_laid_at_the_door_of_its_test(runner: Runner) -> None:
    runner.module("test_crashing", CRASHING)
    done = runner.run()
    assert "SIGSEGV" in done.results["test_crashing.Crashing.test_a_crashes"]["message"]
    assert "status 7" in done.results["test_crashing.Crashing.test_b_exits"]["message"]
    assert done.outcomes["test_crashing.Crashing.test_c_after"] == "passed"
    assert done.last_line == "conformance: 1 passed, 2 failed, 0 skipped"


def test_a_crash_at_the_end_of_the_process_is_a_failure(runner: Runner) -> None:
    runner.module(
        "test_late",
        "import atexit, os\n" + textwrap.dedent(HANGING).replace("threading.Event().wait()", "pass"),
    )
    with open(runner.package / "test_late.py", "a", encoding="utf-8") as module:
        module.write("atexit.register(os._exit, 9)\n")
    done = runner.run()
    assert done.outcomes["test_late (process)"] == "error"
    assert done.status == 1


def test_a_module_that_does_not_import_is_a_failure(runner: Runner) -> None:
    runner.module("test_broken", "import module_that_nobody_has")
    runner.module("test_windows", "import unittest; raise unittest.SkipTest('Windows only')")
    done = runner.run()
    assert done.outcomes == {"test_broken": "error", "test_windows": "skipped"}
    assert "module_that_nobody_has" in done.results["test_broken"]["message"]


LOOP = """
    import asyncio

    class Loop(asyncio.SelectorEventLoop):
        pass
"""


def test_listed_tests_do_not_count(runner: Runner) -> None:
    runner.module("test_simple", MODULE)
    runner.loop(LOOP)
    runner.list.write_text(private("test_simple.Simple.test_f*", "*.test_raises", "test_simple.NoSetUp.*"))
    done = runner.run(loop="made_loop:Loop")
    assert done.status == 0
    assert done.last_line == "conformance: 2 passed, 0 failed, 1 skipped"
    assert "Excluded, private" in done.text
    assert done.whole["totals"]["private"] == 5


def test_a_loop_under_test_takes_the_place_of_the_standard_one(runner: Runner) -> None:
    runner.module("test_simple", MODULE)
    runner.loop(LOOP)
    assert runner.run("--match=test_passes").results["test_simple.Simple.test_passes"]["loops"] == 0
    done = runner.run("--match=test_passes", loop="made_loop:Loop")
    assert done.results["test_simple.Simple.test_passes"]["loops"] == 1


def test_the_standard_loop_is_run_without_the_list(runner: Runner) -> None:
    runner.module("test_simple", MODULE)
    runner.list.write_text(private("test_simple.*"))
    assert runner.run().last_line == "conformance: 2 passed, 5 failed, 1 skipped"


def test_an_entry_that_is_not_to_be_run_is_not_run(runner: Runner) -> None:
    runner.module("test_hanging", HANGING)
    runner.loop(LOOP)
    runner.list.write_text(private("*_hangs", unrun="hangs"))
    done = runner.run("--test-limit=30", loop="made_loop:Loop")
    assert done.outcomes["test_hanging.Hanging.test_b_hangs"] == "unrun"
    assert done.status == 0
    done = runner.run("--test-limit=1", "--run-all", loop="made_loop:Loop")
    assert done.outcomes["test_hanging.Hanging.test_b_hangs"] == "timeout"
    assert done.status == 0


def test_an_entry_holds_for_its_versions_only(runner: Runner) -> None:
    runner.module("test_simple", MODULE)
    runner.loop(LOOP)
    minor = sys.version_info.minor
    runner.list.write_text(private("*.test_fails", python=f">=3.{minor + 1}"))
    assert (
        runner.run(
            "--match=test_fails",
            loop="made_loop:Loop",
        )
        .whole["totals"]
        .get("private", 0)
        == 0
    )
    runner.list.write_text(private("*.test_fails", python=f">=3.{minor},<3.{minor + 1}"))
    assert runner.run("--match=test_fails", loop="made_loop:Loop").whole["totals"]["private"] == 1


def test_a_failure_of_the_standard_loop_too_is_skipped(runner: Runner) -> None:
    runner.module(
        "test_both",
        """
        import asyncio, unittest

        class Both(unittest.TestCase):
            def test_nowhere(self):
                self.fail()

            def test_on_the_standard_loop_only(self):
                self.assertIs(asyncio.SelectorEventLoop, asyncio.unix_events._UnixSelectorEventLoop)
        """,
    )
    runner.loop(LOOP)
    done = runner.run(loop="made_loop:Loop")
    assert done.last_line == "conformance: 0 passed, 1 failed, 1 skipped"
    assert "the standard loop fails them here too" in done.text
    assert (
        runner.run("--no-baseline", loop="made_loop:Loop").last_line
        == "conformance: 0 passed, 2 failed, 0 skipped"
    )


class TestStale:
    """Entries that are no longer needed. Only a run of the list against its own loop tells: a loop named epicycle."""

    @pytest.fixture
    def own(self, runner: Runner) -> Runner:
        package = runner.folder / "epicycle"
        (package / "loop").mkdir(parents=True)
        (package / "__init__.py").touch()
        loop = "import asyncio\n\nclass EventLoop(asyncio.SelectorEventLoop):\n    pass\n"
        (package / "loop" / "__init__.py").write_text(loop, encoding="utf-8")
        for name in ("_connecting", "_datagrams", "_sendfile", "_serving", "_signals", "_unix"):
            (package / "loop" / f"{name}.py").touch()
        runner.module("test_simple", MODULE)
        return runner

    def test_a_listed_test_that_passes(self, own: Runner) -> None:
        own.list.write_text(private("*.test_passes", "*.test_f*", "*.test_raises", "*.NoSetUp.*"))
        done = own.run(loop="epicycle")
        assert done.status == 0
        assert done.whole["stale"] == ["made_tests.test_simple.Simple.test_passes"]
        assert "stale" in done.text
        assert own.run("--strict", loop="epicycle").status == 1

    def test_a_pattern_that_means_nothing(self, own: Runner) -> None:
        own.list.write_text(private("*.test_f*", "*.test_raises", "*.NoSetUp.*", "*.test_gone"))
        done = own.run("--strict", loop="epicycle")
        assert done.whole["stale"] == ["*.test_gone"]
        assert done.status == 1

    def test_a_part_of_the_run_cannot_tell_what_a_pattern_means(self, own: Runner) -> None:
        own.list.write_text(private("*.test_gone"))
        assert own.run("--match=test_passes", loop="epicycle").whole["stale"] == []

    def test_what_is_not_run_is_not_stale(self, own: Runner) -> None:
        own.list.write_text(private("*.test_passes", unrun="flaky"))
        assert own.run("--match=test_passes", loop="epicycle").whole["stale"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[exclude]]\ntests = ["*"]\nkind = "other"\nreason = "why"\n', "`kind`"),
        ('[[exclude]]\ntests = ["*"]\nkind = "next"\n', "`reason`"),
        ('[[exclude]]\ntests = []\nkind = "next"\nreason = "why"\n', "`tests`"),
        ('[[exclude]]\ntests = ["*"]\nkind = "next"\nreason = "why"\npython = "3.12"\n', "`python`"),
        ('[[exclude]]\ntests = ["*"]\nkind = "next"\nreason = "why"\nunrun = "slow"\n', "`unrun`"),
        ('[[exclude]]\ntests = ["*"]\nkind = "next"\nreason = "why"\ncolour = "red"\n', "colour"),
        ("[[exclude]\n", "Expected"),
    ],
)
def test_a_wrong_list_is_refused(runner: Runner, text: str, message: str) -> None:
    runner.module("test_simple", MODULE)
    runner.list.write_text(text)
    done = runner.run(loop="epicycle")
    assert done.status == 2
    assert message in done.errors


def test_an_interpreter_without_tests_says_what_to_install(runner: Runner) -> None:
    done = runner.run(package="test.test_that_is_missing")
    assert done.status == 3
    assert "testsuite" in done.errors
    assert runner.run("--allow-missing", package="test.test_that_is_missing").status == 0

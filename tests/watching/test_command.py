"""The commands from their arguments to their exit status."""

import json
import os
import subprocess
import sys

import pytest
from fakes import FakePage, found, task

from epicycle.cli.usage import UsageError
from epicycle.watching.outside import command, options
from epicycle.watching.outside.find import CannotWatch

FOREVER = 100

WRONG = {
    ("top", "--once"): "'top' needs a process: its number or its program's name",
    ("top", "1", "2"): "'top' takes one target, not '1' and '2' as well",
    ("top", ""): "'top' cannot find a process without a name",
    ("top", "1", "--once", "--json"): "'--once' and '--json' do not go together",
    ("top", "--fast", "1"): "unknown option '--fast' of 'top'",
    ("top", "1", "--interval"): "option '--interval' needs a value",
    ("top", "1", "--interval", "0"): "option '--interval' needs a number of seconds from 0.1 to 60, not '0'",
    ("top", "1", "--interval=nan"): "option '--interval' needs a number of seconds from 0.1 to 60, not 'nan'",
    ("tasks",): "'tasks' needs a process: its number or its program's name",
    ("tasks", "1", "--sort", "name"): "option '--sort' needs one of busy, scheduled, age, waits, not 'name'",
    ("tasks", "1", "--json"): "unknown option '--json' of 'tasks'",
    ("stalls",): "'stalls' needs a process: its number or its program's name",
    ("record", "1"): "'record' needs a file to write: '-o FILE'",
    ("record", "1", "-o"): "option '-o' needs a value",
    ("record", "1", "-o", "/"): "'/' is a folder, not a file to write",
    (
        "record",
        "1",
        "-o",
        "/no/such/x.json",
    ): "'/no/such/x.json' cannot be written: there is no folder '/no/such'",
    ("record", "1", "-o", "x", "--seconds", "ten"): (
        "option '--seconds' needs a number of seconds from 0.1 to 3600, not 'ten'"
    ),
}


def epicycle(*arguments, stdin=subprocess.DEVNULL, **more):
    return subprocess.run(
        [sys.executable, "-m", "epicycle", *map(str, arguments)],
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=FOREVER,
        **more,
    )


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_usage(words):
    with pytest.raises(UsageError) as caught:
        options.parse(words[0], list(words[1:]))
    assert str(caught.value) == WRONG[words]
    assert caught.value.try_ == f"epicycle {words[0]} --help"


@pytest.mark.parametrize("name", options.HELP)
def test_help(name, capsys):
    assert command.run(name, ["--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: epicycle {name}")
    assert max(map(len, said.splitlines())) <= 120


def test_wrong_usage_ends_with_status_2():
    done = epicycle("top", "--fast")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "epicycle: unknown option '--fast' of 'top'\nTry 'epicycle top --help' for more.\n"


@pytest.mark.parametrize(
    "words", [("top", "{}"), ("tasks", "{}"), ("stalls", "{}"), ("record", "{}", "-o", "/tmp/x.json")]
)
def test_what_cannot_be_looked_into_is_one_line_and_status_1(words):
    done = epicycle(*(word.format(os.getpid()) for word in words))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"epicycle: process {os.getpid()} (")
    assert done.stderr.endswith(") runs no Epicycle loop\n")
    assert done.stderr.count("\n") == 1


@pytest.fixture
def page(monkeypatch):
    """A page that every target leads to, and a clock that does not take its time."""
    page = FakePage(tasks=[task(1, "server"), task(2, "client", awaited_by=[1], busy=2.0)])

    def sleep(seconds):
        page.pass_time(seconds)

    monkeypatch.setattr(command.time, "sleep", sleep)
    monkeypatch.setattr(command, "find", lambda target: found(page))
    return page


def test_once(page, capsys):
    assert command.run("top", ["app", "--once"]) == 0
    said = capsys.readouterr().out
    assert "└ client" in said
    assert "does not answer" not in said
    assert page.rung
    assert page.closed


def test_without_a_terminal_top_prints_once(page, capsys):
    assert command.run("top", ["app"]) == 0
    assert "└ client" in capsys.readouterr().out


def test_json(page, capsys):
    assert command.run("top", ["app", "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["loops"][0]["snapshot"]["tasks"]["total"] == 2
    assert read["loops"][0]["stale"] is False


def test_tasks(page, capsys):
    assert command.run("tasks", ["app", "--sort", "age", "--stacks"]) == 0
    said = capsys.readouterr().out
    assert "└ client" in said
    assert "/srv/app.py:2 work" in said


def test_stalls(page, capsys):
    page.stall()
    assert command.run("stalls", ["app"]) == 0
    assert "at srv/app.py:12 in work" in capsys.readouterr().out


def test_a_loop_that_is_stuck_and_unwatched_is_told_with_its_line(page, capsys):
    page.get_stuck()
    assert command.run("top", ["app", "--once"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("BLOCKED for at least")
    assert "srv/app.py:12 in work" in said
    assert "its tasks are not known" in said


def test_several_loops_are_told_apart(monkeypatch, capsys):
    pages = FakePage(loop=1), FakePage(loop=2)
    monkeypatch.setattr(command, "find", lambda target: found(*pages))
    assert command.run("stalls", ["app"]) == 0
    assert "loop 2 of 2" in capsys.readouterr().out


def test_without_a_target_it_lists(monkeypatch, capsys):
    monkeypatch.setattr(command, "processes", lambda: [found(FakePage(4242), command=("python", "web.py"))])
    assert command.run("top", []) == 0
    assert "python web.py" in capsys.readouterr().out
    assert command.run("top", ["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["processes"][0]["program"] == "web.py"


def test_ctrl_c(monkeypatch, capsys):
    def interrupted(target):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "find", interrupted)
    assert command.run("tasks", ["app"]) == 130
    assert capsys.readouterr().err == "epicycle: interrupted\n"


def test_a_page_that_turns_out_damaged(page, capsys):
    def damaged():
        raise ValueError("damaged page: no such state")

    page.facts = damaged
    with pytest.raises((CannotWatch, ValueError)):
        found(page)
    page.facts = FakePage().facts
    page.counters = damaged
    assert command.run("top", ["app", "--once"]) == 1
    assert capsys.readouterr().err == "epicycle: damaged page: no such state\n"


def test_without_textual_it_says_what_to_install(monkeypatch, capsys):
    from epicycle.watching.outside import top

    monkeypatch.setattr(top.importlib.util, "find_spec", lambda name: None)
    assert top.run(found(), 1.0) == 1
    said = capsys.readouterr().err
    assert "pip install 'epicycle[top]'" in said
    assert "--once" in said
    assert said.count("\n") == 1

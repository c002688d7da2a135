"""What the tools say of the programs in `examples/stalls`: the log, `top`, `stalls` and the trace, all from outside."""

import contextlib
import dataclasses
import io
import json
import re
import subprocess
import sys
import time

import pytest
from programs import EXAMPLES, Program

from epicycle.watching.outside import command
from toolkit import child_environment

STALLS = EXAMPLES / "stalls"
PATIENCE = 60.0


@dataclasses.dataclass(frozen=True)
class Case:
    """A program that blocks its loop: the task's coroutine, the function and the text of the line that blocks, the
    cause and what is said of it."""

    name: str
    coroutine: str
    function: str
    text: str
    cause: str
    in_log: str
    detail: str = ""
    needs: str = ""

    @property
    def line(self):
        source = (STALLS / f"{self.name}.py").read_text().splitlines()
        return next(at for at, line in enumerate(source, 1) if self.text in line)

    @property
    def place(self):
        return f"stalls/{self.name}.py:{self.line} in {self.function}"

    def is_told(self, stall):
        return (stall["file"], stall["line"]) == (str(STALLS / f"{self.name}.py"), self.line)


SILENT = r"recvfrom\(\d+\): connection to 127\.0\.0\.1:\d+"
CASES = [
    Case(
        "sleep",
        "poll",
        "poll",
        "time.sleep(2)",
        "system call",
        "a blocking system call: clock_nanosleep",
        "clock_nanosleep",
    ),
    Case("regular_expression", "validate", "is_name", "BACKTRACKS.match(text)", "python", "running code.*"),
    Case("large_json", "load", "total", "json.loads(text)", "python", "running code.*"),
    Case(
        "silent_server",
        "fetch",
        "fetch",
        "requests.get(URL)",
        "system call",
        f"a blocking system call: {SILENT}",
        SILENT,
        needs="requests",
    ),
]
# What is told of any program instead when others have the processors.
STARVED = "no processor to run on: .*"


def play(name, *arguments, threshold="0.1"):
    """One of the programs, watched."""
    watch = f"--watch={threshold}"
    return Program([sys.executable, "-m", "epicycle", "run", watch, STALLS / f"{name}.py", *arguments])


def say(*arguments):
    """Carry out a command as `epicycle` does; its status, and what it says on both outputs."""
    with io.StringIO() as said, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = command.run(arguments[0], [str(word) for word in arguments[1:]])
        return status, said.getvalue()


def eventually(look, holds):
    """What `look()` returns once `holds` of that."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = look()
        if holds(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def top(pid):
    """The loop of a process as `epicycle top --json` has it; empty where it has none yet."""
    status, said = say("top", pid, "--json")
    return json.loads(said)["loops"][0] if status == 0 else {}


def record(pid, path, seconds):
    return subprocess.Popen(
        [sys.executable, "-m", "epicycle", "record", str(pid), "-o", str(path), "--seconds", str(seconds)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=child_environment(),
    )


def recorded(pid, path, seconds, enough):
    """The events of a trace once there is one that is `enough`: a loop that is stuck cannot begin to record."""

    def look():
        with record(pid, path, seconds) as recording:
            try:
                done = recording.wait(PATIENCE) == 0
            finally:
                recording.kill()
        return json.loads(path.read_text())["traceEvents"] if done else []

    return eventually(look, enough)


def lasting(events):
    """The names of what began and ended on the loop's line, with how long each lasted in seconds."""
    open_, found = [], []
    for event in events:
        if event["ph"] == "B":
            open_.append(event)
        elif event["ph"] == "E":
            begun = open_.pop()
            found.append((begun["name"], (event["ts"] - begun["ts"]) / 1e6))
    return found


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request):
    if request.param.needs:
        pytest.importorskip(request.param.needs)
    return request.param


@pytest.fixture(scope="module")
def playing(case):
    """The program of a case while it plays."""
    with play(case.name) as program:
        eventually(lambda: say("stalls", program.process.pid)[0], lambda status: status == 0)
        yield program


def test_the_log(case, playing):
    path = re.escape(str(STALLS / f"{case.name}.py"))
    said = playing.wait_for(
        rf"^the loop has been blocked for \d+\.\d+ s by task 'round \d+' \({case.coroutine}\) "
        rf"at {path}:{case.line} \((?:{STARVED}|({case.in_log}))\)$"
    )
    # The stack, and the coroutines that wait for it.
    playing.wait_for(rf"(^  {path}:{case.line} in {case.function}$)")
    playing.wait_for(r"(^  coroutines: perform .* > )")
    playing.wait_for(
        rf"(the loop goes on after \d+\.\d+ s: it was blocked by task 'round \d+' .* at {path}:)"
    )
    if said is None:
        pytest.skip("other programs had the processors")


def test_top(case, playing):
    pid = playing.process.pid
    loop = eventually(lambda: top(pid), lambda loop: loop["blocked"] and case.place in (loop["banner"] or ""))
    assert loop["banner"].startswith("BLOCKED for ")
    stall = next(stall for stall in loop["stalls"][::-1] if case.is_told(stall))
    assert stall["kind"] == "blocked"
    assert stall["stack"]
    assert not any(function.endswith("run_forever") for _, function, _ in stall["stack"])
    _, said = eventually(lambda: say("top", pid, "--once"), lambda found: found[1].startswith("BLOCKED"))
    first = said.splitlines()[0]
    assert f"stalls/{case.name}.py:" in first
    assert "TASKS" in said
    if stall["cause"] == "cpu":
        pytest.skip("other programs had the processors")
    assert stall["cause"] == case.cause
    assert re.search(case.detail, stall["detail"])


def test_stalls(case, playing):
    def told():
        return say("stalls", playing.process.pid)[1]

    lines = eventually(told, lambda said: f"at {case.place}  (task round " in said).splitlines()
    assert lines[0].startswith("#")
    assert any(f"    at {case.place}" in line for line in lines)
    assert any(line.startswith("    awaits perform (") for line in lines)


def test_the_trace(case, playing, tmp_path):
    def has_it(events):
        stalls = [event for event in events if event.get("cat") == "stall" and event["ph"] == "X"]
        steps = [seconds for name, seconds in lasting(events) if name == case.coroutine]
        return stalls and max(steps, default=0) > 0.5

    events = recorded(playing.process.pid, tmp_path / "trace.json", 3.5, has_it)
    stall = [event for event in events if event.get("cat") == "stall" and event["ph"] == "X"][-1]
    assert stall["name"].startswith("blocked: ")
    assert stall["dur"] >= 0.1e6
    assert stall["args"]["file"].endswith(f"{case.name}.py")
    assert {"turn", "park", "Heartbeat.beat"} <= {name for name, _ in lasting(events)}


def test_a_thread_that_keeps_the_interpreter():
    with play("hogged_interpreter") as program:
        said = program.wait_for(
            r"^the loop has been blocked for \d+\.\d+ s .*"
            rf"\((?:{STARVED}|(the interpreter is held elsewhere: held by another thread.*))\)$"
        )
        loop = eventually(lambda: top(program.process.pid), lambda loop: loop["stalls"])
        # No line of the program's is at fault, unless it happened to be starting the thread.
        assert {stall["file"] for stall in loop["stalls"]} <= {"", str(STALLS / "hogged_interpreter.py")}
        causes = {stall["cause"] for stall in loop["stalls"]}
        if said is None or "gil" not in causes:
            pytest.skip("other programs had the processors")
        program.wait_for(r"(probably thread 'asyncio_0')")


# ---- what waits for ever, while the loop gets on ----


def waits(loop):
    return {task["name"]: (task["waits"] or {}).get("text", "") for task in loop["snapshot"]["tasks"]["list"]}


def test_a_lock_whose_holder_has_died(tmp_path):
    with play("dead_holder", threshold="5") as program:
        pid = program.process.pid
        eventually(
            lambda: say("tasks", pid)[1], lambda said: said.count("a lock that no task is seen to") == 2
        )
        lines = say("tasks", pid)[1].splitlines()
        waiting = [line for line in lines if "a lock that no task is seen to hold" in line]
        assert all("deposit" in line for line in waiting)
        assert top(pid)["blocked"] is False
        assert say("stalls", pid)[1] == "no stall\n"
        # Whoever waits takes no step.
        names = {name for name, _ in lasting(recorded(pid, tmp_path / "trace.json", 0.5, bool))}
        assert "Heartbeat.beat" in names
        assert "deposit" not in names
    assert "blocked" not in program.errors


def test_two_tasks_in_a_circle():
    with play("circle", threshold="5") as program:
        pid = program.process.pid
        loop = eventually(lambda: top(pid), lambda loop: loop.get("snapshot") and loop["snapshot"]["lints"])
        (lint,) = loop["snapshot"]["lints"]
        assert lint["kind"] == "circle"
        assert "from Ada to Bob -> from Bob to Ada" in lint["text"]
        assert "circle: tasks that wait for one another: " in say("top", pid, "--once")[1]
        said = say("tasks", pid)[1]
        assert "a lock held by from Bob to Ada" in said
        assert "a lock held by from Ada to Bob" in said
        assert say("stalls", pid)[1] == "no stall\n"
    assert "blocked" not in program.errors


def tcp(loop):
    connections = (loop.get("snapshot") or {}).get("connections", {}).get("list", [])
    return [each for each in connections if each["kind"] == "tcp"]


def test_a_producer_that_outruns_its_socket():
    with play("fast_producer", threshold="5") as program:
        pid = program.process.pid

        def grows(loop):
            return any(
                lint["kind"] == "growing-buffer" for lint in (loop.get("snapshot") or {"lints": ()})["lints"]
            )

        loop = eventually(lambda: top(pid), grows)
        (slow,) = (each for each in tcp(loop) if each["slow"] == "peer")
        assert slow["buffer"] > 5 * slow["limits"][1]
        assert slow["writing_paused"]
        assert "the peer is slow" in say("top", pid, "--once")[1]
        assert say("stalls", pid)[1] == "no stall\n"
    assert "blocked" not in program.errors


# ---- the cures ----


def test_the_cures_do_not_block():
    names = ["sleep", "regular_expression", "large_json", "hogged_interpreter", "dead_holder", "circle"]
    with contextlib.suppress(ImportError):
        import requests  # noqa: F401

        names.append("silent_server")
    with contextlib.ExitStack() as stack:
        programs = [
            stack.enter_context(play(name, "--cured", "--rounds", "1", threshold="1")) for name in names
        ]
        for program in programs:
            assert program.finish() == 0, program.report()
            assert program.output.startswith("round 1: the heartbeat was "), program.report()
            blocked = [line for line in program.errors.splitlines() if "the loop has been blocked" in line]
            assert all("no processor to run on" in line for line in blocked), program.report()


def test_the_cured_producer_waits_for_its_peer():
    with play("fast_producer", "--cured", threshold="5") as program:
        pid = program.process.pid
        loop = eventually(lambda: top(pid), lambda loop: any(each["slow"] == "peer" for each in tcp(loop)))
        (slow,) = (each for each in tcp(loop) if each["slow"] == "peer")
        assert slow["buffer"] <= 2 * slow["limits"][1]
        assert "drain" in str(loop["snapshot"]["tasks"]["list"])
        assert loop["snapshot"]["lints"] == []

"""Real programs looked into from outside: ones that work, are stuck, stopped, end, or crash."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import warnings

import pytest

from epicycle.watching.outside.find import CannotWatch, find
from toolkit import child_environment

FOREVER = 100

HEAD = """
import asyncio, re, signal, sys, time
import epicycle

async def sleeper(seconds=3600):
    await asyncio.sleep(seconds)

async def rolling():
    while True:
        await asyncio.sleep(0.01)
"""

MAIN = """
async def main():
    tasks = [asyncio.create_task(each, name=name) for name, each in made()]
    print("ready", flush=True)
    await asyncio.gather(*tasks)

epicycle.run(main())
"""

PROGRAMS = {
    "quiet": """
def made():
    return [("sleeper", sleeper()), ("rolling", rolling())]
""",
    "sleeping": """
async def blocker():
    await asyncio.sleep(0.2)
    time.sleep(600)

def made():
    return [("blocker", blocker()), ("sleeper", sleeper())]
""",
    "regex": """
async def blocker():
    await asyncio.sleep(0.2)
    re.match(r"(a+)+$", "a" * 60 + "b")

def made():
    return [("blocker", blocker()), ("sleeper", sleeper())]
""",
    "evil": """
def made():
    return [("evil\\x1b]0;title\\x07\\u202e\\n", sleeper()), ("rolling", rolling())]
""",
    "many": """
def made():
    return [(f"sleeper-{number}", sleeper()) for number in range(10_000)]
""",
}


def environment(**more):
    unwanted = ("EPICYCLE_PAGE", "EPICYCLE_WATCH", "NO_COLOR")
    return {name: value for name, value in child_environment().items() if name not in unwanted} | more


@contextlib.contextmanager
def program(directory, name, called=None, **more):
    """One of the programs, as a process that is ready."""
    file = directory / f"{called or f'{name}-program'}.py"
    file.write_text(HEAD + PROGRAMS[name] + MAIN)
    with subprocess.Popen(
        [sys.executable, str(file)], stdout=subprocess.PIPE, text=True, env=environment(**more)
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.kill()


def epicycle(*arguments, status=0):
    """Run a command and return what it says, on both outputs."""
    done = subprocess.run(
        [sys.executable, "-m", "epicycle", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FOREVER,
        env=environment(),
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def eventually(look, holds, patience=30.0):
    """What `look()` says once `holds(that)`."""
    deadline = time.monotonic() + patience
    while True:
        said = look()
        if holds(said):
            return said
        assert time.monotonic() < deadline, said


def test_a_program_by_its_name(tmp_path):
    # Other runs of these tests have programs too.
    name = f"quiet-beside-{os.getpid()}"
    with program(tmp_path, "quiet", called=name) as process:
        said = epicycle("top", name, "--once")
        assert f"{process.pid} {name}.py  loop 1 of 1" in said
        assert "rolling" in said
        assert "BLOCKED" not in said
        assert f"{process.pid}" in epicycle("top")


def test_the_tree_of_tasks(tmp_path):
    with program(tmp_path, "quiet") as process:
        lines = epicycle("tasks", process.pid, "--sort", "age", "--stacks").splitlines()
    assert lines[0] == "TASKS  3"
    assert any("├ " in line and "sleeper" in line for line in lines) or any(
        "└ sleeper" in line for line in lines
    )
    assert any("quiet-program.py" in line and "in " not in line.split()[0] for line in lines)


def test_json_of_a_program(tmp_path):
    with program(tmp_path, "quiet") as process:
        read = json.loads(epicycle("top", process.pid, "--json"))
    loop = read["loops"][0]
    assert read["process"]["pid"] == process.pid
    assert loop["rates"]["steps"] > 1
    assert loop["lateness"]["now"]["count"] > 0
    assert loop["stale"] is False
    assert {task["name"] for task in loop["snapshot"]["tasks"]["list"]} >= {"sleeper", "rolling"}


@pytest.mark.parametrize("name", ["sleeping", "regex"])
def test_a_stuck_loop_is_told_with_its_line(tmp_path, name):
    with program(tmp_path, name) as process:
        said = eventually(lambda: epicycle("top", process.pid, "--once"), lambda said: "BLOCKED" in said)
        assert said.startswith("BLOCKED for at least")
        assert f"{name}-program.py:" in said.splitlines()[0]
        assert said.splitlines()[0].endswith(" in blocker")
        # It goes on being told, with whatever the process last said of its tasks.
        assert "TASKS" in epicycle("tasks", process.pid)


def test_a_watched_loop_that_is_stuck(tmp_path):
    with program(tmp_path, "sleeping", EPICYCLE_WATCH="0.1") as process:
        said = eventually(lambda: epicycle("top", process.pid, "--once"), lambda said: "BLOCKED" in said)
        assert "sleeping-program.py:" in said.splitlines()[0]
        stalls = epicycle("stalls", process.pid)
        assert stalls.startswith("#1  ")
        assert "so far" in stalls
        assert "in blocker" in stalls


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_process(tmp_path):
    with program(tmp_path, "quiet") as process:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Other tests may have left threads; this child runs nothing that they could hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                find(str(process.pid))
            except CannotWatch as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        with open(reading) as pipe:
            said = pipe.read()
    assert said == (
        f"process {process.pid} (quiet-program.py) belongs to another user, root: "
        "only that user and root may look into it"
    )


def test_a_stopped_process(tmp_path):
    with program(tmp_path, "quiet") as process:
        os.kill(process.pid, signal.SIGSTOP)
        stat = pathlib.Path(f"/proc/{process.pid}/stat")
        eventually(stat.read_text, lambda said: ") T " in said)
        said = epicycle("top", process.pid, "--once")
        assert said.startswith("STOPPED")
        assert "the process is stopped" in said
        os.kill(process.pid, signal.SIGCONT)
        assert "STOPPED" not in epicycle("top", process.pid, "--once")


def test_names_of_tasks_are_shown_as_text(tmp_path):
    with program(tmp_path, "evil") as process:
        for arguments in (("top", process.pid, "--once"), ("tasks", process.pid)):
            said = epicycle(*arguments)
            assert "evil\\x1b]0;title\\x07\\u202e\\x0a" in said
            assert all(line.isprintable() for line in said.splitlines())


def test_ten_thousand_tasks(tmp_path):
    with program(tmp_path, "many") as process:
        assert "TASKS  10001" in epicycle("tasks", process.pid)
        assert (
            json.loads(epicycle("top", process.pid, "--json"))["loops"][0]["snapshot"]["tasks"]["total"]
            == 10_001
        )


def test_a_reader_who_has_seen_enough(tmp_path):
    with program(tmp_path, "many") as process:
        command = f"{sys.executable} -m epicycle tasks {process.pid} | head -n 2"
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=FOREVER, env=environment()
        )
    assert done.stdout.count("\n") == 2
    assert done.stderr == ""


def test_a_trace_of_a_program(tmp_path):
    path = tmp_path / "trace.json"
    with program(tmp_path, "quiet") as process:
        assert "written:" in epicycle("record", process.pid, "-o", path, "--seconds", "0.5")
    events = json.loads(path.read_text())["traceEvents"]
    names = {event.get("name") for event in events}
    assert {"turn", "park", "rolling", "steps per second"} <= names
    assert {event["pid"] for event in events} == {process.pid}
    depth = 0
    for event in events:
        depth += {"B": 1, "E": -1}.get(event["ph"], 0)
        assert 0 <= depth <= 2


def test_a_trace_of_a_stuck_program_is_refused_with_the_line(tmp_path):
    path = tmp_path / "trace.json"
    with program(tmp_path, "sleeping") as process:
        eventually(lambda: epicycle("top", process.pid, "--once"), lambda said: "BLOCKED" in said)
        said = epicycle("record", process.pid, "-o", path, "--seconds", "0.1", status=1)
    assert said.count("\n") == 1
    assert "nothing was recorded: BLOCKED" in said
    assert not path.exists()


def test_a_trace_of_a_program_that_ends_meanwhile(tmp_path):
    path = tmp_path / "trace.json"
    with (
        program(tmp_path, "quiet") as process,
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "epicycle",
                "record",
                str(process.pid),
                "-o",
                str(path),
                "--seconds",
                "60",
            ],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as recording,
    ):
        try:
            time.sleep(2.5)
            process.kill()
            process.wait()
            said, _ = recording.communicate(timeout=FOREVER)
        finally:
            recording.kill()
    assert recording.returncode == 0, said
    assert said.startswith("written:")
    assert json.loads(path.read_text())["traceEvents"]


def test_what_a_crashed_process_left(tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    trace = tmp_path / "trace.json"
    with program(tmp_path, "sleeping", EPICYCLE_PAGE=str(pages), EPICYCLE_WATCH="0.1") as process:
        eventually(lambda: epicycle("stalls", process.pid), lambda said: "in blocker" in said)
        process.kill()
        process.wait()
    (page,) = pages.iterdir()
    stalls = epicycle("stalls", page)
    assert "in blocker" in stalls
    said = epicycle("tasks", page)
    assert "the process has ended" in said
    assert "has ended" in epicycle("top", page, "--once")
    epicycle("record", page, "-o", trace, status=1)
    assert not trace.exists()


def test_what_was_recorded_before_a_crash(tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    with program(tmp_path, "quiet", EPICYCLE_PAGE=str(pages)) as process:
        epicycle("record", process.pid, "-o", tmp_path / "before.json", "--seconds", "0.3")
        process.kill()
        process.wait()
    (page,) = pages.iterdir()
    assert "written:" in epicycle("record", page, "-o", tmp_path / "after.json")
    names = {event.get("name") for event in json.loads((tmp_path / "after.json").read_text())["traceEvents"]}
    assert {"turn", "park", "rolling"} <= names


def test_a_page_of_another_layout_and_a_damaged_one(tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    with program(tmp_path, "quiet", EPICYCLE_PAGE=str(pages)) as process:
        process.kill()
        process.wait()
    (page,) = pages.iterdir()
    whole = page.read_bytes()
    page.write_bytes(whole[:8] + b"\x07" + whole[9:])
    assert "layout 7" in epicycle("top", page, "--once", status=1)
    page.write_bytes(whole[:4000])
    assert "epicycle: " in epicycle("top", page, "--once", status=1)
    # Anything at all in the rest of it is either shown or refused.
    page.write_bytes(whole[:24] + os.urandom(len(whole) - 24))
    for arguments in (("top", page, "--once"), ("stalls", page), ("tasks", page)):
        done = subprocess.run(
            [sys.executable, "-m", "epicycle", *arguments],
            capture_output=True,
            timeout=FOREVER,
            env=environment(),
        )
        assert done.returncode in (0, 1)
        assert b"Traceback" not in done.stderr
        assert b"\x1b" not in done.stdout


class Terminal:
    """A terminal of 120 by 40 with `epicycle ARGUMENTS` in it."""

    def __init__(self, *arguments):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-m", "epicycle", *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(TERM="xterm-256color"),
        )
        self.output = b""

    def read_until(self, text, patience=60.0):
        """Read what is drawn until `text` has been."""
        start = len(self.output)
        deadline = time.monotonic() + patience
        while text.encode() not in self.output[start:]:
            assert time.monotonic() < deadline, self.output[-3000:]
            if select.select([self.master], [], [], 0.5)[0]:
                self.output += os.read(self.master, 65536)

    def press(self, keys):
        os.write(self.master, keys.encode())

    def end(self):
        """Wait for the end, and see to it that the terminal is as it was."""
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            if select.select([self.master], [], [], 0.1)[0]:
                self.output += os.read(self.master, 65536)
        while select.select([self.master], [], [], 0.1)[0]:
            self.output += os.read(self.master, 65536)
        assert termios.tcgetattr(self.slave) == self.before
        assert self.output.rfind(b"\x1b[?1049l") > self.output.rfind(b"\x1b[?1049h")
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)


@pytest.mark.parametrize("keys", ["q", "\x03"])
def test_the_live_view_in_a_terminal(tmp_path, keys):
    with program(tmp_path, "quiet") as process, Terminal("top", process.pid, "--interval", "0.2") as terminal:
        terminal.read_until("rolling")
        terminal.press("a2341")
        terminal.read_until("sleeper")
        terminal.press(keys)
        assert terminal.end() == 0
        assert b"Traceback" not in terminal.output


def test_the_live_view_of_a_process_that_ends(tmp_path):
    with program(tmp_path, "quiet") as process, Terminal("top", process.pid, "--interval", "0.2") as terminal:
        terminal.read_until("rolling")
        process.kill()
        process.wait()
        terminal.read_until("has ended")
        terminal.press("q")
        assert terminal.end() == 0


def test_the_live_view_that_is_told_to_end(tmp_path):
    with program(tmp_path, "quiet") as process, Terminal("top", process.pid, "--interval", "0.2") as terminal:
        terminal.read_until("rolling")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 0


def test_two_live_views_of_one_stuck_process(tmp_path):
    with (
        program(tmp_path, "sleeping") as process,
        Terminal("top", process.pid, "--interval", "0.3") as first,
        Terminal("top", process.pid, "--interval", "0.3") as second,
    ):
        for terminal in (first, second):
            terminal.read_until("BLOCKED")
        for terminal in (first, second):
            terminal.press("q")
            assert terminal.end() == 0
        assert process.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a namespace of processes")
def test_a_process_in_a_namespace_of_processes(tmp_path):
    name = f"inside-{os.getpid()}"
    file = tmp_path / f"{name}.py"
    file.write_text(HEAD + PROGRAMS["sleeping"] + MAIN)
    with subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, str(file)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as outer:
        try:
            if outer.stdout.readline() != "ready\n":
                pytest.skip("this system has no namespaces of processes to give")
            said = eventually(lambda: epicycle("top", name, "--once"), lambda said: "in blocker" in said)
        finally:
            outer.kill()
    # It calls itself process 1, which here is another.
    assert said.startswith("BLOCKED") and said.splitlines()[0].endswith("in blocker")

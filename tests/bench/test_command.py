"""The command line from end to end: what it refuses, what it writes, how it ends."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from epicycle.bench.rows import ROWS

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICK = ("--repeats", "1", "--seconds", "0.01")
TWO = ("--loops", "asyncio,epicycle", *QUICK)

WRONG = {
    ("--fast",): "unknown option '--fast' of 'bench'",
    ("echo",): "unknown argument 'echo' of 'bench'",
    ("--list=no",): "unknown option '--list=no' of 'bench'",
    ("--reference", "asyncio"): "unknown option '--reference' of 'bench'",
    ("--allow-debug",): "unknown option '--allow-debug' of 'bench'",
    ("--rows",): "option '--rows' needs parts of rows' names",
    ("--loops=",): "option '--loops' needs names of loops",
    ("--rows", "echo,nothing"): "no row has 'nothing' in its name: '--list' names them",
    ("--rows", "echo,"): "no row has '' in its name: '--list' names them",
    ("--loops", "asyncio,no_such_loop"): "the loop 'no_such_loop' is not installed here",
    ("--loops", "asyncio,"): "option '--loops' has a comma too many",
    ("--repeats", "0"): "option '--repeats' needs a whole number from 1 to 1000, not '0'",
    ("--repeats", "2.5"): "option '--repeats' needs a whole number from 1 to 1000, not '2.5'",
    ("--seconds", "nan"): "option '--seconds' needs a number from 0.001 to 3600, not 'nan'",
    ("--seconds", "-1"): "option '--seconds' needs a number from 0.001 to 3600, not '-1'",
    ("--html", "/no/such/folder/x.html"): (
        "'/no/such/folder/x.html' cannot be written: there is no folder '/no/such/folder'"
    ),
    ("--json", "/"): "'/' is a folder, not a file to write",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage(arguments, failing_bench):
    assert failing_bench(*arguments) == WRONG[arguments]


def test_a_file_that_cannot_be_written_is_said_before_measuring(failing_bench, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere: run the tests as another user")
    tmp_path.chmod(0o500)
    assert failing_bench("--json", tmp_path / "x.json").endswith("cannot be written: permission denied")


def test_a_file_that_cannot_be_written_after_all(bench):
    completed = bench("--rows", "timers", *TWO, "--json", "/dev/full")
    assert completed.returncode == 1
    assert "Where epicycle loses" in completed.stdout
    assert completed.stderr.splitlines()[-1] == "epicycle: cannot write '/dev/full': No space left on device"


def test_help(bench):
    completed = bench("--help")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.startswith("usage: epicycle bench [--loops NAMES]")
    assert max(map(len, completed.stdout.splitlines())) <= 120


def test_list(bench):
    completed = bench("--list")
    assert (completed.returncode, completed.stderr) == (0, "")
    lines = completed.stdout.splitlines()
    assert [line.split()[0] for line in lines[: len(ROWS)]] == [row.name for row in ROWS]
    assert sum(line.endswith(" *") for line in lines) == sum(not row.brief for row in ROWS)


def test_a_run(bench, tmp_path):
    page, record = tmp_path / "report.html", tmp_path / "figures.json"
    completed = bench("--rows", "timers,unix_echo", *TWO, "--html", page, f"--json={record}")
    assert completed.returncode == 0, completed.stderr
    assert completed.stderr.startswith("  0%: timers on asyncio, 1 of 1\n")
    told = completed.stdout
    assert "epicycle against asyncio:" in told
    assert "Where epicycle loses" in told
    assert f"written: {page}" in told
    figures = json.loads(record.read_text())
    assert figures["format"] == 1
    assert list(figures["rows"]) == ["timers", "unix_echo"]
    assert list(figures["loops"]) == ["asyncio", "epicycle"]
    assert figures["reference"] == "asyncio"
    assert (figures["repeats"], figures["seconds"]) == (1, 0.01)
    for row in figures["rows"].values():
        for cell in row["loops"].values():
            assert (cell["failure"], cell["lacks"]) == ("", "")
            assert len(cell["repeats"]) == 1
            assert cell["repeats"][0] == cell["median"]
    text = page.read_text(encoding="utf-8")
    assert 'id="timers"' in text
    assert 'id="unix_echo"' in text
    assert "://" not in text


def test_the_developers_front_runs_the_same_code(bench, tmp_path):
    record = tmp_path / "figures.json"
    front = (str(ROOT / "benches" / "run.py"),)
    completed = bench("--rows", "timers", *TWO, "--reference", "epicycle", "--json", record, command=front)
    assert completed.returncode == 0, completed.stderr
    assert "peak MiB" in completed.stdout
    assert json.loads(record.read_text())["reference"] == "epicycle"
    completed = bench("--rows", "nothing", command=front)
    assert completed.returncode == 2
    assert completed.stderr.splitlines() == [
        "no row has 'nothing' in its name: '--list' names them",
        "Try 'make bench ARGS=\"--help\"' for more.",
    ]


# A process in which the compiled module says that it was built without optimisation.
DEBUG_BUILD = """\
import sys
import epicycle._epicycle as native
facts = native.build_facts
native.build_facts = lambda: facts() | {"profile": "debug", "optimised": False}
from epicycle.cli import main
sys.exit(main(["bench", *sys.argv[1:]]))
"""
# A process without the compiled module.
NO_BUILD = """\
import sys
sys.modules["epicycle._epicycle"] = None
from epicycle.cli import main
sys.exit(main(["bench"]))
"""


def test_a_debug_build_is_refused(bench):
    completed = bench("--rows", "timers", *QUICK, command=("-c", DEBUG_BUILD))
    assert (completed.returncode, completed.stdout) == (1, "")
    (line,) = completed.stderr.splitlines()
    assert line.startswith("epicycle: this is a debug build of Epicycle, and its speed says nothing")


def test_without_epicycle_a_debug_build_does_not_matter(bench):
    completed = bench("--rows", "timers", "--loops", "asyncio", *QUICK, command=("-c", DEBUG_BUILD))
    assert completed.returncode == 0, completed.stderr


def test_a_missing_build_is_said_plainly(bench):
    completed = bench(command=("-c", NO_BUILD))
    assert (completed.returncode, completed.stdout) == (1, "")
    (line,) = completed.stderr.splitlines()
    assert line.startswith("epicycle: the compiled module epicycle._epicycle cannot be loaded")


def test_peers_that_are_not_installed_are_left_out(bench):
    code = (
        "import sys; sys.modules['uvloop'] = None; from epicycle.cli import main; "
        "sys.exit(main(['bench', *sys.argv[1:]]))"
    )
    completed = bench("--rows", "timers", *QUICK, command=("-c", code))
    assert completed.returncode == 0, completed.stderr
    assert "uvloop" not in completed.stdout
    assert "epicycle against asyncio:" in completed.stdout


def test_a_loop_that_fails_is_said_and_gives_status_one(bench, tmp_path):
    (tmp_path / "broken_loop.py").write_text("def new_event_loop():\n    raise RuntimeError('not today')\n")
    completed = bench(
        *("--rows", "timers,unix_echo", "--loops", "broken_loop,epicycle", *QUICK),
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert completed.returncode == 1
    assert "broken_loop FAILED on timers: RuntimeError: not today" in completed.stdout
    assert "broken_loop FAILED on unix_echo: RuntimeError: not today" in completed.stdout
    assert "Traceback" not in completed.stderr + completed.stdout


def test_a_terminal_that_knows_no_signs_is_no_error(bench):
    completed = bench("--rows", "timers", *TWO, env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert completed.returncode == 0, completed.stderr
    assert "?" in completed.stdout


@pytest.mark.parametrize("processes", [2, 3])
def test_an_interrupt_leaves_no_process(processes):
    # Sent the moment that so many are there: the last has been forked, and nobody has its number yet.
    # Whatever the command starts is in its session, and nothing else is.
    with subprocess.Popen(
        [sys.executable, "-m", "epicycle", "bench", "--rows", "protocol_echo", "--seconds", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as command:
        try:
            while len(members(command.pid)) < processes:
                assert command.poll() is None, command.communicate()
            # To the command alone, so that it is the command that ends the others.
            command.send_signal(signal.SIGINT)
            _, errors = command.communicate(timeout=60)
        finally:
            command.kill()
    assert command.returncode == 130
    assert errors.splitlines()[-1] == "epicycle: interrupted"
    assert "Traceback" not in errors
    assert members(command.pid) == []


def members(session):
    """The processes of a session."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # One that is dead and not yet reaped is nobody's fault but init's.
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found

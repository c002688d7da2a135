"""What the command says of itself, and of a command line that is wrong."""

from __future__ import annotations

import pytest

import epicycle as package

RUN = "usage: epicycle run [--watch[=SECONDS]] [--legacy] [--nested] [--debug] PROGRAM.py [ARGS...]\n"

WRONG = {
    (): "a command is missing: 'run', 'doctor', 'bench', 'top', 'tasks', 'stalls' or 'record'",
    ("walk",): "unknown command 'walk'; to run a program: 'epicycle run walk'",
    ("app.py",): "unknown command 'app.py'; to run a program: 'epicycle run app.py'",
    ("--fast",): "unknown option '--fast'",
    ("run",): "'run' needs a program: a file, '-m MODULE' or '-c CODE'",
    ("run", "--debug"): "'run' needs a program: a file, '-m MODULE' or '-c CODE'",
    ("run", "--"): "unknown option '--' of 'run'",
    ("run", "--fast", "app.py"): "unknown option '--fast' of 'run'",
    ("run", "-i", "app.py"): "unknown option '-i' of 'run'",
    ("run", "--watch=never", "app.py"): "--watch takes 0.001 to 3600 seconds, not 'never'",
    ("run", "--watch=0", "app.py"): "--watch takes 0.001 to 3600 seconds, not '0'",
    ("run", "-m"): "option '-m' needs a module",
    ("run", "--debug", "-c"): "option '-c' needs a piece of code",
    ("doctor", "app.py"): "'doctor' does not take 'app.py'",
    ("doctor", "--json", "--yaml"): "'doctor' does not take '--yaml'",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage(arguments, epicycle):
    completed = epicycle(*arguments)
    assert completed.returncode == 2
    assert completed.stdout == ""
    said, hint = completed.stderr.splitlines()
    assert said == f"epicycle: {WRONG[arguments]}"
    command = hint.removeprefix("Try '").removesuffix("' for more.").split()
    assert epicycle(*command[1:]).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        (("--help",), RUN),
        (("-h",), RUN),
        (("run", "--help"), RUN),
        (("run", "--debug", "-h"), RUN),
        (("doctor", "--help"), "usage: epicycle doctor [--json]\n"),
    ],
)
def test_help(arguments, begins, epicycle):
    completed = epicycle(*arguments)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.startswith(begins)
    assert max(map(len, completed.stdout.splitlines())) <= 112


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option, epicycle):
    completed = epicycle(option)
    assert (completed.returncode, completed.stdout) == (0, f"epicycle {package.__version__}\n")

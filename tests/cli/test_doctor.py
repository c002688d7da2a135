"""``epicycle doctor`` tells what is there, in words and as JSON."""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
from importlib.util import find_spec

import pytest

SECTIONS = ["versions", "build", "python", "system", "limits", "packages", "install() is active", "advice"]
built = pytest.mark.skipif(find_spec("epicycle._epicycle") is None, reason="the compiled module is not built")

# A process without the compiled module, whether or not there is one.
WITHOUT = "import sys; sys.modules['epicycle._epicycle'] = None; from epicycle.cli import main; sys.exit(main({!r}))"


@built
def test_healthy(epicycle):
    completed = epicycle("doctor")
    assert (completed.returncode, completed.stderr) == (0, "")
    lines = completed.stdout.splitlines()
    headings = [line for line in lines if not line.startswith(" ")]
    assert headings[:6] == SECTIONS[:6]
    assert "install() is active: no" in headings
    assert any(line.split() == ["python", platform.python_version()] for line in lines)
    assert any(line.split()[:1] == ["poller"] for line in lines)


@built
def test_json_has_the_build(epicycle):
    found = json.loads(epicycle("doctor", "--json").stdout)
    from epicycle._epicycle import build_facts

    assert found["build"].items() >= build_facts().items()
    assert found["versions"]["epicycle"] == build_facts()["version"]


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["words", "json"])
def test_missing_module_is_said_plainly(options, python):
    completed = python("-c", WITHOUT.format(["doctor", *options]))
    assert (completed.returncode, completed.stderr) == (1, "")
    if options:
        found = json.loads(completed.stdout)
        assert found["build"] is None
        assert "the compiled module epicycle._epicycle cannot be loaded" in found["advice"][0]
    else:
        assert "\nbuild\n  the compiled module is missing\n" in completed.stdout
        assert "cannot be loaded" in completed.stdout


def test_facts_are_those_of_this_process(python):
    code = "import epicycle.cli.doctor as doctor, json; print(json.dumps(doctor.facts()))"
    found = json.loads(python("-c", code).stdout)
    assert list(found) == SECTIONS
    assert found["versions"]["python"] == platform.python_version()
    assert found["python"]["executable"] == sys.executable
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert found["limits"]["open files, soft"] == ("unlimited" if soft == resource.RLIM_INFINITY else soft)
    assert found["limits"]["open files, hard"] == ("unlimited" if hard == resource.RLIM_INFINITY else hard)
    assert found["install() is active"] is False


def test_few_open_files_are_noticed(python):
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); "
        "import epicycle.cli.doctor as doctor; print(*doctor.facts()['advice'], sep='\\n')"
    )
    assert "a process may have 256 files open" in python("-c", code).stdout


def test_active_install_is_noticed(python):
    code = (
        "import epicycle; epicycle.install(); import epicycle.cli.doctor as doctor; "
        "print(doctor.facts()['install() is active'])"
    )
    assert python("-c", code).stdout == "True\n"


def test_a_reader_that_has_seen_enough_is_no_error():
    with subprocess.Popen(
        [sys.executable, "-m", "epicycle", "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as told:
        assert told.stdout is not None and told.stderr is not None
        told.stdout.close()
        assert told.stderr.read() == b""
        assert told.wait(60) == 0

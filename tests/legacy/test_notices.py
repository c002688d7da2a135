"""How the notices can be turned off or into errors, and what other processes say."""

from __future__ import annotations

import pytest

TWICE = """
import asyncio
@asyncio.coroutine
def first():
    yield
@asyncio.coroutine
def second():
    yield
print("ran")
"""


def notices(completed) -> int:
    return completed.stderr.count("LegacyWarning:")


def test_said_once(legacy):
    completed = legacy(TWICE)
    assert (completed.stdout, notices(completed)) == ("ran\n", 1)
    assert completed.stderr.splitlines()[1].strip() == "@asyncio.coroutine"


def test_said_once_where_every_warning_is_shown(legacy):
    assert notices(legacy(TWICE, options=("-W", "always"))) == 1


def test_said_for_a_library_too(legacy, tmp_path):
    """A warning of Python's own about deprecation is shown for the main module alone; these are not."""
    (tmp_path / "old_library.py").write_text(TWICE)
    completed = legacy("import old_library\n")
    assert notices(completed) == 1
    assert completed.stderr.startswith(f"{tmp_path / 'old_library.py'}:3: LegacyWarning: ")


@pytest.mark.parametrize("option", ["ignore", "ignore::DeprecationWarning", "ignore:@asyncio.coroutine"])
def test_options_of_the_interpreter_hold(option, legacy):
    completed = legacy(TWICE, options=("-W", option))
    assert (completed.stdout, completed.stderr) == ("ran\n", "")


def test_options_about_other_things_do_not_hide_them(legacy):
    assert notices(legacy(TWICE, options=("-W", "error::ResourceWarning"))) == 1


def test_error_at_the_programs_line(legacy):
    completed = legacy(TWICE, options=("-W", "error::DeprecationWarning"))
    assert completed.returncode == 1
    assert "line 3, in <module>" in completed.stderr
    assert completed.stderr.splitlines()[-1].startswith("epicycle.legacy.LegacyWarning: @asyncio.coroutine")


def test_program_filters_by_category(legacy):
    program = """
import warnings
from epicycle.legacy import LegacyWarning
warnings.simplefilter("ignore", LegacyWarning)
assert issubclass(LegacyWarning, DeprecationWarning)
"""
    completed = legacy(program + TWICE)
    assert (completed.stdout, completed.stderr) == ("ran\n", "")


CHILDREN = """
import asyncio
import multiprocessing
import sys
from collections import Mapping


@asyncio.coroutine
def work(number):
    yield from asyncio.sleep(0)
    return number * 2


def run(number):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work(number))
    finally:
        loop.close()


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(2) as pool:
        print(pool.map(run, range(3)), issubclass(dict, Mapping))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_run_old_code_and_do_not_repeat_the_notices(method, legacy):
    completed = legacy(CHILDREN, method, options=("-W", "ignore:This process"))
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout == "[0, 2, 4] True\n"
    assert notices(completed) == 2

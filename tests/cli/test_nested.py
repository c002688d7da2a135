"""``epicycle run --nested``."""

from __future__ import annotations

import pytest

PROGRAM = """
import asyncio
import multiprocessing
import sys

import epicycle


async def inner(value):
    loop = asyncio.get_running_loop()
    return value, type(loop).__name__, loop.get_debug()


async def outer(value):
    by_run = asyncio.run(inner(value))
    return by_run, asyncio.get_event_loop().run_until_complete(inner(value)) == by_run


def in_a_process(value):
    return asyncio.run(outer(value))


if __name__ == "__main__":
    print(in_a_process(1))
    for method in sys.argv[1:]:
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(pool.apply(in_a_process, (2,)))
"""


@pytest.mark.parametrize("debug", [False, True])
def test_a_program_may_run_loops_inside_of_loops_in_every_process(write, epicycle, debug):
    options = ["--nested", *["--debug"][:debug]]
    completed = epicycle("run", *options, write("program.py", PROGRAM), "fork", "spawn", "forkserver")
    assert completed.stderr == ""
    expected = [f"(({number}, 'NestedEventLoop', {debug}), True)" for number in (1, 2, 2, 2)]
    assert completed.stdout.splitlines() == expected


def test_with_the_ways_of_old_programs(write, epicycle):
    source = """
import asyncio

@asyncio.coroutine
def inner():
    yield from asyncio.sleep(0)
    return "inner"

@asyncio.coroutine
def outer():
    return asyncio.get_event_loop().run_until_complete(inner())

loop = asyncio.get_event_loop()
print(loop.run_until_complete(outer()))
loop.close()
"""
    completed = epicycle("run", "--legacy", "--nested", write("program.py", source))
    assert completed.stdout == "inner\n", completed.stderr


def test_without_the_option_it_is_refused(write, epicycle):
    completed = epicycle("run", write("program.py", PROGRAM))
    assert completed.returncode == 1
    assert "asyncio.run() cannot be called from a running event loop" in completed.stderr

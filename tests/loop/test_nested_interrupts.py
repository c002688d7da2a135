"""Ctrl-C while a loop runs inside of another."""

import pathlib
import signal
import time

import pytest

from toolkit import running_script

pytestmark = pytest.mark.epicycle_only

START = """
import asyncio, signal, sys, epicycle

async def inner():
    try:
        print("ready")
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        print("inner cancelled")
        raise

"""


def is_awake(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S"


def interrupted(loop_name, code):
    with running_script(loop_name, START + code) as process:
        # "ready" is said by what runs; the interrupt is for a loop that waits.
        while is_awake(process.pid):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    return process.returncode, out.splitlines(), err


def test_it_cancels_the_inner_task_and_comes_out_of_the_inner_run(loop_name):
    code = """
async def outer():
    loop = asyncio.get_running_loop()
    try:
        loop.run_until_complete(inner())
    except KeyboardInterrupt:
        print("outer interrupted")
        raise
    finally:
        await asyncio.sleep(0)
        print("outer tidied up")

try:
    epicycle.run(outer(), nested=True)
except KeyboardInterrupt:
    print("interrupted")
"""
    assert interrupted(loop_name, code) == (
        0,
        ["inner cancelled", "outer interrupted", "outer tidied up", "interrupted"],
        "",
    )


def test_it_may_be_caught_and_the_outer_run_goes_on(loop_name):
    code = """
async def outer():
    try:
        epicycle.run(inner())
    except KeyboardInterrupt:
        print("caught")
    handler = signal.getsignal(signal.SIGINT)
    assert handler.func.__func__ is asyncio.Runner._on_sigint, handler
    return await asyncio.sleep(0.001, "done")

print(epicycle.run(outer(), nested=True))
"""
    assert interrupted(loop_name, code) == (0, ["inner cancelled", "caught", "done"], "")


def test_it_reaches_the_innermost_of_several(loop_name):
    code = """
async def middle():
    try:
        return epicycle.run(inner())
    finally:
        print("middle left", asyncio.current_task().get_name())

async def outer():
    loop = asyncio.get_running_loop()
    loop.run_until_complete(loop.create_task(middle(), name="middle"))

try:
    epicycle.run(outer(), nested=True)
except KeyboardInterrupt:
    print("interrupted")
"""
    assert interrupted(loop_name, code) == (0, ["inner cancelled", "middle left middle", "interrupted"], "")


def test_without_a_runner_it_raises_at_once_through_both_runs(loop_name):
    code = """
loop = epicycle.new_event_loop(nested=True)

async def outer():
    global task
    # Made here, so that it is ready only when the inner run has begun.
    task = loop.create_task(inner())
    try:
        loop.run_until_complete(task)
    finally:
        print("outer left", task.done())

try:
    loop.run_until_complete(outer())
except KeyboardInterrupt:
    print("interrupted")
task.cancel()
loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
loop.close()
"""
    assert interrupted(loop_name, code) == (
        0,
        ["outer left False", "interrupted", "inner cancelled"],
        "",
    )

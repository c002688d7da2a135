"""Which loop a program gets, where, and what is left alone."""

from __future__ import annotations

import sys

import pytest

WHICH = """
import asyncio, sys, threading
import epicycle

def name(loop):
    loop.close()
    return "epicycle" if type(loop) is epicycle.EventLoop else type(loop).__name__

async def running():
    return type(asyncio.get_running_loop()) is epicycle.EventLoop
"""


@pytest.fixture
def lines(write, epicycle):
    """Run a program that begins with WHICH and return the lines it prints."""

    def lines(source: str, *options: str, interpreter: tuple[str, ...] = ()) -> list[str]:
        program = write("program.py", WHICH + source)
        completed = epicycle("run", *options, program, options=interpreter)
        assert completed.returncode == 0, completed.stderr
        assert completed.stderr == ""
        return completed.stdout.splitlines()

    return lines


def test_loops_that_asyncio_makes_are_ours(lines):
    source = """
print(asyncio.run(running()))
with asyncio.Runner() as runner:
    print(runner.run(running()))
print(name(asyncio.new_event_loop()))
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
print(asyncio.get_event_loop() is loop)
loop.close()
"""
    assert lines(source) == ["True", "True", "epicycle", "True"]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="asyncio makes no loop there since 3.14")
def test_get_event_loop_makes_ours(lines):
    source = "print(name(asyncio.get_event_loop()))"
    assert lines(source, interpreter=("-W", "ignore::DeprecationWarning")) == ["epicycle"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio makes a loop there until 3.13")
def test_get_event_loop_outside_a_loop_still_raises(write, epicycle, python):
    program = write("program.py", "import asyncio; asyncio.get_event_loop()")
    assert epicycle("run", program).stderr == python(program).stderr


def test_threads_get_ours(lines):
    source = """
thread = threading.Thread(target=lambda: print(asyncio.run(running())))
thread.start()
thread.join()
print(asyncio.run(asyncio.to_thread(lambda: asyncio.run(running()))))
"""
    assert lines(source) == ["True", "True"]


def test_named_classes_stay_what_they_are(lines):
    source = """
print(type(asyncio.SelectorEventLoop()).__module__)
with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
    print(runner.run(running()))
"""
    interpreter = ("-W", "ignore::ResourceWarning")
    assert lines(source, interpreter=interpreter) == ["asyncio.unix_events", "False"]


def test_program_may_choose_another_policy(lines):
    source = """
import warnings
warnings.simplefilter("ignore")
asyncio.set_event_loop_policy(None)
print(asyncio.run(running()), epicycle.installed())
"""
    assert lines(source) == ["False False"]


def test_debug_puts_loops_into_debug_mode(lines):
    source = """
async def debugging():
    return asyncio.get_running_loop().get_debug()
print(asyncio.run(debugging()), asyncio.run(debugging(), debug=False))
"""
    assert lines(source, "--debug") == ["True False"]
    assert lines(source) == ["False False"]


def test_nothing_is_left_in_the_environment(lines):
    source = "import os; print([key for key, value in os.environ.items() if 'epicycle run' in key + value])"
    assert lines(source) == ["[]"]


def test_other_programs_are_not_touched(lines):
    source = """
import subprocess
code = "import asyncio; print(type(asyncio.new_event_loop()).__module__)"
print(subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True).stdout.strip())
"""
    assert lines(source, "--debug") == ["asyncio.unix_events"]


def test_nothing_is_patched_without_legacy(write, epicycle, python):
    program = write(
        "program.py",
        """
        import asyncio, collections, inspect, threading, time, sys
        for module in (asyncio, asyncio.tasks, asyncio.locks, asyncio.queues, asyncio.streams, asyncio.coroutines,
                       collections, inspect, threading, time):
            print(module.__name__, sorted(vars(module)))
            print([getattr(value, "__module__", "") for _, value in sorted(vars(module).items())])
        print(sys.meta_path[-3:], asyncio.coroutines._COROUTINE_TYPES, vars(asyncio.Lock).keys())
        """,
    )
    assert epicycle("run", program).stdout == python(program).stdout

"""Ctrl-C at any moment, and signals that are handled by Python alone."""

import contextlib
import os
import signal
import subprocess
import threading

import pytest

from toolkit import join_all, parked_thread, run_bounded, running_script, wait_until_parked

# What the program does when it says `ready`, and what it must have printed when it has ended.
PARKED = """
import asyncio
loop = new_loop()
loop.call_soon(print, "ready")
try:
    loop.run_forever()
except KeyboardInterrupt:
    print("interrupted", loop.is_running(), loop.is_closed())
    print(loop.run_until_complete(asyncio.sleep(0.001, "still works")))
loop.close()
"""

PARKED_WITH_TIMER = """
loop = new_loop()
loop.call_later(3600, print)
loop.call_soon(print, "ready")
try:
    loop.run_forever()
except KeyboardInterrupt:
    print("interrupted")
loop.close()
"""

BUSY_CALLBACK = """
loop = new_loop()
def busy():
    print("ready")
    while True:
        pass
loop.call_soon(busy)
try:
    loop.run_forever()
except KeyboardInterrupt:
    print("interrupted", loop.is_running())
loop.close()
"""

BUSY_TASK = """
loop = new_loop()
async def busy():
    print("ready")
    while True:
        pass
task = loop.create_task(busy())
try:
    loop.run_until_complete(task)
except KeyboardInterrupt:
    print("interrupted", task.done(), type(task.exception()).__name__)
loop.close()
"""

# Callbacks that are over in no time: the signal arrives between them, and must not be lost.
BETWEEN_CALLBACKS = """
loop = new_loop()
def again():
    loop.call_soon(again)
loop.call_soon(print, "ready")
loop.call_soon(again)
try:
    loop.run_forever()
except KeyboardInterrupt:
    print("interrupted", loop.is_running())
loop.close()
"""

# All steps are in C: no Python code runs between the turns.
BETWEEN_STEPS = """
import asyncio
loop = new_loop()
async def spin():
    while True:
        await asyncio.sleep(0)
loop.call_soon(print, "ready")
task = loop.create_task(spin())
try:
    loop.run_forever()
except KeyboardInterrupt:
    print("interrupted", loop.is_running())
task.cancel()
loop.run_until_complete(asyncio.wait([task])) if not task.done() else None
loop.close()
"""

RUNNER = """
import asyncio
async def main():
    print("ready")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("cancelled")
        raise
    finally:
        await asyncio.sleep(0.001)
        print("cleaned up")
try:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""

RUNNER_WITH_BUSY_TASK = """
import asyncio
async def main():
    print("ready")
    while True:
        pass
try:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
except (KeyboardInterrupt, asyncio.CancelledError) as error:
    print("interrupted")
"""

IN_A_SERVER = """
import asyncio
async def main():
    async def client(reader, writer):
        writer.close()
    server = await asyncio.start_server(client, "127.0.0.1", 0)
    async with server:
        print("ready")
        try:
            await server.serve_forever()
        finally:
            print("stopped")
try:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""

RAISING_HANDLER = """
import asyncio, signal
def handler(number, frame):
    raise LookupError("from the handler")
signal.signal(signal.SIGUSR1, handler)
loop = new_loop()
loop.call_soon(print, "ready")
try:
    loop.run_forever()
except LookupError as error:
    print(error, loop.is_running())
    print(loop.run_until_complete(asyncio.sleep(0.001, "still works")))
loop.close()
"""

PROGRAMS = {
    "a parked loop": (PARKED, "interrupted False False\nstill works\n"),
    "a loop parked for a timer": (PARKED_WITH_TIMER, "interrupted\n"),
    "a busy callback": (BUSY_CALLBACK, "interrupted False\n"),
    "a busy task": (BUSY_TASK, "interrupted True KeyboardInterrupt\n"),
    "between callbacks": (BETWEEN_CALLBACKS, "interrupted False\n"),
    "between steps": (BETWEEN_STEPS, "interrupted False\n"),
    "a runner": (RUNNER, "cancelled\ncleaned up\ninterrupted\n"),
    "a server": (IN_A_SERVER, "stopped\ninterrupted\n"),
}


@pytest.mark.parametrize("moment", list(PROGRAMS))
def test_an_interrupt_ends_the_program(loop_name, moment):
    code, expected = PROGRAMS[moment]
    with running_script(loop_name, code) as process:
        if "parked" in moment:
            wait_until_parked(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == (expected, "", 0)


def test_a_second_interrupt_ends_a_busy_task_under_a_runner(loop_name):
    # The first asks the main task to cancel itself, which a busy one never notices.
    with running_script(loop_name, RUNNER_WITH_BUSY_TASK) as process:
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        out = process.stdout.read()
    assert out == "interrupted\n"


def test_an_interrupt_nobody_catches_ends_with_a_traceback(loop_name):
    code = "loop = new_loop()\nloop.call_soon(print, 'ready')\nloop.run_forever()\n"
    with running_script(loop_name, code) as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in err


@pytest.fixture
def handled():
    """Sets a handler for SIGUSR1 in the ordinary way, and puts the old one back."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, before)


def test_a_handler_of_python_runs_while_the_loop_is_parked(loop, handled):
    seen = []

    def handler(number, frame):
        seen.append(number)
        loop.call_soon_threadsafe(loop.stop)

    handled(handler)
    threads = []
    main = threading.get_ident()
    loop.call_soon(lambda: threads.append(parked_thread(signal.pthread_kill, main, signal.SIGUSR1)))
    run_bounded(loop)
    join_all(*threads)
    assert seen == [signal.SIGUSR1]


def test_what_a_handler_of_python_raises_leaves_the_loop(loop_name):
    with running_script(loop_name, RAISING_HANDLER) as process:
        wait_until_parked(process)
        process.send_signal(signal.SIGUSR1)
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("from the handler False\nstill works\n", "", 0)


def test_many_signals_while_the_loop_is_busy_are_all_noticed(loop, handled):
    seen = []
    handled(lambda number, frame: seen.append(number))

    def send(left):
        if not left:
            loop.stop()
            return
        count = len(seen)
        os.kill(os.getpid(), signal.SIGUSR1)
        # The handler runs at the next chance in Python's own code.
        for _ in range(1000):
            if len(seen) > count:
                break
        loop.call_soon(send, left - 1)

    loop.call_soon(send, 50)
    run_bounded(loop)
    assert len(seen) == 50

"""Ctrl-C reaches the program as it does under ``python``."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# None waits for good: a signal that arrives just before the wait would be seen only after it, and the standard loop
# has that gap as well.
PROGRAMS = {
    "asyncio.run": """
        import asyncio
        async def main():
            try:
                print("ready", flush=True)
                while True:
                    await asyncio.sleep(0.05)
            finally:
                print("cleaned up", flush=True)
        asyncio.run(main())
    """,
    "a cancellation that is refused": """
        import asyncio
        async def main():
            print("ready", flush=True)
            try:
                while True:
                    await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                print("refused", flush=True)
        asyncio.run(main())
        print("went on", flush=True)
    """,
    "run_forever": """
        import asyncio
        loop = asyncio.new_event_loop()
        def tick():
            loop.call_later(0.05, tick)
        loop.call_soon(tick)
        loop.call_soon(lambda: print("ready", flush=True))
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("stopped by hand", flush=True)
        finally:
            loop.close()
    """,
    "run_forever, uncaught": """
        import asyncio
        loop = asyncio.new_event_loop()
        def tick():
            loop.call_later(0.05, tick)
        loop.call_soon(tick)
        loop.call_soon(lambda: print("ready", flush=True))
        try:
            loop.run_forever()
        finally:
            loop.close()
    """,
    "a signal handler": """
        import asyncio, signal
        async def main():
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
            print("ready", flush=True)
            await stop.wait()
            print("asked to stop", flush=True)
        asyncio.run(main())
    """,
    "busy in a callback": """
        import asyncio
        def busy():
            print("ready", flush=True)
            while True:
                pass
        loop = asyncio.new_event_loop()
        loop.call_soon(busy)
        try:
            loop.run_forever()
        finally:
            loop.close()
    """,
    "no loop at all": """
        print("ready", flush=True)
        while True:
            pass
    """,
}


@pytest.fixture
def interrupt(environment):
    """Start a program, send SIGINT once it says 'ready', return its status, its output and its last line of errors."""

    def interrupt(*command: str) -> tuple[int, str, str]:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                assert process.stdout.readline() == "ready\n", process.stderr.read()
                process.send_signal(signal.SIGINT)
                output, errors = process.communicate(timeout=60)
            finally:
                process.kill()
        assert "epicycle/cli" not in errors
        return process.returncode, output, errors.splitlines()[-1] if errors else ""

    return interrupt


@pytest.mark.parametrize("name", PROGRAMS)
def test_interrupt_ends_the_same(name, write, interrupt):
    program = str(write("program.py", PROGRAMS[name]))
    assert interrupt("-m", "epicycle", "run", program) == interrupt(program)

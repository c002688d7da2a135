"""A program ends as it ends under ``python``: status, output, and tracebacks that show its own lines alone."""

from __future__ import annotations

import re
import signal

import pytest

ENDINGS = {
    "falls off the end": "print('done')",
    "exit": "import sys; sys.exit()",
    "exit none": "import sys; sys.exit(None)",
    "exit number": "import sys; sys.exit(3)",
    "exit large number": "import sys; sys.exit(259)",
    "exit negative number": "import sys; sys.exit(-1)",
    "exit text": "import sys; sys.exit('a reason')",
    "exit object": "import sys; sys.exit(['a', 1])",
    "exit at once": "import os; os._exit(5)",
    "raise SystemExit in a coroutine": """
        import asyncio
        async def main():
            raise SystemExit(7)
        asyncio.run(main())
    """,
    "exception": """
        def fail():
            raise ValueError("no good")
        fail()
    """,
    "exception in a coroutine": """
        import asyncio
        async def inner():
            await asyncio.sleep(0)
            {}["missing"]
        async def main():
            await inner()
        asyncio.run(main())
    """,
    "chained exceptions": """
        def fail():
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise RuntimeError("outer") from error
        try:
            fail()
        except RuntimeError:
            raise KeyError("last")
    """,
    "exception group": """
        raise ExceptionGroup("several", [ValueError(1), TypeError(2)])
    """,
    "exception with a note": """
        error = ValueError("noted")
        error.add_note("the note")
        raise error
    """,
    "exception from one in a coroutine": """
        import asyncio
        async def main():
            raise ValueError("inner")
        try:
            asyncio.run(main())
        except ValueError as error:
            raise ExceptionGroup("outer", [error]) from error
    """,
    "exception without a text": """
        class Odd(Exception):
            def __str__(self):
                raise RuntimeError("no text")
        raise Odd
    """,
    "import error": "import no_such_module_anywhere",
    "syntax error": "print('a'\nx = ",
    "indentation error": "if True:\nprint(1)",
    "recursion": "def f():\n    f()\nf()",
    "assertion": "assert 1 == 2, 'differs'",
    "hook": """
        import sys
        def hook(kind, value, trace):
            frames = []
            while trace:
                if trace.tb_frame.f_globals["__name__"] != "runpy":
                    frames.append(trace.tb_frame.f_code.co_name)
                trace = trace.tb_next
            print("hook:", kind.__name__, value, frames, sys.last_value is value, sys.excepthook is hook)
        sys.excepthook = hook
        def fail():
            raise ValueError("for the hook")
        fail()
    """,
    "failing hook": """
        import sys
        def hook(kind, value, trace):
            raise TypeError("the hook's own")
        sys.excepthook = hook
        raise ValueError("the program's")
    """,
    "exit in hook": """
        import sys
        sys.excepthook = lambda *error: sys.exit(4)
        raise ValueError("hidden")
    """,
    "at exit": """
        import atexit, sys, threading
        atexit.register(print, "at exit", flush=True)
        threading.Thread(target=lambda: print("thread", flush=True)).start()
        raise ValueError("before")
    """,
    "error at exit": """
        import atexit
        def fail():
            raise ValueError("at exit")
        atexit.register(fail)
    """,
    "thread fails": """
        import threading
        def fail():
            raise ValueError("in a thread")
        thread = threading.Thread(target=fail, name="worker")
        thread.start()
        thread.join()
    """,
    "forked child fails": """
        import os, sys
        pid = os.fork()
        if pid == 0:
            raise ValueError("in the child")
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """,
    "keyboard interrupt": """
        import atexit
        atexit.register(print, "at exit")
        def work():
            raise KeyboardInterrupt
        work()
    """,
    "keyboard interrupt caught": """
        import sys
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(9)
    """,
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "unraisable": """
        class Odd:
            def __del__(self):
                raise ValueError("in del")
        Odd()
    """,
    "warning": "import warnings; warnings.warn('careful', DeprecationWarning)",
}


def outcome(completed) -> tuple[int, str, str]:
    errors = completed.stderr
    # Under python, -m shows the frames of runpy. Addresses differ from run to run. The depth at which recursion
    # ends counts the frames that brought the program there.
    errors = re.sub(r'[ |]*File "<frozen runpy>", line \d+, in \w+\n', "", errors)
    # Where asyncio's loop shows frames of its own, ours shows none.
    errors = re.sub(
        r'[ |]*File ".+/asyncio/base_events.py", line .+\n(.*return.*\n([ |~^]+\n)?)?', "", errors
    )
    errors = re.sub(r"0x[0-9a-f]+", "0x", errors)
    errors = re.sub(r"repeated \d+ more times", "repeated", errors)
    return completed.returncode, completed.stdout, errors


@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.parametrize("kind", ["file", "module", "code", "directory"])
def test_ends_the_same(name, kind, write, python, epicycle):
    program = write("app/__main__.py" if kind == "directory" else "program.py", ENDINGS[name])
    target = {
        "file": ["program.py"],
        "module": ["-m", "program"],
        "code": ["-c", program.read_text()],
        "directory": ["app"],
    }[kind]
    cwd = program.parent.parent if kind == "directory" else program.parent
    ours = outcome(epicycle("run", *target, cwd=cwd))
    assert ours == outcome(python(*target, cwd=cwd))
    assert "epicycle" not in ours[2].replace(str(cwd), "")


def test_keyboard_interrupt_dies_by_the_signal(write, epicycle):
    program = write("program.py", ENDINGS["keyboard interrupt"])
    completed = epicycle("run", program)
    assert completed.returncode == -signal.SIGINT
    assert completed.stdout == "at exit\n"


def test_last_exception_is_the_programs(write, python, epicycle):
    """A debugger's post-mortem starts in the program."""
    program = write(
        "program.py",
        """
        import atexit, sys, traceback
        def look():
            print([frame.name for frame in traceback.extract_tb(sys.last_traceback)])
            print([frame.name for frame in traceback.extract_tb(sys.last_value.__traceback__)])
        atexit.register(look)
        def fail():
            raise ValueError
        fail()
        """,
    )
    assert epicycle("run", program).stdout == python(program).stdout


@pytest.mark.parametrize(
    "target",
    [
        ["missing.py"],
        ["folder/missing.py", "x"],
        ["empty"],
        ["-m", "missing"],
        ["-m", "missing.inner"],
        ["-m", "program.py"],
    ],
    ids=" ".join,
)
def test_missing_program(target, write, python, epicycle):
    cwd = write("program.py", "").parent
    (cwd / "empty").mkdir()
    ours, theirs = epicycle("run", *target, cwd=cwd), python(*target, cwd=cwd)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    # The first word is the program that speaks.
    assert ours.stderr.split(": ", 1)[1] == theirs.stderr.split(": ", 1)[1]


def test_unreadable_program(write, epicycle):
    program = write("program.py", "print(1)")
    loop = program.with_name("loop.py")
    loop.symlink_to(loop)
    completed = epicycle("run", loop)
    assert completed.returncode == 2
    assert completed.stderr.startswith(f"epicycle: can't open file '{loop}': [Errno 40] ")

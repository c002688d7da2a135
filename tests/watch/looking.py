"""Looking into loops from outside: programs to look into, and finding their pages."""

import contextlib
import os
import subprocess
import sys
import textwrap
import time

from epicycle import _epicycle


def descriptors(pid):
    """The descriptors of a process that are pages, as paths."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{name}").startswith("/memfd:epicycle-loop"):
                found.append(f"/proc/{pid}/fd/{name}")
    return found


def wait_for(condition, seconds=20.0):
    """What `condition()` returns once that is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)
    return value


@contextlib.contextmanager
def target(code, **environment):
    """A program that runs `code` and whose page is there when it has printed its first line; yields both."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        assert process.stdout.readline() == "ready\n", process.communicate(timeout=20)
        pages = descriptors(process.pid)
        page = _epicycle.Page.open(pages[0]) if pages else None
        yield process, page
        if page is not None:
            page.close()
    finally:
        process.kill()
        process.communicate(timeout=20)

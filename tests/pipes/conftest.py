"""Pipes with one plain end and one end for the loop."""

import contextlib
import os
from io import FileIO

import pytest


class Pipe:
    """A pipe: `reading` and `writing` are file objects, None once given away or closed."""

    def __init__(self):
        read_end, write_end = os.pipe()
        self.reading = FileIO(read_end, "rb")
        self.writing = FileIO(write_end, "wb")

    def close(self):
        self.reading.close()
        self.writing.close()

    def fill(self):
        """Write until the kernel takes no more; return what it took."""
        os.set_blocking(self.writing.fileno(), False)
        taken = bytearray()
        with contextlib.suppress(BlockingIOError):
            while True:
                data = bytes(range(256)) * 16
                taken += data[: os.write(self.writing.fileno(), data)]
        return bytes(taken)


@pytest.fixture
def pipe(nothing_left):
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def terminal(nothing_left):
    """The two ends of a terminal as descriptors: the program's raw, so that bytes pass unchanged."""
    import pty
    import tty

    outer, inner = pty.openpty()
    tty.setraw(inner)
    open_ends = {"outer": outer, "inner": inner}
    yield open_ends
    for fd in open_ends.values():
        with contextlib.suppress(OSError):
            os.close(fd)

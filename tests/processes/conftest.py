"""Children are counted: no test may leave one, dead or alive."""

import asyncio
import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def child_watcher():
    """What asyncio needs before 3.12: the watcher that works with any number of loops, made in the main thread."""
    if sys.version_info < (3, 12):
        asyncio.get_child_watcher()


@pytest.fixture(autouse=True)
def no_children(nothing_left):
    yield
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL:
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


@pytest.fixture
def ignored_sigchld():
    """The kernel reaps children by itself."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)

"""Children are counted: no test may leave one, dead or alive."""

import asyncio
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from children import children, strangers


@pytest.fixture(autouse=True, scope="session")
def child_watcher():
    """What asyncio needs before 3.12: the watcher that works with any number of loops, made in the main thread."""
    if sys.version_info < (3, 12):
        asyncio.get_child_watcher()


@pytest.fixture(autouse=True)
def no_children(nothing_left):
    strangers.update(children())
    yield
    assert not children()


@pytest.fixture
def ignored_sigchld():
    """The kernel reaps children by itself."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)

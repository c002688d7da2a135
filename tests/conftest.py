"""One test body for every loop: `loop_factory` and `loop` are parametrised, and asyncio is the oracle.

Each test that uses a loop is followed by a count: no descriptor may be left open, no task pending.
"""

import asyncio
import gc
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from epicycle._streams import makers
from toolkit import FACTORIES, new_descriptors, open_descriptors, pending_tasks


def pytest_configure(config):
    # A shell starts what it runs in the background with Ctrl-C ignored, and whatever a test starts would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # So does `nohup` with this one.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.addinivalue_line("markers", "epicycle_only: what asyncio does not promise, or does otherwise")
    config.addinivalue_line(
        "markers", "at_length: too long for `make check`, which leaves it to `make ecosystem`"
    )


def pytest_collection_finish(session):
    # What was imported stays: frozen, it costs the collections after every test nothing.
    for factory in FACTORIES.values():
        factory().close()
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc):
    if "loop_name" not in metafunc.fixturenames:
        return
    names = list(FACTORIES)
    if metafunc.definition.get_closest_marker("epicycle_only"):
        names = ["epicycle"]
    metafunc.parametrize("loop_name", names)


@pytest.fixture
def loop_factory(loop_name):
    """The class of the loop under test."""
    return FACTORIES[loop_name]


@pytest.fixture
def loop(loop_factory):
    """A new loop, not set as the current one; closed after the test."""
    loop = loop_factory()
    yield loop
    if loop.is_closed():
        return
    pending = asyncio.all_tasks(loop)
    loop.close()
    assert not pending, f"tasks left pending: {pending}"


@pytest.fixture(params=["asyncio's streams", "our streams"])
def stream_classes(request, monkeypatch):
    """`asyncio.open_connection` and the like make asyncio's streams, or those of `epicycle.install()`."""
    if request.param == "our streams":
        for name, function in makers().items():
            for module in (asyncio, asyncio.streams):
                monkeypatch.setattr(module, name, function)


@pytest.fixture
def errors(loop):
    """The contexts that the loop's exception handler was called with."""
    contexts = []
    loop.set_exception_handler(lambda loop, context: contexts.append(context))
    return contexts


@pytest.fixture(autouse=True)
def nothing_left(request):
    """No descriptor and no pending task outlives a test that uses a loop."""
    if "loop_name" not in request.fixturenames:
        yield
        return
    gc.collect()
    before = open_descriptors()
    yield
    gc.collect()
    assert not pending_tasks(), "tasks left pending"
    assert not new_descriptors(before), "descriptors left open"

"""A Dask scheduler and two workers, each in a process of its own and on Epicycle, for all tests of the folder."""

import contextlib
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "tests/examples"), str(pathlib.Path(__file__).parent)]


@pytest.fixture(scope="session")
def cluster():
    """Address of a scheduler with two workers that no test ends."""
    from dask_processes import scheduler, worker

    with contextlib.ExitStack() as stack:
        address = stack.enter_context(scheduler())
        for name in ("one", "two"):
            stack.enter_context(worker(address, name))
        yield address

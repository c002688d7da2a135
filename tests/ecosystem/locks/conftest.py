"""The locks' services are those of `services/`."""

# The imports need the path.
# ruff: noqa: E402
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
TESTS = HERE.parents[1]
sys.path[:0] = [str(HERE.parent / "services"), str(TESTS / "examples"), str(TESTS.parent / "examples")]

import private_servers
from addresses import service


@pytest.fixture
def redis():
    return service("redis")


@pytest.fixture
def mysql():
    return service("mysql")


@pytest.fixture
def zookeeper(tmp_path):
    with private_servers.zookeeper(tmp_path) as server:
        yield server

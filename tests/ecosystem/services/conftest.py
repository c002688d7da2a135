"""Clients of databases and brokers on Epicycle: a fixture for each service, and coroutine tests."""

# The imports need the path.
# ruff: noqa: E402
import pathlib
import sys
import uuid

import pytest

HERE = pathlib.Path(__file__).parent
# `programs` starts the examples.
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "examples")]

import private_servers
from addresses import service
from on_epicycle import pytest_pyfunc_call  # noqa: F401


@pytest.fixture
def name():
    """A name that no other test uses at the same time: for keys, tables, queues, subjects."""
    return f"epicycle_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def redis():
    return service("redis")


@pytest.fixture
def mysql():
    return service("mysql")


@pytest.fixture
def postgres():
    return service("postgres")


@pytest.fixture
def rabbitmq():
    return service("rabbitmq")


@pytest.fixture
def nats():
    return service("nats")


@pytest.fixture
def mqtt():
    return service("mqtt")


@pytest.fixture
def private(tmp_path_factory):
    """`private("redis")`: a server of the test's own, started."""
    made = []

    def make(kind, *args, **options):
        folder = tmp_path_factory.mktemp(kind)
        server = getattr(private_servers, kind)(folder, *args, **options)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.__exit__()

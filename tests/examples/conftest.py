"""What the tests of the examples share: a path to `programs`, addresses, and packages they may miss."""

import importlib.util
import pathlib
import socket
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture
def addresses():
    """The loopback addresses of this machine, one twice: another port is another host."""
    found = ["127.0.0.1", "127.0.0.1"]
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            found.append("::1")
    except OSError:
        pass
    return found


@pytest.fixture(autouse=True)
def optional_packages(request):
    """Skip a test marked `needs(package, ...)` when one is missing."""
    for marker in request.node.iter_markers("needs"):
        for package in marker.args:
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"the package {package} is not installed")


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "needs(*packages): packages from PyPI without which the test is skipped"
    )

"""What the tests of blocking code share."""

import importlib.util
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "tests/examples"), str(pathlib.Path(__file__).parent)]


def pytest_configure(config):
    config.addinivalue_line("markers", "package(name): the test is skipped where that package is missing")


@pytest.fixture(autouse=True)
def packages(request):
    for marker in request.node.iter_markers("package"):
        (name,) = marker.args
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the package {name} is not installed: pip install -r requirements/ecosystem.txt")

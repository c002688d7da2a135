"""The tests of web servers and clients: paths to what they share with those of the examples, packages they may miss."""

import importlib.util
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
TESTS = HERE.parents[1]
sys.path[:0] = [str(HERE), str(TESTS / "examples")]


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "needs(*packages): packages from PyPI without which the test is skipped"
    )


def pytest_runtest_setup(item):
    """Skip a test marked `needs(package, ...)` when one is missing, before its fixtures are set up."""
    for marker in item.iter_markers("needs"):
        for package in marker.args:
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"the package {package} is not installed; try: make ecosystem")

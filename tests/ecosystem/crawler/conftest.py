"""The site to crawl, and the ways to the example and to what its tests share with those of the other examples."""

import importlib.util
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "tests/examples"), str(pathlib.Path(__file__).parent)]


@pytest.fixture(autouse=True)
def packages():
    for package in ("aiohttp", "rich"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed: pip install -r requirements/ecosystem.txt")

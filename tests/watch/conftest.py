"""Looking into loops from outside."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from looking import descriptors

from epicycle import _epicycle


@pytest.fixture
def page(loop):
    """The loop's own page, opened like another process would."""
    (path,) = [
        path
        for path in descriptors(os.getpid())
        if _epicycle.Page.open(path).facts()["loop"] == loop._serial()
    ]
    page = _epicycle.Page.open(path)
    yield page
    page.close()

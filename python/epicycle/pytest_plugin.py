"""The pytest plugin: tests fail that block an Epicycle loop, or that leave tasks or exceptions behind.

It is loaded into every pytest run of whoever has Epicycle installed, so here are only the options and the markers. What
they need is loaded when one of them is used (`epicycle.watching.in_tests`). ``-p no:epicycle`` leaves it out.
"""

from __future__ import annotations

import argparse

import pytest

SHORTEST, LONGEST = 0.001, 3600

_GUARDING = "epicycle-guarding"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("epicycle", "tests on Epicycle's event loop")
    group.addoption(
        "--epicycle-stall",
        type=_seconds,
        metavar="SECONDS",
        help="fail tests that block an Epicycle loop for this long or longer; 0: none",
    )
    group.addoption(
        "--epicycle-strict",
        action="store_true",
        default=None,
        help="fail tests that leave tasks pending on an Epicycle loop, or exceptions that nobody retrieves",
    )
    parser.addini(
        "epicycle_stall", "fail tests that block an Epicycle loop for this many seconds", default=""
    )
    parser.addini("epicycle_strict", "like --epicycle-strict", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "epicycle_stall(seconds, *, allow=False): fail this test if it blocks an Epicycle loop for so long; "
        "allow=True lets it block",
    )
    config.addinivalue_line(
        "markers",
        "epicycle_strict(on=True): fail this test if it leaves tasks or unretrieved exceptions on an Epicycle loop",
    )
    if stall_seconds(config) or is_strict(config):
        _guard(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    if not session.config.pluginmanager.hasplugin(_GUARDING) and any(map(_asks, session.items)):
        _guard(session.config)


@pytest.fixture
def epicycle_clean() -> None:
    """The test fails if it leaves tasks pending on an Epicycle loop, or exceptions that nobody has retrieved."""
    # The fixture is the sign that the guard looks for: what is left shows only after the last fixture's end.


def stall_seconds(config: pytest.Config) -> float:
    """How long a test may block a loop, by the option or else by the ini file; 0.0: for as long as it likes."""
    given: float | None = config.getoption("--epicycle-stall")
    if given is not None:
        return given
    text = str(config.getini("epicycle_stall")).strip()
    if not text:
        return 0.0
    try:
        return _seconds(text)
    except argparse.ArgumentTypeError as error:
        raise pytest.UsageError(f"epicycle_stall: {error}") from None


def is_strict(config: pytest.Config) -> bool:
    """Whether every test has to leave its loops clean."""
    return bool(config.getoption("--epicycle-strict") or config.getini("epicycle_strict"))


def allowed(seconds: float) -> float:
    """The same number, if it is a threshold that a watcher takes, or 0; raises ValueError otherwise."""
    if seconds == 0 or SHORTEST <= seconds <= LONGEST:
        return float(seconds)
    raise ValueError(f"{SHORTEST} to {LONGEST} seconds are expected, or 0, got {seconds!r}")


def _seconds(text: str) -> float:
    try:
        return allowed(float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{SHORTEST} to {LONGEST} seconds are expected, or 0, got {text!r}"
        ) from None


def _asks(item: pytest.Item) -> bool:
    return (
        item.get_closest_marker("epicycle_stall") is not None
        or item.get_closest_marker("epicycle_strict") is not None
        or "epicycle_clean" in getattr(item, "fixturenames", ())
    )


def _guard(config: pytest.Config) -> None:
    from epicycle.watching.in_tests import Guarding

    config.pluginmanager.register(Guarding(config), _GUARDING)

"""Every call that should not be made ends on Epicycle as it ends on asyncio, and leaves nothing behind."""

import asyncio
import functools
import gc
import itertools
import logging
import pathlib
import sys
import warnings

import pytest

from bad_input import (
    connecting,
    datagrams,
    descriptors,
    executors,
    pipes,
    processes,
    running,
    scheduling,
    secured,
    sending_files,
    serving,
    sockets,
    tls,
    transports,
)
from bad_input.justified import RULES, justified
from bad_input.stage import agree, happened
from toolkit import new_descriptors, open_descriptors, pending_tasks

SUBJECTS = [
    scheduling,
    running,
    executors,
    descriptors,
    sockets,
    connecting,
    serving,
    datagrams,
    transports,
    tls,
    secured,
    pipes,
    processes,
    sending_files,
]
CASES = sorted((case for subject in SUBJECTS for case in subject.CASES), key=lambda case: case.method)
BY_METHOD = {method: list(cases) for method, cases in itertools.groupby(CASES, lambda case: case.method)}

# What cannot be misused from outside: the loop's own, and what raises NotImplementedError on every loop.
MADE_BY_THE_LOOP = {
    asyncio.Handle: "Handle",
    asyncio.TimerHandle: "TimerHandle",
    asyncio.Transport: "Transport",
    asyncio.DatagramTransport: "DatagramTransport",
    asyncio.SubprocessTransport: "SubprocessTransport",
    asyncio.ReadTransport: "ReadTransport",
    asyncio.WriteTransport: "WriteTransport",
    asyncio.Server: "Server",
}


@pytest.fixture(autouse=True)
def quiet(caplog):
    """What asyncio logs of bad input is no part of the outcome, and there is much of it."""
    caplog.set_level(logging.CRITICAL + 1, "asyncio")


@functools.cache
def outcomes(loop_name, method):
    """What becomes of each case of a method.  Without collections in between, warnings fall where they belong."""
    gc.collect()
    gc.disable()
    hook = sys.unraisablehook

    def told(failure):
        # Some of asyncio's half-made transports fail in their finalisers.  On either loop, what a case has left open
        # is told of when it is collected; descriptors and tasks are looked for after all of them.
        if loop_name != "asyncio" and not isinstance(failure.exc_value, Warning):
            hook(failure)

    sys.unraisablehook = told
    try:
        return [happened(loop_name, case) for case in BY_METHOD[method]]
    finally:
        gc.enable()
        with warnings.catch_warnings():
            # asyncio leaves sockets to the collector, and asyncio.staggered coroutines, on either loop.
            warnings.simplefilter("ignore", ResourceWarning)
            warnings.simplefilter("ignore", RuntimeWarning)
            gc.collect()
        sys.unraisablehook = hook


@pytest.mark.parametrize("method", BY_METHOD)
def test_bad_input_ends_as_on_asyncio(method):
    expected = outcomes("asyncio", method)
    before = open_descriptors()
    actual = outcomes("epicycle", method)
    assert not new_descriptors(before), "descriptors left open"
    assert not pending_tasks(), "tasks left pending"
    different = [
        f"{case}\n  asyncio:  {theirs}\n  epicycle: {ours}"
        for case, theirs, ours in zip(BY_METHOD[method], expected, actual, strict=True)
        if not agree(theirs, ours) and justified(case, theirs, ours) is None
    ]
    assert not different, "\n".join(different)


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))}


def test_every_method_of_the_loop_has_a_case():
    assert public(asyncio.AbstractEventLoop) <= set(BY_METHOD)


@pytest.mark.parametrize("kind", MADE_BY_THE_LOOP, ids=lambda kind: kind.__name__)
def test_every_method_of_what_the_loop_makes_has_a_case(kind):
    assert {f"{MADE_BY_THE_LOOP[kind]}.{name}" for name in public(kind)} <= set(BY_METHOD)


def test_every_rule_is_documented():
    page = pathlib.Path(__file__).parents[2] / "DIFFERENCES.md"
    headings = {line[4:] for line in page.read_text().splitlines() if line.startswith("### ")}
    assert {rule.heading for rule in RULES} <= headings


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.heading)
def test_every_rule_is_needed(rule):
    if not set(rule.methods) & set(BY_METHOD):
        pytest.skip("install the openssl command, which makes the certificates")
    covered = [
        str(case)
        for method in rule.methods
        for case, theirs, ours in zip(
            BY_METHOD[method], outcomes("asyncio", method), outcomes("epicycle", method), strict=True
        )
        if not agree(theirs, ours) and justified(case, theirs, ours) == rule.heading
    ]
    if not covered and rule.until_version:
        pytest.skip("this version of asyncio does the same")
    assert covered

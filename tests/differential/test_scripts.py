"""The same script on asyncio and on Epicycle leaves the same trace."""

import asyncio
import contextvars
import gc
import random
import warnings

import pytest

from differential.scripts import Player, write_script
from toolkit import FACTORIES


def trace_of(loop_name, script):
    loop = FACTORIES[loop_name]()
    player = Player(loop)
    try:
        # Which task an exception that nobody fetched is reported for depends on when it is collected.
        gc.disable()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            # A context of its own, since scripts set variables where no callback runs as well.
            trace = contextvars.Context().run(player.play, script)
            assert asyncio.all_tasks(loop) == set()
    finally:
        loop.set_exception_handler(lambda loop, context: None)
        del player
        gc.enable()
        gc.collect()
        loop.close()
    return trace


@pytest.mark.parametrize("seed", range(150))
def test_traces_are_equal(seed):
    script = write_script(random.Random(seed))
    expected, actual = trace_of("asyncio", script), trace_of("epicycle", script)
    assert actual == expected, script


@pytest.mark.parametrize("seed", range(10))
def test_long_traces_are_equal(seed):
    script = write_script(random.Random(f"long {seed}"), size=150)
    expected, actual = trace_of("asyncio", script), trace_of("epicycle", script)
    assert actual == expected


def test_scripts_do_something():
    # A generator gone dull would make every comparison above pass.
    words = set()
    for seed in range(150):
        words |= {entry[1] for entry in trace_of("asyncio", write_script(random.Random(seed)))}
    assert words >= {
        "callback",
        "task",
        "handler",
        "watcher",
        "cancelling",
        "raised",
        "note",
        "stopping",
        "unwatched",
    }

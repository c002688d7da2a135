"""The same orders of writing, pausing and closing on two ends of a TCP connection are told the same on both loops."""

import random

import pytest

from differential.conversations import play, trace_of, write_script
from toolkit import connected


@pytest.mark.parametrize("seed", range(80))
def test_traces_are_equal(seed):
    script = write_script(random.Random(f"tcp {seed}"))

    def playing():
        return play(script, connected)

    assert trace_of("epicycle", playing) == trace_of("asyncio", playing), script

"""What holds for any callbacks, timers and cancellations."""

import ipaddress
import os
import socket

import pytest

from toolkit import FACTORIES, finish, run_bounded, turn

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

# Hypothesis says so of its own generator, on the versions of Python that collect in another way.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like .register_random.")

# The same cases every time; `make fuzz` asks for many more, and for others each time.
quick = settings(
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_CASES", "50")),
    database=None,
    derandomize="FUZZ_CASES" not in os.environ,
)
# Of what lies within one nanosecond, Epicycle runs first what was scheduled first.
delays = st.floats(min_value=-10, max_value=0.004, allow_nan=False).map(lambda delay: round(delay, 8))


class closing:
    """A new loop for each example."""

    def __init__(self, loop_name):
        self.loop = FACTORIES[loop_name]()

    def __enter__(self):
        return self.loop

    def __exit__(self, *error):
        self.loop.close()


@quick
@given(data=st.lists(delays, max_size=50, unique=True), cancelled=st.sets(st.integers(0, 49)))
def test_timers_run_once_each_in_the_order_of_their_deadlines(loop_name, data, cancelled):
    with closing(loop_name) as loop:
        seen = []
        start = loop.time()
        handles = [loop.call_at(start + delay, seen.append, start + delay) for delay in data]
        for number, handle in enumerate(handles):
            if number in cancelled:
                handle.cancel()
        loop.call_at(start + 0.005, loop.stop)
        run_bounded(loop)
        expected = [start + delay for number, delay in enumerate(data) if number not in cancelled]
        assert seen == sorted(expected)


@pytest.mark.epicycle_only
@quick
@given(data=st.lists(st.integers(-5, 0), max_size=60))
def test_timers_of_one_deadline_run_in_the_order_they_were_asked_for(loop_name, data):
    with closing(loop_name) as loop:
        seen = []
        start = loop.time()
        for number, delay in enumerate(data):
            loop.call_at(start + delay, seen.append, (delay, number))
        turn(loop)
        assert seen == sorted(seen) and len(seen) == len(data)


@quick
@given(
    actions=st.lists(
        st.tuples(st.sampled_from(["soon", "threadsafe", "cancel"]), st.integers(0, 100)), max_size=60
    )
)
def test_callbacks_run_first_come_first_served(loop_name, actions):
    with closing(loop_name) as loop:
        seen, handles, kept = [], [], []
        for kind, number in actions:
            if kind == "cancel":
                if handles:
                    index = number % len(handles)
                    handles[index].cancel()
                    kept[index] = None
                continue
            name = len(handles)
            ask = loop.call_soon if kind == "soon" else loop.call_soon_threadsafe
            handles.append(ask(seen.append, name))
            kept.append(name)
        turn(loop)
        assert seen == [name for name in kept if name is not None]


@quick
@given(
    deadlines=st.lists(st.integers(0, 10**9), min_size=1, max_size=30, unique=True),
    steps=st.lists(st.integers(0, 3 * 10**8), min_size=1, max_size=12),
)
def test_a_replaced_time_rules_the_timers(loop_name, deadlines, steps):
    with closing(loop_name) as loop:
        now = [0.0]
        loop.time = lambda: now[0]
        seen = []
        for deadline in deadlines:
            loop.call_at(deadline / 1e6, seen.append, deadline)
        microseconds = 0
        for step in steps:
            microseconds += step
            now[0] = microseconds / 1e6
            turn(loop)
            assert seen == [deadline for deadline in sorted(deadlines) if deadline <= microseconds]


@quick
@given(
    whens=st.lists(
        st.one_of(st.floats(allow_nan=False), st.integers(-(10**6), 10**6)), min_size=2, max_size=10
    )
)
def test_handles_of_timers_compare_as_their_deadlines(loop_name, whens):
    with closing(loop_name) as loop:
        handles = [loop.call_at(when, print) for when in whens]
        assert [handle.when() for handle in handles] == whens
        assert [handle.when() for handle in sorted(handles)] == sorted(whens)
        for one, a in zip(handles, whens, strict=True):
            for two, b in zip(handles, whens, strict=True):
                assert (one < two, one <= two, one > two) == (a < b, a <= b, a > b)
                assert (one >= two, one == two) == (a >= b, a == b)
            assert hash(one) == hash(a)


addresses = st.one_of(st.ip_addresses(), st.ip_addresses(v=6).map(lambda a: f"{a}%lo"), st.just("localhost"))


@quick
@given(
    host=addresses,
    port=st.integers(0, 65535),
    kind=st.sampled_from([0, socket.SOCK_STREAM, socket.SOCK_DGRAM]),
)
def test_numeric_addresses_are_what_the_system_says(loop_name, host, port, kind):
    def answer(ask):
        try:
            return ask()
        except OSError as error:
            return type(error), error.args

    host = str(host)
    with closing(loop_name) as loop:
        actual = answer(lambda: finish(loop, loop.getaddrinfo(host, port, type=kind)))
        finish(loop, loop.shutdown_default_executor())
    assert actual == answer(lambda: socket.getaddrinfo(host, port, type=kind))
    assert host == "localhost" or ipaddress.ip_address(host.removesuffix("%lo"))

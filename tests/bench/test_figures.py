"""Medians, spreads and verdicts, on figures that are made up."""

import pytest

from epicycle.bench.figures import Cell, Verdict, best_other, compare, spread, versus
from epicycle.bench.gauges import cpu_seconds, latencies, peak_kib
from epicycle.bench.rows import named
from epicycle.bench.table import quantity

CALLBACKS = named("call_soon_chain")
ECHO = named("protocol_echo")


def cell(*rates, cpu_us=1.0, **more):
    return Cell([{"rate": rate, "cpu_us": cpu_us, "busy": 1.0, "peak_kib": 20000.0} | more for rate in rates])


@pytest.mark.parametrize(
    ("mine", "theirs", "verdict"),
    [
        ((200, 200, 200), (100, 100, 100), Verdict.FASTER),
        ((50, 50, 50), (100, 100, 100), Verdict.SLOWER),
        ((102, 102, 102), (100, 100, 100), Verdict.SAME),
        ((104, 104, 104), (100, 100, 100), Verdict.FASTER),
        ((96, 96, 96), (100, 100, 100), Verdict.SLOWER),
        # Both vary by more than they differ.
        ((80, 110, 140), (80, 100, 120), Verdict.SAME),
        # One varies much, the other does not: the difference is believed.
        ((80, 120, 140), (100, 100, 100), Verdict.FASTER),
    ],
)
def test_verdict(mine, theirs, verdict):
    found = versus(CALLBACKS, {"mine": cell(*mine), "theirs": cell(*theirs)}, "mine", "theirs")
    assert found.verdict is verdict
    assert (found.row, found.other) == (CALLBACKS, "theirs")


def test_extremes_are_to_the_others_median():
    found = versus(CALLBACKS, {"a": cell(90, 120, 150), "b": cell(90, 100, 400)}, "a", "b")
    assert (found.low, found.ratio, found.high) == (0.9, 1.2, 1.5)


def test_cpu_time_decides_on_servers():
    cells = {"a": cell(100, cpu_us=5.0), "b": cell(200, cpu_us=10.0)}
    assert compare(ECHO, cells["a"], cells["b"]) == 2.0
    assert versus(ECHO, cells, "a", "b").verdict is Verdict.FASTER
    assert compare(CALLBACKS, cells["a"], cells["b"]) == 0.5


def test_the_best_other_is_the_fastest():
    cells = {"a": cell(100), "b": cell(50), "c": cell(200), "d": Cell(failure="it broke")}
    assert best_other("timers", cells, "a", ["b", "c", "d"]).other == "c"
    assert best_other("timers", cells, "a", ["d"]) is None
    assert best_other("timers", cells, "d", ["a", "b"]) is None


def test_spread():
    assert spread([90, 100, 120]) == 0.15
    assert spread([100]) == 0


def test_client_bound():
    assert cell(100, busy=0.6, client_busy=0.9).client_bound
    assert not cell(100, busy=0.95, client_busy=0.99).client_bound
    assert not cell(100, busy=0.6, client_busy=0.5).client_bound
    assert not cell(100, busy=0.6).client_bound


def test_latencies():
    assert latencies([]) == {}
    assert latencies([number / 1e6 for number in range(100, -1, -1)]) == pytest.approx(
        {"p50_us": 50, "p99_us": 99}
    )
    assert latencies([3e-6]) == pytest.approx({"p50_us": 3, "p99_us": 3})


def test_gauges_read_this_process():
    import os
    import time

    before = time.process_time()
    read = cpu_seconds(os.getpid())
    assert before <= read <= time.process_time()
    assert peak_kib() == peak_kib(os.getpid()) > 1024


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_234_567, "1.23M"),
        (999_600, "1.00M"),
        (45_600, "45.6k"),
        (999.6, "1.00k"),
        (789, "789"),
        (12.34, "12.3"),
        (1.5, "1.50"),
        (0.4567, "0.457"),
        (0.01234, "0.01"),
    ],
)
def test_quantity(value, text):
    assert quantity(value) == text

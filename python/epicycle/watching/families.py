"""What is exported, whatever the format: the name, the kind, the unit and the meaning of each metric.

In: the dicts of `metrics.py`.  Out: `FAMILIES`, which `prometheus.py` and `otel.py` go through.

Names are OpenTelemetry's kind, with dots.  Prometheus' names follow from them by the rules that both agree on: dots
become underscores, the unit is written out, and counters end in ``_total``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from epicycle.watching.metrics import LoopMetrics, bucket_end

__all__ = ("FAMILIES", "Distribution", "Family", "Labels", "Sample")

Labels = dict[str, str]
Sample = tuple[Labels, "int | float | Distribution"]

_UNITS = {"": "", "s": "_seconds", "By": "_bytes"}

# The buckets of lateness that are exported, as powers of two nanoseconds: about 4 µs to 69 s, each four times the one
# before. All 64 would be as many time series for every loop.
_EXPONENTS = range(12, 37, 2)


@dataclasses.dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram: how many were at most as large as each bound, how many there were, and about their sum."""

    cumulative: tuple[tuple[float, int], ...]
    count: int
    total: float


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: Literal["", "s", "By"]
    help: str
    labels: tuple[str, ...]
    """Those besides ``loop``."""
    read: Callable[[LoopMetrics], Iterator[Sample]]
    """What one loop has of it."""

    def samples(self, loops: Sequence[LoopMetrics]) -> Iterator[Sample]:
        """Every sample, with the loop's serial number among its labels."""
        for loop in loops:
            for labels, value in self.read(loop):
                yield {"loop": str(loop["loop"]), **labels}, value

    @property
    def prometheus_name(self) -> str:
        """Without the ``_total`` of a counter."""
        return self.name.replace(".", "_") + _UNITS[self.unit]


def _count(name: str, key: str, help: str, unit: Literal["", "By"] = "") -> Family:
    def read(loop: LoopMetrics) -> Iterator[Sample]:
        yield {}, loop["counters"][key]

    return Family(name, "counter", unit, help, (), read)


def _by_kind(name: str, prefix: str, help: str) -> Family:
    def read(loop: LoopMetrics) -> Iterator[Sample]:
        for kind in loop["connections"]:
            yield {"kind": kind}, loop["counters"][prefix + kind]

    return Family(name, "counter", "", help, ("kind",), read)


def _open_connections(loop: LoopMetrics) -> Iterator[Sample]:
    for kind, number in loop["connections"].items():
        yield {"kind": kind}, number


def _lateness(loop: LoopMetrics) -> Iterator[Sample]:
    buckets = loop["lateness"]["buckets"]
    cumulative = tuple((bucket_end(exponent - 1), sum(buckets[:exponent])) for exponent in _EXPONENTS)
    # The page has no sum. The middle of a bucket is at most a third off.
    total = sum(number * 0.75 * bucket_end(i) for i, number in enumerate(buckets))
    yield {}, Distribution(cumulative, sum(buckets), total)


def _states(loop: LoopMetrics) -> Iterator[Sample]:
    for state in ("idle", "running", "parked", "closed"):
        yield {"state": state}, int(loop["facts"]["state"] == state)


def _info(loop: LoopMetrics) -> Iterator[Sample]:
    facts = loop["facts"]
    yield {"epicycle": str(facts["epicycle"]), "python": str(facts["python"])}, 1


def _created(loop: LoopMetrics) -> Iterator[Sample]:
    yield {}, float(loop["facts"]["created"])


def _threshold(loop: LoopMetrics) -> Iterator[Sample]:
    yield {}, float(loop["facts"]["watching"])


def _stalled(loop: LoopMetrics) -> Iterator[Sample]:
    yield {}, loop["stalls"]["now"]


FAMILIES = (
    Family("epicycle.loop.info", "gauge", "", "Versions; always 1.", ("epicycle", "python"), _info),
    Family("epicycle.loop.state", "gauge", "", "1 for the state the loop is in.", ("state",), _states),
    Family("epicycle.loop.created", "gauge", "s", "When the loop was made, since the epoch.", (), _created),
    _count("epicycle.turns", "turns", "Rounds of the loop."),
    _count("epicycle.callbacks", "callbacks", "Callbacks run, the steps of tasks among them."),
    _count("epicycle.steps", "steps", "Steps of tasks."),
    _count("epicycle.events", "events", "Events taken from the kernel."),
    _count("epicycle.events.stale", "stale_events", "Events whose source was gone."),
    _count("epicycle.timers.scheduled", "timers_scheduled", "Timers that were set."),
    _count("epicycle.timers.cancelled", "timers_cancelled", "Timers that were cancelled."),
    _count("epicycle.timers.fired", "timers_fired", "Timers that ran."),
    Family(
        "epicycle.timers.lateness",
        "histogram",
        "s",
        "How late timers ran; the sum is estimated.",
        (),
        _lateness,
    ),
    _count("epicycle.parks", "parks", "Times that the loop slept in the kernel."),
    _count("epicycle.wakes", "wakes", "Times that another thread woke it."),
    _count("epicycle.accepts", "accepts", "Connections accepted."),
    _count("epicycle.received", "bytes_in", "Bytes received by transports.", "By"),
    _count("epicycle.sent", "bytes_out", "Bytes sent by transports.", "By"),
    _by_kind("epicycle.connections.opened", "opened_", "Transports opened."),
    _by_kind("epicycle.connections.closed", "closed_", "Transports closed."),
    Family("epicycle.connections.open", "gauge", "", "Transports open.", ("kind",), _open_connections),
    _count("epicycle.executor.jobs", "executor_jobs", "Jobs given to executors."),
    _count("epicycle.dns.lookups", "dns_lookups", "Look-ups of names and addresses."),
    _count("epicycle.stalls", "stalls", "Stalls that a watcher noticed."),
    Family(
        "epicycle.stalled", "gauge", "s", "How long the stall that goes on has lasted, or 0.", (), _stalled
    ),
    Family(
        "epicycle.watch.threshold", "gauge", "s", "When a watcher calls it a stall; 0: none.", (), _threshold
    ),
)

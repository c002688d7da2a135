"""The metrics and the stalls for OpenTelemetry.

In: `FAMILIES`, and the stalls that a watcher reports.  Out: `instrument`, which returns an `Instrumentation`.

Only OpenTelemetry's API is used, as libraries should: which SDK exports it all, and where to, is the program's choice,
and without one nothing happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from epicycle.watching.families import FAMILIES, Distribution, Family, Labels
from epicycle.watching.metrics import LoopMetrics, metrics
from epicycle.watching.stalls import Stalls
from epicycle.watching.watcher import Stall, Watcher, watch

try:
    from opentelemetry import metrics as otel_metrics
    from opentelemetry import trace as otel_trace
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.trace import Tracer, TracerProvider
except ImportError as error:
    raise ImportError(
        "epicycle.watching.otel needs OpenTelemetry, which is not installed: pip install 'epicycle[otel]'"
    ) from error

if TYPE_CHECKING:
    from epicycle.loop import EventLoop

__all__ = ("Instrumentation", "instrument")

# Instruments of one collection are asked one after the other; what was read for the first serves the others.
_FRESH_SECONDS = 0.05


def instrument(
    *,
    threshold: float | None = 0.1,
    loop: EventLoop | None = None,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
) -> Instrumentation:
    """Give OpenTelemetry the metrics of the loops, and a span for each stall of ``threshold`` seconds or more.

    ``threshold=None`` leaves the spans out; otherwise a watcher is started, as by ``epicycle.watch(threshold)``.
    ``loop`` is the only loop that counts, else every Epicycle loop of the process does. The providers are the global
    ones unless given.

    A span ``epicycle.stall`` begins and ends when the stall did and stands alone. It has ``code.file.path``,
    ``code.line.number`` and ``code.function.name`` of the innermost line of the user's code (also under the names they
    had before, ``code.filepath``, ``code.lineno`` and ``code.function``), ``code.stacktrace``, and
    ``epicycle.stall.kind``, ``.cause``, ``.detail`` and ``.what``, ``epicycle.task`` and ``epicycle.coroutine``.

    The metrics are named as for Prometheus, with dots. OpenTelemetry has no histogram that is asked for its counts, so
    ``epicycle.timers.lateness.bucket`` counts the timers that ran at most ``le`` seconds late.

    Returns what ends it: ``close()`` or ``with``. Raises ValueError for a threshold that
    `epicycle.watch` does not take.
    """
    return Instrumentation(threshold, loop, meter_provider, tracer_provider)


class Instrumentation:
    """What `instrument` has set up; `close` ends it."""

    def __init__(
        self,
        threshold: float | None,
        loop: EventLoop | None,
        meter_provider: MeterProvider | None,
        tracer_provider: TracerProvider | None,
    ) -> None:
        from epicycle import __version__

        self._loop = loop
        self._open = True
        self._read_at = float("-inf")
        self._loops: Sequence[LoopMetrics] = ()
        self._watcher: Watcher | None = None
        if threshold is not None:
            tracer = otel_trace.get_tracer("epicycle", __version__, tracer_provider)
            self._watcher = watch(threshold, callback=_Spans(tracer), loop=loop)
        self._instrument(otel_metrics.get_meter("epicycle", __version__, meter_provider))

    def close(self) -> None:
        """End the watcher; the instruments, which a meter cannot lose again, have nothing more to say. Idempotent."""
        self._open = False
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _instrument(self, meter: Meter) -> None:
        for family in FAMILIES:
            if family.kind == "histogram":
                meter.create_observable_counter(
                    family.name + ".bucket",
                    [self._observer(family, _buckets)],
                    description=family.help,
                )
            elif family.kind == "counter":
                meter.create_observable_counter(
                    family.name, [self._observer(family, _value)], family.unit, family.help
                )
            else:
                meter.create_observable_gauge(
                    family.name, [self._observer(family, _value)], family.unit, family.help
                )

    def _observer(
        self, family: Family, observations: Callable[[Labels, Any], Iterator[Observation]]
    ) -> Callable[[CallbackOptions], list[Observation]]:
        def observe(options: CallbackOptions) -> list[Observation]:
            return [
                observation
                for labels, value in family.samples(self._snapshot())
                for observation in observations(labels, value)
            ]

        return observe

    def _snapshot(self) -> Sequence[LoopMetrics]:
        if not self._open or (self._loop is not None and self._loop.is_closed()):
            return ()
        now = time.monotonic()
        if now - self._read_at > _FRESH_SECONDS:
            self._loops = metrics(self._loop)["loops"]
            self._read_at = now
        return self._loops


def _value(labels: Labels, value: Any) -> Iterator[Observation]:
    yield Observation(value, labels)


def _buckets(labels: Labels, value: Distribution) -> Iterator[Observation]:
    for bound, number in value.cumulative:
        yield Observation(number, {**labels, "le": repr(bound)})
    yield Observation(value.count, {**labels, "le": "+Inf"})


class _Spans:
    """What the watcher calls: a span for each stall that has ended."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._stalls = Stalls()

    def __call__(self, report: Stall) -> None:
        stall = self._stalls.note(report)
        if stall.phase != "ended":
            return
        self._stalls.forget(stall)
        # A context of its own: whatever is current in the watcher's thread is no parent of it.
        began = round(stall.began * 1e9)
        span = self._tracer.start_span(
            "epicycle.stall", Context(), start_time=began, attributes=_attributes(stall)
        )
        span.end(began + round(stall.lasted * 1e9))


def _attributes(stall: Stall) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "epicycle.stall.kind": stall.kind,
        "epicycle.stall.cause": stall.cause,
        "epicycle.stall.detail": stall.detail or "",
        "epicycle.stall.what": stall.what or "",
        "epicycle.task": stall.task or "",
        "epicycle.coroutine": stall.coroutine or "",
    }
    if stall.file:
        function = next((f for file, f, line in stall.stack if (file, line) == (stall.file, stall.line)), "")
        found |= {"code.file.path": stall.file, "code.filepath": stall.file}
        found |= {"code.line.number": stall.line, "code.lineno": stall.line}
        found |= {"code.function.name": function, "code.function": function}
    if stall.stack:
        # As Python prints it: the innermost frame last.
        found["code.stacktrace"] = "\n".join(
            f'  File "{file}", line {line}, in {function}' for file, function, line in reversed(stall.stack)
        )
    return {key: value for key, value in found.items() if value != ""}

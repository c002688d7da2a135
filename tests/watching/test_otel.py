"""OpenTelemetry's metrics and spans, read back from the SDK's own exporters."""

import subprocess
import sys
import time

import pytest
from made_up_pages import COUNTERS, FACTS, stall, watched
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import epicycle
from epicycle.watching import otel
from epicycle.watching.watcher import Stall
from toolkit import child_environment


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def meter_provider(reader):
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield provider
    provider.shutdown()


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def tracer_provider(spans):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    yield provider
    provider.shutdown()


def read(reader):
    """{name: (metric, {labels besides the loop's: value})}"""
    data = reader.get_metrics_data()
    return {
        metric.name: (
            metric,
            {
                tuple(sorted((k, v) for k, v in point.attributes.items() if k != "loop")): point.value
                for point in metric.data.data_points
            },
        )
        for resource in (data.resource_metrics if data else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_the_metrics(reader, meter_provider):
    with (
        watched() as loop,
        otel.instrument(threshold=None, loop=loop, meter_provider=meter_provider),
    ):
        found = read(reader)
    metric, points = found["epicycle.received"]
    assert (metric.unit, points) == ("By", {(): COUNTERS["bytes_in"]})
    assert metric.data.is_monotonic
    assert metric.data.data_points[0].attributes == {"loop": "7"}
    assert found["epicycle.connections.open"][1][("kind", "tcp"),] == 3
    assert found["epicycle.loop.created"][1] == {(): FACTS["created"]}
    assert found["epicycle.loop.state"][1][("state", "parked"),] == 1
    numbers = {number for _, points in found.values() for number in points.values()}
    assert set(COUNTERS.values()) <= numbers


def test_lateness_is_counted_by_bounds(reader, meter_provider):
    with watched() as loop, otel.instrument(threshold=None, loop=loop, meter_provider=meter_provider):
        metric, points = read(reader)["epicycle.timers.lateness.bucket"]
    assert metric.data.is_monotonic
    assert points[("le", repr(2**12 / 1e9)),] == 5
    assert points[("le", "+Inf"),] == 11


def test_numbers_go_on(reader, meter_provider):
    with watched(counters={"turns": 1}) as loop:
        with otel.instrument(threshold=None, loop=loop, meter_provider=meter_provider):
            assert read(reader)["epicycle.turns"][1] == {(): 1}
            loop.page.counters = lambda: COUNTERS | {"turns": 2}
            time.sleep(2 * otel._FRESH_SECONDS)
            assert read(reader)["epicycle.turns"][1] == {(): 2}


def test_nothing_after_its_end(reader, meter_provider):
    with watched() as loop:
        found = otel.instrument(threshold=None, loop=loop, meter_provider=meter_provider)
        assert read(reader)
        found.close()
        found.close()
        assert not read(reader)


def test_nothing_of_a_closed_loop(reader, meter_provider):
    with watched() as loop:
        found = otel.instrument(threshold=None, loop=loop, meter_provider=meter_provider)
    assert not read(reader)
    found.close()


def test_every_open_loop(reader, meter_provider):
    loops = [epicycle.new_event_loop() for _ in range(2)]
    try:
        numbers = {str(one["loop"]) for loop in loops for one in epicycle.metrics(loop)["loops"]}
        with otel.instrument(threshold=None, meter_provider=meter_provider):
            metric, _ = read(reader)["epicycle.turns"]
    finally:
        for loop in loops:
            loop.close()
    assert numbers <= {point.attributes["loop"] for point in metric.data.data_points}


@pytest.fixture
def reported(monkeypatch):
    """Replaces the watcher with one that reports what the test hands it."""
    callbacks = []

    class Watcher:
        def close(self):
            callbacks.clear()

    def watch(threshold, *, callback, loop=None):
        callbacks.append(callback)
        return Watcher()

    def report(phase, number=3, **changes):
        parts = stall(number, **changes)
        del parts["over"]
        for callback in callbacks:
            callback(Stall(loop=7, phase=phase, **parts))

    monkeypatch.setattr(otel, "watch", watch)
    return report


def test_a_span_for_each_stall_that_has_ended(reported, spans, tracer_provider, meter_provider):
    with otel.instrument(meter_provider=meter_provider, tracer_provider=tracer_provider):
        reported("began", over=False)
        reported("grew", over=False)
        assert spans.get_finished_spans() == ()
        reported("ended", detail="time.sleep")
        reported("ended", number=4, lasted=1.5)
    first, second = spans.get_finished_spans()
    assert first.name == "epicycle.stall"
    assert first.parent is None
    assert first.start_time == 1764396010_500_000_000
    assert first.end_time - first.start_time == 750_000_000
    assert second.end_time - second.start_time == 1_500_000_000
    assert first.instrumentation_scope.name == "epicycle"
    assert first.attributes == {
        "epicycle.stall.kind": "blocked",
        "epicycle.stall.cause": "python",
        "epicycle.stall.detail": "time.sleep",
        "epicycle.stall.what": "task",
        "epicycle.task": "Task-1",
        "epicycle.coroutine": "main",
        "code.file.path": "/app/work.py",
        "code.filepath": "/app/work.py",
        "code.line.number": 12,
        "code.lineno": 12,
        "code.function.name": "handle",
        "code.function": "handle",
        "code.stacktrace": '  File "/app/work.py", line 12, in handle\n'
        '  File "/usr/lib/python3.11/json/decoder.py", line 337, in decode',
    }


def test_a_stall_of_which_little_is_known(reported, spans, tracer_provider, meter_provider):
    with otel.instrument(meter_provider=meter_provider, tracer_provider=tracer_provider):
        reported("ended", cause="unknown", what="", task="", coroutine="", file="", line=0, stack=[])
    [span] = spans.get_finished_spans()
    assert span.attributes == {"epicycle.stall.kind": "blocked", "epicycle.stall.cause": "unknown"}


def test_what_is_known_at_the_beginning_is_not_lost_at_the_end(
    reported, spans, tracer_provider, meter_provider
):
    with otel.instrument(meter_provider=meter_provider, tracer_provider=tracer_provider):
        reported("began", lasted=0.1, task="handler")
        reported("ended", lasted=0.6, task="", what="", coroutine="", stack=[])
        reported("began", number=4, task="")
        reported("ended", number=4, task="")
    first, second = spans.get_finished_spans()
    assert first.attributes["epicycle.task"] == "handler"
    assert first.attributes["code.stacktrace"]
    assert first.end_time - first.start_time == 600_000_000
    assert "epicycle.task" not in second.attributes


def test_a_real_stall(spans, tracer_provider, meter_provider):
    async def main():
        hold_the_loop()

    def hold_the_loop():
        time.sleep(0.5)

    def spans_of_it():
        return [
            span
            for span in spans.get_finished_spans()
            if span.attributes.get("code.function.name", "").endswith("hold_the_loop")
        ]

    before = time.time()
    with otel.instrument(threshold=0.1, meter_provider=meter_provider, tracer_provider=tracer_provider):
        epicycle.run(main())
        deadline = time.monotonic() + 10
        while not spans_of_it() and time.monotonic() < deadline:
            time.sleep(0.01)
    span = spans_of_it()[-1]
    assert span.attributes["code.file.path"] == __file__
    assert span.attributes["code.line.number"] == hold_the_loop.__code__.co_firstlineno + 1
    assert before - 0.1 <= span.start_time / 1e9 <= time.time()
    assert 0.3 <= (span.end_time - span.start_time) / 1e9 <= 10


def test_without_an_sdk_nothing_happens():
    """OpenTelemetry's API alone, as in a program that does not export: no error, and no span or number anywhere."""
    code = """
import epicycle, time
from epicycle.watching.otel import instrument

async def main():
    time.sleep(0.2)

with instrument(threshold=0.05):
    epicycle.run(main())
import sys
print(not any(name.startswith("opentelemetry.sdk") for name in sys.modules))
"""
    done = run(code)
    assert done.stdout == "True\n"


def test_without_opentelemetry():
    code = """
import sys
sys.modules["opentelemetry"] = None
try:
    import epicycle.watching.otel
except ImportError as error:
    print(error)
"""
    assert "pip install 'epicycle[otel]'" in run(code).stdout


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=child_environment()
    )
    assert done.returncode == 0, done.stderr
    return done

"""The metrics for Prometheus: as a collector for `prometheus_client`, as text without it, and over HTTP.

In: `FAMILIES`.  Out: `EpicycleCollector` and `register`; `text`; `serve`.

A program that has a registry registers the collector there, and the loops are among what it exports already. One that
has none serves the text itself; `prometheus_client` need not be installed for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from epicycle.watching.families import FAMILIES, Distribution, Family, Labels
from epicycle.watching.metrics import metrics

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

__all__ = ("CONTENT_TYPE", "EpicycleCollector", "register", "serve", "text")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The type of what `text` returns."""


class EpicycleCollector:
    """A collector of `prometheus_client`: `registry.register(EpicycleCollector())`.

    With ``loop`` it has that loop alone, else every open Epicycle loop of the process. It reads the numbers when it is
    asked for them, in whatever thread that happens, and costs nothing in between.

    Raises ImportError where `prometheus_client` is not installed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        _client()
        self._loop = loop

    def describe(self) -> Iterable[Metric]:
        """The families without samples, so that a registry knows the names before there is a loop."""
        return [self._metric(family, ()) for family in FAMILIES]

    def collect(self) -> Iterable[Metric]:
        """The families with their samples."""
        try:
            loops = metrics(self._loop)["loops"]
        except RuntimeError:
            # Its loop is closed. Whatever else the registry has is exported all the same.
            loops = []
        return [self._metric(family, family.samples(loops)) for family in FAMILIES]

    def _metric(self, family: Family, samples: Iterable[tuple[Labels, Any]]) -> Metric:
        core = _client()
        names = ("loop", *family.labels)
        kinds = {
            "counter": core.CounterMetricFamily,
            "gauge": core.GaugeMetricFamily,
            "histogram": core.HistogramMetricFamily,
        }
        metric: Metric = kinds[family.kind](family.prometheus_name, family.help, labels=names)
        for labels, value in samples:
            values = [labels[name] for name in names]
            if isinstance(value, Distribution):
                buckets = [(_number(bound), number) for bound, number in value.cumulative]
                metric.add_metric(values, [*buckets, ("+Inf", value.count)], value.total)
            else:
                metric.add_metric(values, value)
        return metric


def register(
    registry: CollectorRegistry | None = None, *, loop: asyncio.AbstractEventLoop | None = None
) -> EpicycleCollector:
    """Register a new collector with ``registry``, or with `prometheus_client`'s own, and return it.

    ``registry.unregister(collector)`` ends it.

    Raises ImportError where `prometheus_client` is not installed, ValueError where the registry has one already.
    """
    collector = EpicycleCollector(loop)
    if registry is None:
        import prometheus_client

        registry = prometheus_client.REGISTRY
    registry.register(collector)
    return collector


def text(loop: asyncio.AbstractEventLoop | None = None) -> str:
    """Return the metrics in Prometheus' text format, of every open Epicycle loop or of ``loop`` alone."""
    loops = metrics(loop)["loops"]
    return "".join(line + "\n" for family in FAMILIES for line in _lines(family, family.samples(loops)))


async def serve(host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
    """Serve the text at ``http://HOST:PORT/metrics`` on the running loop, of every open Epicycle loop.

    Port 0 is one that the system picks: ``server.sockets[0].getsockname()[1]``. Nothing asks who is there, so serve
    beyond the machine itself only where everybody may know. While the running loop is blocked nobody is answered; give
    this a loop of its own in another thread where that matters.

    Returns the server, which serves already; ``close()`` or ``async with`` ends it. Raises OSError as
    ``asyncio.start_server`` does.
    """
    from epicycle.watching.scraping import Scraping

    return await Scraping(text, CONTENT_TYPE).start(host, port)


def _client() -> Any:
    """`prometheus_client.core`, or an ImportError that says what to install."""
    try:
        from prometheus_client import core
    except ImportError as error:
        raise ImportError(
            "this needs prometheus_client, which is not installed: pip install 'epicycle[prometheus]'"
        ) from error
    return core


def _lines(family: Family, samples: Iterable[tuple[Labels, int | float | Distribution]]) -> Iterator[str]:
    name = family.prometheus_name + ("_total" if family.kind == "counter" else "")
    yield f"# HELP {name} {_escaped_help(family.help)}"
    yield f"# TYPE {name} {family.kind}"
    for labels, value in samples:
        if isinstance(value, Distribution):
            for bound, number in value.cumulative:
                yield _line(name + "_bucket", {**labels, "le": _number(bound)}, number)
            yield _line(name + "_bucket", {**labels, "le": "+Inf"}, value.count)
            yield _line(name + "_count", labels, value.count)
            yield _line(name + "_sum", labels, value.total)
        else:
            yield _line(name, labels, value)


def _line(name: str, labels: Labels, value: int | float) -> str:
    inside = ",".join(f'{key}="{_escaped_label(text)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {_number(value)}"


def _number(value: int | float) -> str:
    return repr(value)


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escaped_label(text: str) -> str:
    return _escaped_help(text).replace('"', '\\"')

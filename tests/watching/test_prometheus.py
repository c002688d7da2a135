"""The text for Prometheus, the collector for its client, and the page over HTTP."""

import asyncio
import http.client
import math
import sys
import threading

import pytest
from made_up_pages import COUNTERS, FACTS, lateness, stall, watched
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import epicycle
from epicycle.watching import prometheus
from epicycle.watching.scraping import Scraping
from toolkit import join_all, parked_thread


def parsed(text):
    """{name of the family: (kind, help, {(name, labels): value})}"""
    return {
        family.name: (
            family.type,
            family.documentation,
            {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in family.samples},
        )
        for family in text_string_to_metric_families(text)
    }


def value(text, name, **labels):
    [found] = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return found


def by_the_client(loop):
    registry = CollectorRegistry()
    prometheus.register(registry, loop=loop)
    return generate_latest(registry).decode()


def test_the_text_and_the_client_say_the_same():
    with watched(stalls=[stall(40, over=False)]) as loop:
        ours, theirs = prometheus.text(loop), by_the_client(loop)
    assert parsed(ours) == parsed(theirs)
    assert len(parsed(ours)) > 20


def test_every_counter_is_there():
    with watched() as loop:
        families = parsed(prometheus.text(loop))
    numbers = {number for _, _, samples in families.values() for number in samples.values()}
    assert set(COUNTERS.values()) <= numbers
    for name, (kind, help, samples) in families.items():
        assert help, name
        assert samples, name
        assert all(sample.endswith("_total") for sample, _ in samples) == (kind == "counter"), name
        assert all(dict(labels)["loop"] == "7" for _, labels in samples), name


def test_units_are_base_units():
    with watched() as loop:
        text = prometheus.text(loop)
    assert value(text, "epicycle_received_bytes_total") == COUNTERS["bytes_in"]
    assert value(text, "epicycle_loop_created_seconds") == FACTS["created"]
    assert value(text, "epicycle_watch_threshold_seconds") == 0.1


def test_no_digit_of_a_large_counter_is_lost():
    with watched(counters={"bytes_in": 2**53 + 1}) as loop:
        assert f'epicycle_received_bytes_total{{loop="7"}} {2**53 + 1}\n' in prometheus.text(loop)


def test_the_histogram_is_cumulative_and_ends_in_infinity():
    with watched(buckets=lateness(b9=5, b12=3, b20=2, b40=1)) as loop:
        text = prometheus.text(loop)
    [family] = [f for f in text_string_to_metric_families(text) if f.type == "histogram"]
    assert family.name == "epicycle_timers_lateness_seconds"
    buckets = [(float(s.labels["le"]), s.value) for s in family.samples if s.name.endswith("_bucket")]
    bounds, numbers = zip(*buckets, strict=True)
    assert list(bounds) == sorted(bounds)
    assert list(numbers) == sorted(numbers)
    assert bounds[-1] == math.inf
    assert dict(buckets)[2**12 / 1e9] == 5
    assert dict(buckets)[2**14 / 1e9] == 8
    assert dict(buckets)[2**36 / 1e9] == 10
    assert numbers[-1] == value(text, "epicycle_timers_lateness_seconds_count") == 11
    # The one timer in bucket 40 outweighs the others by far, and was 1100 to 2200 seconds late.
    assert 2**40 / 1e9 < value(text, "epicycle_timers_lateness_seconds_sum") < 2**41 / 1e9


def test_labels_are_escaped():
    with watched() as loop:
        text = prometheus.text(loop)
    [line] = [line for line in text.splitlines() if line.startswith("epicycle_loop_info{")]
    assert 'epicycle="0.1.0 \\"beta\\"\\\\\\n"' in line
    [labels] = [
        sample.labels
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "epicycle_loop_info"
    ]
    assert labels["epicycle"] == FACTS["epicycle"]


def test_the_stall_that_goes_on():
    with watched(stalls=[stall(40, over=False, lasted=2.5)]) as loop:
        assert value(prometheus.text(loop), "epicycle_stalled_seconds") == 2.5
    with watched(stalls=[stall(40)]) as loop:
        assert value(prometheus.text(loop), "epicycle_stalled_seconds") == 0


def test_names_are_known_before_there_is_a_loop():
    registry = CollectorRegistry(auto_describe=True)
    collector = prometheus.register(registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        prometheus.register(registry)
    registry.unregister(collector)
    prometheus.register(registry)


def test_every_open_loop_is_collected():
    loops = [epicycle.new_event_loop() for _ in range(2)]
    try:
        numbers = {str(one["loop"]) for loop in loops for one in epicycle.metrics(loop)["loops"]}
        registry = CollectorRegistry()
        prometheus.register(registry)
        text = generate_latest(registry).decode()
        found = {s.labels["loop"] for f in text_string_to_metric_families(text) for s in f.samples}
        assert numbers <= found
    finally:
        for loop in loops:
            loop.close()


def test_a_closed_loop_does_not_hold_up_the_registry():
    loop = epicycle.new_event_loop()
    registry = CollectorRegistry()
    prometheus.register(registry, loop=loop)
    assert "epicycle_turns_total{" in generate_latest(registry).decode()
    loop.close()
    assert "epicycle_turns_total{" not in generate_latest(registry).decode()


def test_without_the_client(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"pip install 'epicycle\[prometheus\]'"):
        prometheus.EpicycleCollector()
    with watched() as loop:
        assert "epicycle_turns_total" in prometheus.text(loop)


# ---- over HTTP ----


async def talk(port, request):
    """What the server sends for these bytes, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def exchange(request, **options):
    """The status, the headers and the body that a request gets."""

    async def main():
        server = await Scraping(lambda: "page\n", prometheus.CONTENT_TYPE, **options).start("127.0.0.1", 0)
        async with server:
            return await talk(server.sockets[0].getsockname()[1], request)

    head, _, body = epicycle.run(main()).partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    version, number, _ = status.split(" ", 2)
    assert version == "HTTP/1.1"
    headers = dict(header.split(": ", 1) for header in headers)
    assert headers["Connection"] == "close"
    return int(number), headers, body


def test_the_page_is_served():
    async def main():
        server = await prometheus.serve()
        async with server:
            host, port = server.sockets[0].getsockname()
            assert host == "127.0.0.1"

            def fetch():
                connection = http.client.HTTPConnection(host, port, timeout=10)
                try:
                    connection.request("GET", "/metrics")
                    answer = connection.getresponse()
                    return answer.status, answer.getheader("Content-Type"), answer.read().decode()
                finally:
                    connection.close()

            return await asyncio.to_thread(fetch), epicycle.metrics(asyncio.get_running_loop())

    (status, content_type, text), found = epicycle.run(main())
    assert status == 200
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    number = str(found["loops"][0]["loop"])
    assert value(text, "epicycle_loop_state", loop=number, state="running") == 1
    assert value(text, "epicycle_accepts_total", loop=number) == 1


def test_get():
    status, headers, body = exchange(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (status, body) == (200, b"page\n")
    assert headers["Content-Length"] == "5"
    assert headers["Content-Type"] == prometheus.CONTENT_TYPE


def test_a_query_is_ignored():
    assert exchange(b"GET /metrics?name=x HTTP/1.0\r\n\r\n")[0] == 200


def test_head():
    status, headers, body = exchange(b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert (status, body, headers["Content-Length"]) == (200, b"", "5")


def test_another_path():
    assert exchange(b"GET / HTTP/1.1\r\n\r\n")[0] == 404
    assert exchange(b"HEAD /metricsx HTTP/1.1\r\n\r\n")[::2] == (404, b"")


def test_another_method():
    status, headers, _ = exchange(b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "request_line",
    [
        b"",
        b"GET",
        b"GET /metrics",
        b"GET  HTTP/1.1",
        b"GET /metrics FTP/1.1",
        b"\x16\x03\x01\x02\x00",
        b"a b c d",
    ],
)
def test_what_is_no_request(request_line):
    assert exchange(request_line + b"\r\n\r\n")[0] == 400


def test_another_version():
    assert exchange(b"GET /metrics HTTP/2.0\r\n\r\n")[0] == 505


def test_a_head_that_does_not_end():
    assert exchange(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 200_000)[0] == 431


def test_a_client_that_says_nothing():
    assert exchange(b"GET /metrics HTTP/1.1\r\n", seconds=0.05)[0] == 408


def test_a_client_that_goes_away():
    async def main():
        server = await Scraping(lambda: "page\n", "text/plain").start("127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            for request in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n\r\n"):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                writer.transport.abort()
            return await talk(port, b"GET /metrics HTTP/1.1\r\n\r\n")

    assert epicycle.run(main()).endswith(b"page\n")


def test_more_clients_than_it_takes():
    async def main():
        server = await Scraping(lambda: "page\n", "text/plain").start("127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(32)]
            try:
                refused = await talk(port, b"GET /metrics HTTP/1.1\r\n\r\n")
            finally:
                for _, writer in idle:
                    writer.close()
            async with asyncio.timeout(10):
                while b" 503 " in (answer := await talk(port, b"GET /metrics HTTP/1.1\r\n\r\n")):
                    await asyncio.sleep(0.01)
            return refused, answer

    refused, answer = epicycle.run(main())
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_what_cannot_be_rendered_is_told_to_the_loop():
    told = []

    def render():
        raise ValueError("no page")

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        server = await Scraping(render, "text/plain").start("127.0.0.1", 0)
        async with server:
            return await talk(server.sockets[0].getsockname()[1], b"GET /metrics HTTP/1.1\r\n\r\n")

    assert epicycle.run(main()).startswith(b"HTTP/1.1 500 ")
    assert [str(context["exception"]) for context in told] == ["no page"]


def test_a_loop_in_another_thread_answers_while_one_is_blocked():
    inside, go_on = threading.Event(), threading.Event()

    async def hold():
        inside.set()
        assert go_on.wait(20)

    async def ask():
        async with await prometheus.serve() as server:
            return await talk(server.sockets[0].getsockname()[1], b"GET /metrics HTTP/1.1\r\n\r\n")

    blocked = epicycle.new_event_loop()
    thread = parked_thread(blocked.run_until_complete, hold())
    try:
        assert inside.wait(10)
        number = epicycle.metrics(blocked)["loops"][0]["loop"]
        answer = asyncio.run(ask())
    finally:
        go_on.set()
        join_all(thread)
        blocked.close()
    text = answer.decode().partition("\r\n\r\n")[2]
    assert value(text, "epicycle_loop_state", loop=str(number), state="running") == 1

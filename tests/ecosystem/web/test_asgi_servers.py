"""One Starlette application under every ASGI server, on Epicycle: what HTTP, events and WebSockets need of a loop."""

import hashlib
import json

import pytest
from asgi_servers import parameters, running
from plain_client import ask, ask_json, connection, die_in_a_request
from programs import PATIENCE, assert_epicycle

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module", params=parameters())
def server(request):
    """The started program, and its host and port; one for all tests of this file."""
    with running(request.param) as started:
        yield started


def test_the_application_and_its_lifespan_run_on_epicycle(server):
    _, host, port = server
    answer = ask_json(host, port, "/")
    assert_epicycle(answer["loop"])
    assert answer["started on"] == answer["loop"]


def test_a_connection_is_kept_alive(server):
    _, host, port = server
    with connection(host, port) as opened:
        opened.connect()
        sock = opened.sock
        for _ in range(20):
            assert ask(opened, "GET", "/")[0] == 200
            assert opened.sock is sock
        assert ask(opened, "GET", "/nowhere")[0] == 404
        assert opened.sock is sock


@pytest.mark.parametrize("framing", ["chunked", "content-length"])
def test_a_body_is_read_as_it_comes(server, framing):
    _, host, port = server
    parts = [bytes([number]) * 100_003 for number in range(80)]
    whole = b"".join(parts)
    with connection(host, port) as opened:
        status, answer = ask(opened, "PUT", "/digest", iter(parts) if framing == "chunked" else whole)
    assert status == 200
    assert json.loads(answer) == {"bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}


def test_an_answer_is_sent_as_it_is_taken(server):
    _, host, port = server
    with connection(host, port) as opened:
        opened.request("GET", f"/zeros/{8 * MEGABYTE + 1}")
        response = opened.getresponse()
        length = 0
        while part := response.read(MEGABYTE):
            assert not any(part)
            length += len(part)
    assert length == 8 * MEGABYTE + 1


def test_events_come_in_their_order(server):
    _, host, port = server
    with connection(host, port) as opened:
        opened.request("GET", "/events?count=5&pause=0.01")
        response = opened.getresponse()
        assert response.headers.get_content_type() == "text/event-stream"
        lines = response.read().decode().splitlines()
    assert lines == [line for n in range(1, 6) for line in (f"id: {n}", f"data: event {n}", "")]


def test_an_endless_stream_of_events_ends_with_its_reader(server):
    program, host, port = server
    ended = program.printed["stdout"].count("events ended")
    with connection(host, port) as opened:
        opened.request("GET", "/events?count=100000000&pause=0.01")
        response = opened.getresponse()
        # What has come cannot have waited for the end, which is not to be expected in our lifetime.
        assert response.readline() == b"id: 1\n"
        response.close()
    program.wait_for(rf"(events ended\n[^\0]*){{{ended + 1}}}")


def test_a_websocket_echoes_small_and_large(server):
    from websockets.sync.client import connect

    _, host, port = server
    with connect(f"ws://{host}:{port}/echo", open_timeout=PATIENCE, proxy=None) as websocket:
        for text in [*(f"message {number}" for number in range(200)), "x" * 500_000, "€" * 100_000]:
            websocket.send(text)
            assert websocket.recv(PATIENCE) == text


def test_clients_that_die_in_a_request_do_not_disturb_the_others(server):
    program, host, port = server
    for _ in range(20):
        die_in_a_request(
            host,
            port,
            f"PUT /digest HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\n",
            bytes(1000),
        )
        die_in_a_request(host, port, f"GET /zeros/{50 * MEGABYTE} HTTP/1.1\r\nHost: {host}\r\n\r\n")
        die_in_a_request(host, port, "GET / HT")
    assert_epicycle(ask_json(host, port, "/")["loop"])
    assert "epicycle/loop" not in program.printed["stderr"], program.report()


@pytest.mark.parametrize("name", parameters())
def test_interrupt_ends_it_cleanly(name):
    with running(name) as (program, host, port):
        ask_json(host, port, "/")
        program.interrupt()
        assert program.finish() == 0, program.report()
        assert "Traceback" not in program.errors, program.report()
        # gunicorn's own worker takes Ctrl-C for an order to leave out the end of the application's lifespan.
        if name != "gunicorn, asgi":
            assert "stopped\n" in program.output, program.report()

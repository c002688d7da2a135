"""`fastapi_app.py` on Epicycle, from uvicorn's own command line and from `uvicorn.run`."""

import contextlib
import http.client
import json
import sys
from urllib.parse import urlsplit

import pytest
from programs import EXAMPLES, PATIENCE, Program, ask_at_once, assert_epicycle, start

pytestmark = pytest.mark.needs("fastapi", "uvicorn")

COMMAND = [
    sys.executable,
    "-m",
    "uvicorn",
    "--app-dir",
    EXAMPLES,
    "--port",
    "0",
    "--loop",
    "epicycle:new_event_loop",
]
WAYS = {
    "command, h11": lambda: Program([*COMMAND, "--http", "h11", "fastapi_app:app"]),
    "command, httptools": lambda: Program([*COMMAND, "--http", "httptools", "fastapi_app:app"]),
    "uvicorn.run": lambda: start("fastapi_app.py", "--port", "0"),
}


@pytest.fixture(
    params=[
        pytest.param(way, marks=pytest.mark.needs("httptools") if "httptools" in way else ()) for way in WAYS
    ]
)
def server(request, optional_packages):
    """The started program, and the host and port it listens on."""
    with WAYS[request.param]() as program:
        url = urlsplit(program.wait_for(r"Uvicorn running on (http://\S+)"))
        yield program, (url.hostname, url.port)


def test_routes_answer_over_one_connection(server):
    _, (host, port) = server
    with contextlib.closing(http.client.HTTPConnection(host, port, timeout=PATIENCE)) as connection:

        def ask(method, path, body=None):
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())

        status, answer = ask("GET", "/loop")
        assert status == 200
        assert_epicycle(answer["loop"])
        assert ask("GET", "/hello/Ada") == (200, {"message": "Hello, Ada!"})
        assert ask("GET", "/blocking/Ada") == (200, {"message": "Hello from a thread, Ada!"})
        assert ask("POST", "/sum", json.dumps(list(range(100_000)))) == (200, {"sum": 4_999_950_000})
        assert ask("POST", "/sum", '["one"]')[0] == 422
        assert ask("GET", "/nowhere")[0] == 404


def test_a_hundred_requests_wait_together(server):
    _, (host, port) = server
    answers, seconds = ask_at_once(host, port, [f"/hello/{number}?delay=0.5" for number in range(100)])
    assert [json.loads(body)["message"] for _, body in answers] == [
        f"Hello, {number}!" for number in range(100)
    ]
    assert 0.5 <= seconds < 100 * 0.5 / 4


def test_interrupt_ends_it_cleanly(server):
    program, _ = server
    program.interrupt()
    assert program.finish() == 0, program.report()
    assert_epicycle(program.output)
    assert program.output.endswith("stopped\n"), program.report()
    assert "Traceback" not in program.errors

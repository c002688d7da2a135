"""A Django site by ASGI on Epicycle: under uvicorn, gunicorn and hypercorn, and started by itself."""

import json
from urllib.parse import urlsplit

import pytest
from asgi_servers import ANNOUNCED, COMMANDS, NEEDS
from plain_client import ask, connection
from programs import Program, ask_at_once, assert_epicycle, start

SERVERS = ["uvicorn, httptools", "gunicorn, uvicorn", "hypercorn"]
pytestmark = pytest.mark.needs("django")


def site(name):
    """The started program and where it listens."""
    if name == "itself":
        return start("django_hello.py", "--port", "0"), ANNOUNCED["uvicorn"]
    return Program(COMMANDS[name](app="django_hello:app")), ANNOUNCED[name.partition(",")[0]]


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.needs(*NEEDS[name])) for name in SERVERS),
        pytest.param("itself", marks=pytest.mark.needs("uvicorn")),
    ],
)
def test_views_of_every_kind_answer(name):
    program, announced = site(name)
    with program:
        url = urlsplit(program.wait_for(announced))
        with connection(url.hostname, url.port) as opened:
            status, body = ask(opened, "GET", "/loop")
            assert status == 200, body
            assert_epicycle(json.loads(body)["loop"])
            assert b"Hello, &lt;Ada&gt;!" in ask(opened, "GET", "/hello/%3CAda%3E")[1]
            assert ask(opened, "GET", "/blocking/Ada") == (200, b"Hello from a thread, Ada!\n")
            assert ask(opened, "GET", "/countdown/5") == (200, b"5\n4\n3\n2\n1\n")
            assert ask(opened, "GET", "/nowhere")[0] == 404
        answers, _ = ask_at_once(url.hostname, url.port, [f"/hello/{n}?delay=0.3" for n in range(50)])
        assert [f"Hello, {n}!" in body for n, (_, body) in enumerate(answers)] == [True] * 50
        program.interrupt()
        assert program.finish() == 0, program.report()
        assert "Traceback" not in program.errors, program.report()

"""ASGI servers, each started on Epicycle the way its how-to page says, with the examples' Starlette application."""

import contextlib
import socket
import sys
import time
from urllib.parse import urlsplit

import pytest
from programs import EXAMPLES, PATIENCE, Program

APPLICATION = "starlette_app:app"
PYTHON = sys.executable
EPICYCLE = [PYTHON, "-m", "epicycle", "run"]


def uvicorn(http="auto", app=APPLICATION, folder=EXAMPLES, options=(), port=0):
    return [
        *(PYTHON, "-m", "uvicorn", "--app-dir", folder, "--port", port),
        *("--loop", "epicycle:new_event_loop", "--http", http, *options, app),
    ]


def gunicorn(worker, app=APPLICATION, options=(), port=0):
    # Without --no-control-socket gunicorn leaves a socket in the home directory.
    return [
        *(PYTHON, "-m", "gunicorn", "--chdir", EXAMPLES, "--bind", f"127.0.0.1:{port}"),
        *(
            "--no-control-socket",
            "--graceful-timeout",
            "10",
            "-k",
            f"epicycle.gunicorn.{worker}",
            *options,
            app,
        ),
    ]


def hypercorn(app=APPLICATION, options=(), port=0):
    return [
        *(*EPICYCLE, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}"),
        *("--graceful-timeout", "10", *options, f"{EXAMPLES}/{app.replace(':', '.py:')}"),
    ]


def granian(app=APPLICATION, options=(), port=0):
    return [
        *(*EPICYCLE, "-m", "granian", "--interface", "asgi", "--loop", "asyncio"),
        *("--working-dir", EXAMPLES, "--port", port, *options, app),
    ]


COMMANDS = {
    "uvicorn, h11": lambda **chosen: uvicorn("h11", **chosen),
    "uvicorn, httptools": lambda **chosen: uvicorn("httptools", **chosen),
    "gunicorn, uvicorn": lambda **chosen: gunicorn("UvicornWorker", **chosen),
    "gunicorn, asgi": lambda **chosen: gunicorn("AsgiWorker", **chosen),
    "hypercorn": hypercorn,
    "granian": granian,
}
NEEDS = {
    "uvicorn, h11": ["uvicorn", "h11", "websockets"],
    "uvicorn, httptools": ["uvicorn", "httptools", "websockets"],
    "gunicorn, uvicorn": ["gunicorn", "uvicorn_worker", "websockets"],
    "gunicorn, asgi": ["gunicorn"],
    "hypercorn": ["hypercorn"],
    "granian": ["granian"],
}
ANNOUNCED = {
    "uvicorn": r"Uvicorn running on (http://[^ ]+)",
    "gunicorn": r"Listening at: (http://[^ ]+)",
    "hypercorn": r"Running on (http://[^ ]+)",
    "granian": r"Listening at: (http://[^ ]+)",
}


def parameters(names=COMMANDS):
    """`pytest.param` for each server of that name, which is skipped where a package is missing."""
    return [pytest.param(name, marks=pytest.mark.needs(*NEEDS[name], "starlette")) for name in names]


@contextlib.contextmanager
def running(name, **chosen):
    """The started server, its host and its port, once its application has started and it takes connections."""
    with contextlib.ExitStack() as stack:
        if name == "granian":
            # It does not say which port it got, so it is given one that nobody else can take meanwhile.
            chosen["port"] = stack.enter_context(reserved_port())
        program = stack.enter_context(Program(COMMANDS[name](**chosen)))
        url = urlsplit(program.wait_for(ANNOUNCED[name.partition(",")[0]]))
        program.wait_for(r"(started on)")
        wait_until_it_answers(program, url.hostname, url.port)
        yield program, url.hostname, url.port


def wait_until_it_answers(program, host, port):
    """Knock until somebody opens: granian says that it listens before it does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((host, port), timeout=PATIENCE).close()
            return
        except ConnectionError:
            assert time.monotonic() < deadline, program.report()
            assert program.process.poll() is None, program.report()


@contextlib.contextmanager
def reserved_port(host="127.0.0.1"):
    """A port that refuses connections until a server takes it, and that the system gives to nobody of itself.

    Servers can take it that set SO_REUSEADDR or SO_REUSEPORT, as nobody listens on the socket that holds it.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, 0))
        yield sock.getsockname()[1]

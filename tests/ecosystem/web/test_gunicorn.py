"""gunicorn with aiohttp's worker, and what all of Epicycle's worker classes have in common."""

import os
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from asgi_servers import ANNOUNCED, NEEDS, gunicorn, running
from plain_client import ask, ask_json, connection, workers_seen
from programs import Program, ask_at_once

pytestmark = pytest.mark.needs("gunicorn")

APPLICATION = """
import asyncio, os
from aiohttp import web

async def index(request):
    return web.json_response({"loop": str(type(asyncio.get_running_loop())), "pid": os.getpid(),
                              "new": str(type(asyncio.new_event_loop()))})

async def slow(request):
    print("slow begins", flush=True)
    await asyncio.sleep(1)
    return web.Response(text="slow ends")

async def say_goodbye(app):
    # In one piece, as two workers may say it at the same moment.
    print("cleaned up\\n", end="", flush=True)

async def factory():
    app = web.Application()
    app.router.add_get("/", index)
    app.router.add_get("/slow", slow)
    app.on_cleanup.append(say_goodbye)
    return app
"""


@pytest.fixture
def aiohttp_site(tmp_path):
    """gunicorn with two of aiohttp's workers, both at work: the started program, its host and its port."""
    (tmp_path / "site_of_the_test.py").write_text(APPLICATION)
    # The last --chdir counts.
    options = ["--chdir", tmp_path, "--workers", "2"]
    with Program(gunicorn("AiohttpWorker", "site_of_the_test:factory", options)) as program:
        url = urlsplit(program.wait_for(ANNOUNCED["gunicorn"]))
        workers_seen(url.hostname, url.port, 2)
        yield program, url.hostname, url.port


@pytest.mark.needs("aiohttp")
def test_an_aiohttp_application_runs_on_epicycle(aiohttp_site):
    program, host, port = aiohttp_site
    answer = ask_json(host, port, "/")
    assert answer["loop"] == answer["new"] == "<class 'epicycle.loop.EventLoop'>"
    assert answer["pid"] != program.process.pid
    program.interrupt()
    assert program.finish() == 0, program.report()
    assert program.output.count("cleaned up\n") == 2
    assert "Traceback" not in program.errors, program.report()


@pytest.mark.needs("aiohttp")
def test_an_answer_under_way_is_finished_before_the_end(aiohttp_site):
    program, host, port = aiohttp_site
    with connection(host, port) as opened:
        opened.request("GET", "/slow")
        program.wait_for(r"(slow begins)")
        os.kill(program.process.pid, signal.SIGTERM)
        assert opened.getresponse().read() == b"slow ends"
    assert program.finish() == 0, program.report()
    assert program.output.count("cleaned up\n") == 2


@pytest.mark.needs("aiohttp")
def test_the_example_of_aiohttp_is_served_from_its_factory():
    with Program(gunicorn("AiohttpWorker", "hello_server:application(0.3)")) as program:
        url = urlsplit(program.wait_for(ANNOUNCED["gunicorn"]))
        answers, _ = ask_at_once(url.hostname, url.port, [f"/hello/{n}" for n in range(50)])
        assert [f"Hello, {n}!" in body for n, (_, body) in enumerate(answers)] == [True] * 50


@pytest.mark.needs(*NEEDS["gunicorn, uvicorn"], "starlette", "h11")
def test_the_worker_with_http_in_python_runs_on_epicycle():
    command = gunicorn("UvicornH11Worker")
    with Program(command) as program:
        url = urlsplit(program.wait_for(ANNOUNCED["gunicorn"]))
        assert ask_json(url.hostname, url.port, "/")["loop"] == "epicycle.loop.EventLoop"


@pytest.mark.needs("starlette")
def test_a_graceful_end_runs_the_end_of_the_lifespan():
    with running("gunicorn, asgi") as (program, host, port):
        with connection(host, port) as opened:
            assert ask(opened, "GET", "/")[0] == 200
        os.kill(program.process.pid, signal.SIGTERM)
        assert program.finish() == 0, program.report()
        assert "stopped\n" in program.output


def test_naming_the_worker_classes_loads_nothing():
    code = (
        "import sys, epicycle.gunicorn; assert 'UvicornWorker' in dir(epicycle.gunicorn);"
        "print({'gunicorn', 'uvicorn', 'aiohttp', 'epicycle.loop'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("worker", "package", "remedy"),
    [
        ("UvicornWorker", "uvicorn_worker", "pip install gunicorn uvicorn-worker 'uvicorn>=0.36'"),
        ("AiohttpWorker", "aiohttp", "pip install gunicorn aiohttp"),
        ("AsgiWorker", "gunicorn.workers.gasgi", "pip install 'gunicorn>=24'"),
    ],
)
def test_a_missing_package_is_named_with_its_remedy(worker, package, remedy):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"import epicycle.gunicorn\ntry: epicycle.gunicorn.{worker}\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"epicycle.gunicorn.{worker}: ")
    assert package in done.stdout
    assert done.stdout.endswith(f"; try: {remedy}\n")


def test_a_taken_port_is_said_again_and_again_and_is_the_status():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Program(gunicorn("AsgiWorker", port=port)) as program:
            assert program.finish() == 1, program.report()
    assert program.errors.count(f"Connection in use: ('127.0.0.1', {port})") == 5

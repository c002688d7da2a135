"""What uvicorn alone does: reloading, refusing a taken port, a graceful end, and HTTP/1.1 in its corners."""

import socket

import pytest
from asgi_servers import running, uvicorn
from plain_client import ask_json, connection
from programs import PATIENCE, Program, assert_epicycle, start

# uvicorn's own status for a server that did not start.
STARTUP_FAILURE = 3

pytestmark = pytest.mark.needs("uvicorn", "starlette", "httptools", "h11")

APPLICATION = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def index(request):
    return JSONResponse({"version": VERSION, "loop": str(type(asyncio.get_running_loop()))})

print("started on", VERSION, flush=True)
app = Starlette(routes=[Route("/", index)])
"""


def test_an_edited_application_is_reloaded_on_epicycle(tmp_path):
    module = tmp_path / "edited.py"
    module.write_text("VERSION = 1" + APPLICATION)
    chosen = {"app": "edited:app", "folder": tmp_path}
    options = ["--reload", "--reload-dir", tmp_path, "--reload-delay", "0.05"]
    with running("uvicorn, httptools", options=options, **chosen) as (program, host, port):
        assert ask_json(host, port, "/")["version"] == 1
        module.write_text("VERSION = 'two'" + APPLICATION)
        program.wait_for(r"(started on two)")
        answer = ask_json(host, port, "/")
        assert answer["version"] == "two"
        assert_epicycle(answer["loop"])
        program.interrupt()
        assert program.finish() == 0, program.report()


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_taken_port_is_said_and_is_the_status(http):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Program(uvicorn(http, port=port)) as program:
            assert program.finish() == STARTUP_FAILURE, program.report()
    assert f"error while attempting to bind on address ('127.0.0.1', {port})" in program.errors
    assert "Traceback" not in program.errors


@pytest.mark.parametrize("name", ["uvicorn, h11", "uvicorn, httptools"])
def test_an_answer_under_way_is_finished_before_the_end(name):
    with running(name) as (program, host, port), connection(host, port) as opened:
        opened.request("GET", "/events?count=20&pause=0.05")
        response = opened.getresponse()
        assert response.readline() == b"id: 1\n"
        program.interrupt()
        program.wait_for(r"(Shutting down)")
        assert response.read().decode().splitlines()[-2:] == ["data: event 20", ""]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port), timeout=PATIENCE)
        assert program.finish() == 0, program.report()
    assert program.output.endswith("events ended\nstopped\n")


@pytest.mark.parametrize("name", ["uvicorn, h11", "uvicorn, httptools"])
def test_requests_sent_in_one_piece_are_answered_in_their_order(name):
    with running(name) as (_, host, port), socket.create_connection((host, port), timeout=PATIENCE) as sock:
        lengths = [5, 70_000, 1, 0, 300_000]
        pieces = [f"GET /zeros/{length} HTTP/1.1\r\nHost: {host}\r\n\r\n" for length in lengths]
        sock.sendall("".join(pieces).encode())
        with sock.makefile("rb") as stream:
            for length in lengths:
                assert stream.readline().startswith(b"HTTP/1.1 200")
                while stream.readline() != b"\r\n":
                    pass
                received = 0
                while size := int(stream.readline(), 16):
                    received += len(stream.read(size))
                    stream.readline()
                assert stream.readline() == b"\r\n"
                assert received == length


def test_an_application_that_is_not_there_is_said_without_a_traceback():
    with Program(uvicorn(app="no_such_module:app")) as program:
        assert program.finish() == STARTUP_FAILURE, program.report()
    assert 'Could not import module "no_such_module"' in program.errors
    assert "Traceback" not in program.errors


def test_the_example_starts_itself():
    with start("starlette_app.py", "--port", "0") as program:
        program.wait_for(r"(Uvicorn running)")
        assert_epicycle(program.wait_for(r"^started on (.*)"))
        program.interrupt()
        assert program.finish() == 0, program.report()

"""`hello_server.py` answers over real connections, many at once, and ends as it should."""

import contextlib
import socket
import struct
from urllib.parse import urlsplit

import pytest
from programs import ask_at_once, assert_epicycle, one_line, run, start

pytestmark = pytest.mark.needs("aiohttp")

SECONDS_PER_ANSWER = 0.5


@contextlib.contextmanager
def hello_server(*arguments):
    """The started program, and the host and port it listens on."""
    with start("hello_server.py", *arguments) as program:
        url = urlsplit(program.wait_for(r"^listening on (\S+)"))
        yield program, (url.hostname, url.port)


def test_index_and_greeting_are_served_on_epicycle():
    with hello_server() as (program, (host, port)):
        assert_epicycle(program.wait_for(r"^loop: (.*)"))
        answers, seconds = ask_at_once(host, port, ["/", "/hello/Ada", "/hello/%3Cb%3E", "/nowhere"])
        assert [status for status, _ in answers] == [200, 200, 200, 404]
        assert "<h1>Index</h1>" in answers[0][1]
        assert "<h1>Hello, Ada!</h1>" in answers[1][1]
        assert "&lt;b&gt;" in answers[2][1]
        assert seconds >= SECONDS_PER_ANSWER


def test_five_hundred_requests_wait_together():
    names = [f"visitor-{number}" for number in range(500)]
    with hello_server() as (_, (host, port)):
        answers, seconds = ask_at_once(host, port, [f"/hello/{name}" for name in names])
    assert all(status == 200 for status, _ in answers)
    assert all(f"Hello, {name}!" in body for name, (_, body) in zip(names, answers, strict=True))
    # One after another they would take 250 seconds.
    assert SECONDS_PER_ANSWER <= seconds < len(names) * SECONDS_PER_ANSWER / 10


def test_visitors_who_hang_up_do_not_disturb_the_others():
    with hello_server("--delay", "0.2") as (program, (host, port)):
        for _ in range(20):
            with socket.create_connection((host, port)) as visitor:
                visitor.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
                # Closing with no time to linger resets the connection.
                visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answers, _ = ask_at_once(host, port, ["/hello/Ada"] * 5)
        assert [status for status, _ in answers] == [200] * 5
        program.interrupt()
        assert program.finish() == 0, program.report()
    assert program.errors == "", program.report()


def test_listens_on_ipv6(addresses):
    if "::1" not in addresses:
        pytest.skip("this machine has no ::1")
    with hello_server("--host", "::1", "--delay", "0") as (_, (host, port)):
        assert host == "::1"
        answers, _ = ask_at_once(host, port, ["/"])
        assert answers[0][0] == 200


def test_interrupt_ends_it_cleanly():
    with hello_server() as (program, _):
        program.interrupt()
        assert program.finish() == 0, program.report()
        assert program.output.endswith("stopped\n")
        assert program.errors == ""


def test_a_port_in_use_is_said_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = run("hello_server.py", "--port", port, status=1)
    assert one_line(program).startswith(f"hello_server: cannot listen on 127.0.0.1 port {port}: ")

"""`fetch_pages.py`, `page_headers.py` and `requests_in_threads.py` ask several hosts at once."""

import re
import socket

import pytest
from programs import Meeting, lines_after_loop, one_line, run, start, web_hosts

from toolkit import refusing

URL_CLIENTS = [
    pytest.param("fetch_pages.py", marks=pytest.mark.needs("aiohttp")),
    pytest.param("requests_in_threads.py", marks=pytest.mark.needs("requests")),
]
CLIENTS = [*URL_CLIENTS, "page_headers.py"]


def as_argument(client, host):
    """The way a client wants a host to be named."""
    return host if client == "page_headers.py" else f"http://{host}/"


@pytest.mark.parametrize("client", URL_CLIENTS)
def test_pages_of_all_hosts_are_fetched_at_once(client, addresses):
    with web_hosts(addresses, Meeting(2 * len(addresses)).answer) as hosts:
        urls = [f"http://{host}/{page}" for host in hosts for page in ("one", "two")]
        program = run(client, *urls)
    lines = lines_after_loop(program)
    assert [line.split()[0] for line in lines] == urls
    assert all("status=200" in line and f"bytes={len('met at /one')}" in line for line in lines)


def test_headers_of_all_hosts_are_fetched_at_once(addresses):
    with web_hosts(addresses, Meeting(len(addresses)).answer) as hosts:
        program = run("page_headers.py", *hosts)
    lines = lines_after_loop(program)
    assert [line for line in lines if not line.startswith(" ")] == hosts
    assert lines.count("    HTTP/1.0 200 OK") == len(hosts)
    assert lines.count(f"    Content-Length: {len('met at /')}") == len(hosts)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_host_that_refuses_spoils_only_its_own_line(client, addresses):
    with refusing() as (_, port), web_hosts(addresses, "answer to {}".format) as hosts:
        arguments = [as_argument(client, host) for host in (f"127.0.0.1:{port}", *hosts)]
        program = run(client, *arguments, status=1)
    assert one_line(program).startswith(f"{client.removesuffix('.py')}: {arguments[0]}: ")
    assert all(host in program.output for host in hosts)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_host_that_never_answers_is_given_up(client):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = as_argument(client, f"127.0.0.1:{silent.getsockname()[1]}")
        program = run(client, "--timeout", "0.2", host, status=1)
    assert re.search("time", one_line(program), re.I)


@pytest.mark.parametrize("client", ["page_headers.py", URL_CLIENTS[0]])
def test_interrupt_ends_a_waiting_client_without_a_traceback(client):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = as_argument(client, f"127.0.0.1:{silent.getsockname()[1]}")
        with start(client, host) as program:
            visitor, _ = silent.accept()
            with visitor:
                program.interrupt()
                assert program.finish() == 130, program.report()
                assert program.errors == ""


def test_a_host_that_hangs_up_is_reported():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        start("page_headers.py", f"127.0.0.1:{server.getsockname()[1]}") as program,
    ):
        visitor, _ = server.accept()
        with visitor:
            visitor.recv(1000)
        assert program.finish() == 1
        assert "without an answer" in one_line(program)


@pytest.mark.parametrize("text", ["host:port", "127.0.0.1:99999", "", "host/path", "[::1"])
def test_what_is_no_host_is_a_usage_error(text):
    program = run("page_headers.py", text, status=2)
    assert f"{text!r} is not HOST, HOST:PORT or [IPV6]:PORT" in program.errors


@pytest.mark.parametrize("client", CLIENTS)
def test_no_host_at_all_is_a_usage_error(client):
    assert run(client, status=2).errors.startswith(f"usage: {client}")

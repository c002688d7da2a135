"""`transfer_server.py` and `transfer_client.py`: a hundred megabytes each way, TLS, faults on either side."""

import contextlib
import json
import re
import signal
import socket
from urllib.parse import urlsplit

import pytest
from asgi_servers import reserved_port
from plain_client import ask, connection, die_in_a_request
from programs import assert_epicycle, one_line, run, start

from toolkit import refusing

pytestmark = pytest.mark.needs("aiohttp")

MEBIBYTE_IN_KIB = 1024


@contextlib.contextmanager
def transfer_server(*arguments):
    """The started program and its address."""
    with start("transfer_server.py", *arguments) as program:
        yield program, program.wait_for(r"^listening on (\S+)")


def test_a_hundred_megabytes_each_way_take_little_memory():
    with transfer_server() as (program, url):
        client = run("transfer_client.py", url, "--megabytes", "100")
        assert_epicycle(program.wait_for(r"^loop: (.*)"))
        assert_epicycle(client.output)
        assert "upload: 100000000 bytes whole" in client.output
        assert "download: 100000000 bytes whole" in client.output
        after, before = map(int, re.search(r"server: (\d+) KiB, before: (\d+)", client.output).groups())
        assert after - before < 16 * MEBIBYTE_IN_KIB
        peak = int(re.search(r"client: (\d+) KiB", client.output)[1])
        assert peak < 90 * MEBIBYTE_IN_KIB
        program.interrupt()
        assert program.finish() == 0, program.report()
        assert program.errors == client.errors == ""


def test_bodies_go_over_tls(tmp_path):
    trustme = pytest.importorskip(
        "trustme", reason="the package trustme is not installed; try: make ecosystem"
    )
    authority, certificate = tmp_path / "ca.pem", tmp_path / "server.pem"
    ca = trustme.CA()
    ca.cert_pem.write_to_path(authority)
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    with transfer_server("--certificate", certificate) as (program, url):
        assert url.startswith("https://")
        client = run("transfer_client.py", url, "--megabytes", "20", "--ca", authority)
        assert client.output.count("20000000 bytes whole") == 2
        distrusting = run("transfer_client.py", url, "--patience", "60", status=1)
        assert "certificate verify failed" in one_line(distrusting)
        program.interrupt()
        assert program.finish() == 0, program.report()
        assert "Traceback" not in program.errors


def test_a_server_that_is_down_at_the_start_is_waited_for():
    with reserved_port() as port:
        url = f"http://127.0.0.1:{port}/"
        with start("transfer_client.py", url, "--megabytes", "1", "--patience", "60") as client:
            client.wait_for(r"(waiting for the server)")
            with transfer_server("--port", port):
                assert client.finish() == 0, client.report()
                assert client.output.count("1000000 bytes whole") == 2


def test_a_server_that_is_down_is_said_in_one_line():
    with refusing() as (host, port):
        client = run("transfer_client.py", f"http://{host}:{port}/", status=1)
    assert one_line(client).startswith(f"transfer_client: http://{host}:{port}/: Cannot connect to host")


def test_a_server_that_dies_in_a_transfer_is_said_in_one_line():
    with (
        transfer_server() as (server, url),
        start("transfer_client.py", url, "--megabytes", "5000") as client,
    ):
        client.wait_for(r"^(loop of the server)")
        server.process.kill()
        assert client.finish() == 1, client.report()
        assert one_line(client).startswith(f"transfer_client: {url}: ")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1:80", "http://"])
def test_an_address_that_is_none_is_a_usage_error(url):
    assert "argument url: " in run("transfer_client.py", url, status=2).errors


def test_another_server_than_expected_is_said_in_one_line():
    with start("hello_server.py", "--delay", "0") as program:
        url = program.wait_for(r"^listening on (\S+)")
        client = run("transfer_client.py", url, status=1)
    assert "404" in one_line(client)


def test_a_taken_port_and_a_missing_certificate_are_said_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = run("transfer_server.py", "--port", port, status=1)
    assert one_line(program).startswith(f"transfer_server: cannot listen on 127.0.0.1 port {port}: ")
    program = run("transfer_server.py", "--certificate", tmp_path / "none.pem", status=1)
    assert one_line(program).startswith("transfer_server: cannot use the certificate ")


def test_clients_that_die_in_a_transfer_do_not_disturb_the_others():
    with transfer_server() as (program, url):
        host, port = urlsplit(url).hostname, urlsplit(url).port
        for _ in range(30):
            head = f"PUT /digest HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000000\r\n\r\n"
            die_in_a_request(host, port, head, bytes(100_000))
            die_in_a_request(host, port, f"GET /random/100000000 HTTP/1.1\r\nHost: {host}\r\n\r\n")
        with connection(host, port) as opened:
            status, body = ask(opened, "PUT", "/digest", b"hello")
        assert (status, json.loads(body)["bytes"]) == (200, 5)
        program.interrupt()
        assert program.finish() == 0, program.report()
        assert "epicycle/loop" not in program.errors, program.report()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_answer_under_way_is_finished_before_the_end(number):
    with transfer_server("--grace", "60") as (program, url):
        host, port = urlsplit(url).hostname, urlsplit(url).port
        with connection(host, port) as opened:
            opened.request("GET", "/random/30000000")
            response = opened.getresponse()
            taken = len(response.read(1_000_000))
            program.process.send_signal(number)
            with pytest.raises(ConnectionRefusedError):
                while True:
                    socket.create_connection((host, port), timeout=10).close()
            while piece := response.read(1_000_000):
                taken += len(piece)
        assert taken == 30_000_064
        assert program.finish() == 0, program.report()
        assert program.output.endswith("stopped\n")

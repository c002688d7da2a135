"""How a crawl ends otherwise: by Ctrl-C, with a full disk, with nobody there, with arguments that make no sense."""

import json
import os
import re
import resource
import signal
import subprocess
import sys

import pexpect
import pytest
from crawling import (
    CRAWL,
    QUICKLY,
    crawl,
    crawling,
    parts,
    records,
    reported,
    serving,
    starts,
    wait_for_requests,
)
from programs import EXAMPLES, one_line, run, start

from toolkit import child_environment, listener, refusing


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_report_and_what_it_has_in_the_file(tmp_path, number):
    output = tmp_path / "pages.jsonl"
    # A slow page never comes: without the signal this would not end.
    with serving(slow=3600, pages=200) as site:
        with crawling(site, output) as program:
            wait_for_requests(site, 100)
            os.kill(program.process.pid, number)
            assert program.finish() == 130, program.report()
    assert (program.errors, "interrupted\n" in program.output) == ("", True), program.report()
    found = records(output.read_text())
    says = reported(program)
    assert len(found) == sum(
        int(says[name]) for name in ("pages", "redirects", "excluded by robots.txt", "failed")
    )
    assert int(says["pages"]) > 50
    assert int(says["not reached"]) >= 1
    assert parts(tmp_path) == []


def test_in_a_terminal_there_is_a_bar_and_ctrl_c_works(tmp_path):
    output = tmp_path / "pages.jsonl"
    with serving(slow=3600, pages=200) as site:
        command = [str(EXAMPLES / CRAWL), *starts(site), "--output", str(output), *QUICKLY]
        child = pexpect.spawn(
            sys.executable,
            ["-m", "epicycle", "run", *command],
            env=child_environment() | {"TERM": "xterm"},
            dimensions=(24, 120),
            encoding="utf-8",
            timeout=60,
        )
        try:
            # Colours may stand between the words, as the terminal and the environment have it.
            child.expect(r"crawling .*\d+/\d+")
            wait_for_requests(site, 100)
            child.sendintr()
            child.expect("interrupted")
            child.expect(pexpect.EOF)
            child.wait()
        finally:
            child.close(force=True)
    assert child.exitstatus == 130
    assert records(output.read_text())


def test_killed_it_leaves_the_file_as_it_was(tmp_path):
    output = tmp_path / "pages.jsonl"
    output.write_text("as it was\n")
    with serving(slow=3600, pages=200) as site, crawling(site, output) as program:
        wait_for_requests(site, 100)
        os.kill(program.process.pid, signal.SIGKILL)
        program.finish()
    assert output.read_text() == "as it was\n"


def test_a_full_device_is_said_in_one_line():
    with serving(slow=0) as site:
        program = crawl(site, "/dev/full", status=1)
    assert one_line(program) == "crawl: cannot write /dev/full: No space left on device"
    assert os.path.exists("/dev/full")


def test_a_file_that_may_not_grow_leaves_the_old_one_and_nothing_half_written(tmp_path):
    output = tmp_path / "pages.jsonl"
    output.write_text("as it was\n")

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    with serving(slow=0) as site:
        done = subprocess.run(
            [sys.executable, "-m", "epicycle", "run", EXAMPLES / CRAWL, *starts(site), "--output", output],
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=small_files,
            env=child_environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
    assert done.returncode == 1, done
    assert done.stderr == f"crawl: cannot write {output}: File too large\n"
    assert output.read_text() == "as it was\n"
    assert parts(tmp_path) == []


def test_a_folder_that_is_not_there_is_said_before_anything_is_fetched(tmp_path):
    with serving(slow=0) as site:
        program = crawl(site, tmp_path / "nowhere/pages.jsonl", status=1)
    assert (
        one_line(program) == f"crawl: cannot write {tmp_path}/nowhere/pages.jsonl: No such file or directory"
    )
    assert not site.requests


def test_standard_output_gets_the_records_alone():
    with serving(slow=0, pages=20) as site:
        program = crawl(site, "-")
    assert len(records(program.output)) > 20
    assert "finished\n" in program.errors


def test_a_reader_that_leaves_early_is_said_in_one_line():
    with serving(slow=0) as site:
        command = [sys.executable, "-m", "epicycle", "run", EXAMPLES / CRAWL, *starts(site), "--output", "-"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_environment()
        ) as process:
            json.loads(process.stdout.readline())
            process.stdout.close()
            errors = process.stderr.read()
            assert process.wait(60) == 1
    assert errors == "crawl: cannot write standard output: Broken pipe\n"


def test_nobody_there_is_said_in_one_line_and_the_file_stays(tmp_path):
    output = tmp_path / "pages.jsonl"
    output.write_text("as it was\n")
    with refusing() as (host, port):
        program = run(CRAWL, f"http://{host}:{port}/", "--output", output, *QUICKLY, status=1)
    assert one_line(program).startswith(f"crawl: http://{host}:{port}/: robots.txt: Cannot connect to host")
    assert reported(program)["retries"] == "3"
    assert output.read_text() == "as it was\n"
    assert parts(tmp_path) == []


def test_a_host_that_cannot_say_what_it_allows_is_left_alone(tmp_path):
    with serving(["127.0.0.1"], slow=0, robots=503) as site:
        program = crawl(site, tmp_path / "pages.jsonl", status=1)
    assert one_line(program) == f"crawl: {site.hosts[0]}/: robots.txt: status 503"
    assert site.requests == {f"{site.hosts[0]}/robots.txt": 4}


@pytest.mark.parametrize(
    "url", ["example.org", "ftp://127.0.0.1/", "http://", "http://[::bad/", "http://host:99999/"]
)
def test_what_is_no_address_is_a_usage_error(url):
    program = run(CRAWL, url, status=2)
    assert f"{url!r} is not an address like http://host/path" in program.errors


@pytest.mark.parametrize(
    ("option", "value"), [("--workers", "0"), ("--timeout", "-1"), ("--retries", "many")]
)
def test_limits_that_make_no_sense_are_usage_errors(option, value):
    program = run(CRAWL, "http://127.0.0.1:1/", option, value, status=2)
    assert re.search(rf"error: argument {option}: ", program.errors)
    assert "Traceback" not in program.errors


def test_a_start_that_robots_txt_forbids_is_said_in_one_line(tmp_path):
    with serving(["127.0.0.1"], robots="User-agent: *\nDisallow: /\n") as site:
        program = crawl(site, tmp_path / "pages.jsonl", status=1)
    assert one_line(program) == f"crawl: {site.hosts[0]}/: excluded by robots.txt"
    assert site.requests == {f"{site.hosts[0]}/robots.txt": 1}


def test_a_host_that_comes_up_late_is_crawled_after_all(tmp_path):
    output = tmp_path / "pages.jsonl"
    with listener() as server:
        url = "http://{}:{}/".format(*server.getsockname())
        with start(CRAWL, url, "--output", output, *QUICKLY) as program:
            # robots.txt and the page are asked for in vain, which aiohttp by itself does twice, and then once more.
            for status in (None, None, "404 Not Found", None, None, "200 OK"):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    if status:
                        fields = "Content-Type: text/html\r\nContent-Length: 0\r\nConnection: close"
                        connection.sendall(f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode())
            assert program.finish() == 0, program.report()
    assert reported(program)["retries"] == "2"
    assert records(output.read_text())[url]["outcome"] == "fetched"

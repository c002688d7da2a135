"""A FastAPI endpoint that is `async` and asks a database by a driver that blocks: what the watcher and `top` say."""

import contextlib
import io
import json
import re
import sys
import threading
import time
import urllib.request

import pytest
from addresses import service
from programs import EXAMPLES, PATIENCE, Program

from epicycle.watching.outside import command

for package in ("fastapi", "pymysql", "uvicorn"):
    pytest.importorskip(package)

EXAMPLE = EXAMPLES / "stalls" / "blocking_driver.py"
LINE = next(
    at
    for at, line in enumerate(EXAMPLE.read_text().splitlines(), 1)
    if line.strip() == "cursor.execute(statement)"
)


@pytest.fixture
def server():
    """The program, watched, and its address."""
    database = service("mysql")
    command_ = [sys.executable, "-m", "epicycle", "run", "--watch=0.2", EXAMPLE, "--port", "0"]
    with Program(command_, EPICYCLE_MYSQL_URL=database.url) as program:
        yield program, program.wait_for(r"Uvicorn running on (http://\S+)"), database


@contextlib.contextmanager
def asking(url):
    """A request on its way; it has its answer at the end."""
    answers = []

    def ask():
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            answers.append(json.load(answer))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
    assert answers == [{"rows": 1}]


def top(program):
    with io.StringIO() as said, contextlib.redirect_stdout(said):
        assert command.run("top", [str(program.process.pid), "--json"]) == 0
        return json.loads(said.getvalue())["loops"][0]


def test_the_endpoint_that_blocks_is_told(server):
    program, url, database = server
    deadline = time.monotonic() + PATIENCE
    loop = {"blocked": False}
    # A look takes half a second and a query two, so that the first try is enough unless the machine is busy.
    while not loop["blocked"] and time.monotonic() < deadline:
        with asking(f"{url}/report"):
            loop = top(program)
    assert loop["blocked"], program.report()
    assert f"stalls/blocking_driver.py:{LINE}" in loop["banner"]
    stall = loop["stalls"][-1]
    functions = [function for _, function, _ in stall["stack"]]
    assert "query" in functions
    assert "report" in functions
    said = program.wait_for(
        rf"(^the loop has been blocked for .* at {re.escape(str(EXAMPLE))}:{LINE} \(.*\)$)"
    )
    if stall["cause"] == "cpu":
        pytest.skip("other programs had the processors")
    assert stall["cause"] == "system call"
    # MariaDB may be reached by its IPv4 or its IPv6 address.
    assert re.fullmatch(rf"recvfrom\(\d+\): connection to \S+:{database.port}", stall["detail"])
    assert "a blocking system call: recvfrom(" in said


def test_the_endpoint_without_async_does_not_block(server):
    program, url, _ = server
    with asking(f"{url}/report-cured") as thread:
        # It is answered meanwhile, which it would not be if the loop were blocked.
        with urllib.request.urlopen(f"{url}/openapi.json", timeout=PATIENCE) as answer:
            assert "/report" in json.load(answer)["paths"]
        assert thread.is_alive()
    assert str(EXAMPLE) not in "".join(re.findall("the loop has been blocked.*", program.printed["stderr"]))

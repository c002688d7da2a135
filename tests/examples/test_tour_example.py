"""`tour.py`: a server in one process, its visitors in another, and a table of what happened."""

import os
import re
import signal

import pytest
from programs import assert_epicycle, run, start

pytestmark = pytest.mark.needs("aiohttp")


def test_the_table_tells_what_happened():
    program = run("tour.py", "--clients", "60")
    greeting, blank, *rows = program.output.splitlines()
    assert re.fullmatch(r"60 clients visit http://127\.0\.0\.1:\d+/ \(process \d+\) at once", greeting)
    assert blank == ""
    table = dict(re.split(r"  +", row, maxsplit=1) for row in rows)
    assert (table["requests at once"], table["answered"], table["failed"]) == ("60", "60", "0")
    assert_epicycle(table["loop of the server"])
    assert_epicycle(table["loop of the clients"])
    assert table["Python"].startswith("CPython 3.")
    assert table["Epicycle"]
    assert float(table["slowest answer"].split()[0]) >= 0.5
    assert float(table["total"].split()[0]) < 60 * 0.5 / 3
    assert program.errors == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_early_it_leaves_no_server_behind(number):
    with start("tour.py") as program:
        server = int(program.wait_for(r"\(process (\d+)\) at once"))
        program.process.send_signal(number)
        assert program.finish() == 130, program.report()
        assert program.errors == ""
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


@pytest.mark.parametrize("clients", ["0", "-1", "many"])
def test_a_wrong_number_of_clients_is_a_usage_error(clients):
    assert "argument --clients: " in run("tour.py", "--clients", clients, status=2).errors


def test_more_clients_than_open_files_is_said_in_one_line():
    program = run("tour.py", "--clients", "1000000000", status=1)
    assert "open files are needed" in program.errors
    assert len(program.errors.splitlines()) == 1

"""`heartbeats.py`: thousands of clients are pinged, the dead ones are found, a slow one delays nobody."""

import re
import resource

import pytest
from programs import assert_epicycle, one_line, run, start

LIBRARIES = [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("websockets", "aiohttp")]


def heartbeats(library, clients, dead, beat, beats):
    """The table that the program prints at its end, by its first column."""
    arguments = ["--library", library, "--clients", clients, "--dead", dead, "--beat", beat, "--beats", beats]
    program = run("heartbeats.py", *arguments)
    assert program.errors == "", program.report()
    assert f"{clients} clients visit port" in program.output
    return dict(re.split(r"  +", line, maxsplit=1) for line in program.output.splitlines() if "  " in line)


def check(table, clients, dead, beats):
    assert_epicycle(table["loop"])
    fewest, most = map(int, re.match(r"(\d+) to (\d+) by each", table["pings answered"]).groups())
    assert 1 <= fewest <= most
    found, late = re.fullmatch(
        r"(\d+ of \d+), the last after ([\d.]+) beats", table["dead clients found"]
    ).groups()
    assert found == f"{dead} of {dead}"
    # The libraries are told to need less than two; the rest is for a machine that is busy with other things.
    assert float(late) < 3
    assert table["live clients taken for dead"] == "0"
    # A message in each beat, to all but the slow client.
    due = beats * (clients - 1)
    assert table["messages to the others"].startswith(f"{due} of {due}, late by ")
    assert int(re.match(r"lost (\d+) messages", table["slow client"])[1]) > 0
    assert re.fullmatch(r"\d+ % of a core", table["processor of the server"])
    assert re.fullmatch(r"\d+ KiB, [\d.]+ KiB for each client", table["memory of the server"])


@pytest.mark.parametrize("library", LIBRARIES)
def test_three_hundred_clients(library):
    check(heartbeats(library, 300, 30, beat=3, beats=2), 300, 30, beats=2)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.timeout(240)
@pytest.mark.at_length
def test_five_thousand_clients(library, monkeypatch):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 5200:
        pytest.skip(f"5200 open files are needed, and the system allows {hard}; try: ulimit -Hn 5200")
    monkeypatch.setattr("programs.PATIENCE", 200.0)
    # A long beat: while the clients come, and while other programs want the processors, answers to pings wait.
    check(heartbeats(library, 5000, 100, beat=20, beats=1), 5000, 100, beats=1)


@pytest.mark.needs("websockets")
def test_interrupt_ends_it_with_its_clients():
    with start("heartbeats.py", "--clients", "20", "--dead", "5", "--beats", "1000") as program:
        program.wait_for(r"^(all connected)")
        program.interrupt()
        assert program.finish() == 130, program.report()
        assert program.errors == ""


def test_clients_without_a_server_are_told_so_in_one_line():
    program = run("heartbeat_clients.py", "127.0.0.1:1", "--clients", "3", status=1)
    assert one_line(program).startswith("heartbeat_clients: cannot connect to 127.0.0.1:1: ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--clients", "0"], "argument --clients: must be at least 1"),
        (["--clients", "10", "--dead", "10"], "argument --dead: must be fewer than --clients"),
        (["--beat", "0"], "argument --beat: must be 0.1 to 3600"),
        (["--library", "none"], "argument --library: "),
    ],
)
def test_a_swarm_that_cannot_be_is_a_usage_error(arguments, complaint):
    assert complaint in run("heartbeats.py", *arguments, status=2).errors


def test_more_clients_than_open_files_is_said_in_one_line():
    program = run("heartbeats.py", "--clients", "1000000000", status=1)
    assert "open files are needed" in one_line(program)

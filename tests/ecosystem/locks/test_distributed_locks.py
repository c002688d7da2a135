"""`distributed_locks.py`: processes contend, one holds, the dead are replaced, the late are fenced off."""

import re

import pytest
from leftovers import forget
from passage import Passage
from programs import assert_epicycle, one_line, run, start

from toolkit import refusing

pytest.importorskip("aiomysql", reason="aiomysql: pip install -r requirements/ecosystem.txt")
pytest.importorskip("kazoo", reason="kazoo: pip install -r requirements/ecosystem.txt")
pytest.importorskip("redis", reason="redis: pip install -r requirements/ecosystem.txt")

from locks.ledger import Ledger

PROGRAM = "distributed_locks.py"
SHORT = ("--processes", "3", "--rounds", "6", "--lease", "1")


def rows(program):
    """The table's rows by way; the columns between are figures."""
    found = re.findall(r"^(\w+) +([\d.]+ .*\d) +(accepted|fenced off)$", program.output, re.M)
    return {way: ([float(cell) for cell in cells.split()], late) for way, cells, late in found}


@pytest.mark.parametrize("way", ["redis", "mariadb", "zookeeper"])
def test_one_holds_the_dead_are_replaced_and_the_late_are_fenced_off(way, request, tmp_path):
    service = request.getfixturevalue({"mariadb": "mysql"}.get(way, way))
    where = service.address if way == "zookeeper" else service.url
    chart = tmp_path / "chart.svg"
    program = run(PROGRAM, *SHORT, "--ways", way, f"--{way}-address", where, "--chart", chart)
    assert_epicycle(re.search(r"workers' loop is (.*)", program.output)[1])
    figures, late = rows(program)[way]
    alone, rate, *_, overlaps, died, froze = figures
    assert overlaps == 0
    assert late == "fenced off"
    assert alone > 0 and rate > 0 and died >= 0 and froze >= 0
    assert "</svg>" in chart.read_text()
    assert program.errors == ""


def test_without_a_lock_the_late_are_not_fenced_off():
    program = run(PROGRAM, *SHORT, "--ways", "none", status=1)
    assert rows(program)["none"][1] == "accepted"
    assert one_line(program).startswith("distributed_locks: not kept: none: ")


def test_the_ledger_sees_two_at_once():
    ledger = Ledger()
    assert ledger.enter(1, 5)
    assert ledger.overlaps == 0
    assert ledger.enter(2, 6)
    assert ledger.overlaps == 1


def test_the_ledger_turns_away_an_older_token():
    ledger = Ledger()
    assert ledger.enter(1, 5)
    ledger.leave(1)
    assert ledger.enter(2, 6)
    assert not ledger.enter(1, 5)
    assert (ledger.turned_away, ledger.overlaps) == (1, 0)


@pytest.mark.parametrize("way", ["redis", "mariadb", "zookeeper"])
def test_a_service_that_is_down_is_said_in_one_line(way):
    with refusing() as (host, port):
        where = {"redis": "redis://{}", "mariadb": "mysql://root@{}/test", "zookeeper": "{}"}[way]
        address = where.format(f"{host}:{port}")
        program = run(PROGRAM, *SHORT, "--ways", way, f"--{way}-address", address, status=1)
    assert one_line(program).startswith(f"distributed_locks: {way} at "), program.report()


@pytest.mark.parametrize("way", ["redis", "mariadb", "zookeeper"])
def test_a_wrong_address_is_said_in_one_line(way):
    program = run(PROGRAM, *SHORT, "--ways", way, f"--{way}-address", "gopher://x", status=1)
    assert one_line(program).startswith("distributed_locks: 'gopher://x': is "), program.report()


def test_a_wrong_password_is_said_in_one_line(mysql):
    address = mysql.with_password("wrong-password")
    program = run(
        PROGRAM, *SHORT, "--ways", "mariadb", "--mariadb-address", address, "--patience", "100000", status=1
    )
    assert "Access denied" in one_line(program)
    assert "wrong-password" not in program.errors


@pytest.mark.parametrize("way", ["redis", "mysql"])
def test_a_service_that_dies_in_mid_work_is_said_in_one_line(way, request):
    service = request.getfixturevalue(way)
    name = {"mysql": "mariadb"}.get(way, way)
    with Passage(service) as passage:
        url = service.at(passage.address)
        options = ("--ways", name, f"--{name}-address", url, "--rounds", "1000000")
        with start(PROGRAM, *options) as program:
            program.wait_for(r"(workers' loop)")
            passage.cut_in_mid_request()
            assert program.finish() == 1, program.report()
        forget(service, program.process.pid)
    assert one_line(program).startswith("distributed_locks: "), program.report()


def test_a_chart_that_cannot_be_written_is_said_in_one_line(tmp_path, redis):
    file = tmp_path / "no such folder" / "chart.png"
    options = ("--ways", "redis", "--redis-address", redis.url, "--chart", file)
    program = run(PROGRAM, *SHORT, *options, status=1)
    assert one_line(program).startswith(f"distributed_locks: cannot draw {file}: "), program.report()


def test_ctrl_c_ends_it_without_a_word(redis):
    with start(PROGRAM, "--ways", "redis", "--redis-address", redis.url, "--rounds", "1000000") as program:
        program.wait_for(r"(workers' loop)")
        program.interrupt()
        assert program.finish() == 130, program.report()
    forget(redis, program.process.pid)
    assert program.errors == ""

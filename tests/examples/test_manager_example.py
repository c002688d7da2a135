"""`manager_master.py` and two of `manager_worker.py`, each a process of its own, over TCP with a key."""

import re
import socket

import pytest
from programs import assert_epicycle, lines_after_loop, one_line, run, start

from toolkit import refusing

ADDRESS = r"^listening on (\S+)"


def test_two_workers_do_what_the_master_hands_out():
    with start("manager_master.py", "--tasks", "12", FARM_KEY="ours") as master:
        address = master.wait_for(ADDRESS)
        with (
            start("manager_worker.py", address, "one", FARM_KEY="ours") as one,
            start("manager_worker.py", address, "two", FARM_KEY="ours") as two,
        ):
            assert [p.finish() for p in (one, two, master)] == [0, 0, 0], "\n".join(
                p.report() for p in (one, two, master)
            )
    _, workers, *results, last = lines_after_loop(master)
    assert (workers, last) == ("workers: one, two", "all done")
    squares = sorted(
        int(re.fullmatch(r"(\d+) \* \1 = (\d+) \(worker (?:one|two)\)", line)[2]) for line in results
    )
    assert squares == [number * number for number in range(1, 13)]
    done = [
        int(re.fullmatch(r"worker \w+ did (\d+)", lines_after_loop(worker)[0])[1]) for worker in (one, two)
    ]
    assert sum(done) == 12
    assert master.errors + one.errors + two.errors == ""


def test_a_worker_with_the_wrong_key_is_refused_and_the_master_goes_on():
    with start("manager_master.py", "--workers", "1", FARM_KEY="ours") as master:
        address = master.wait_for(ADDRESS)
        stranger = run("manager_worker.py", address, "stranger", status=1, FARM_KEY="theirs")
        assert one_line(stranger) == f"manager_worker: {address} refused the key"
        run("manager_worker.py", address, "friend", FARM_KEY="ours")
        assert master.finish() == 0, master.report()
        assert "workers: friend\n" in master.output


def test_a_worker_without_a_master_says_so():
    with refusing() as (host, port):
        program = run("manager_worker.py", f"{host}:{port}", "lonely", status=1)
    assert one_line(program).startswith(f"manager_worker: lost or could not reach {host}:{port}: ")


def test_a_worker_whose_master_is_gone_says_so():
    with start("manager_master.py") as master:
        address = master.wait_for(ADDRESS)
        with start("manager_worker.py", address, "left") as worker:
            worker.wait_for(r"^(loop: .*)")
            master.interrupt()
            assert master.finish() == 130, master.report()
            assert worker.finish() == 1, worker.report()
            assert one_line(worker).startswith(f"manager_worker: lost or could not reach {address}")


def test_a_master_without_workers_gives_up():
    program = run("manager_master.py", "--patience", "0.2", status=1)
    assert_epicycle(program.output)
    assert one_line(program) == "manager_master: heard of no worker for 0.2 s"


def test_a_port_in_use_is_said_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = run("manager_master.py", "--port", port, status=1)
    assert one_line(program).startswith(f"manager_master: cannot listen on 127.0.0.1 port {port}: ")


def test_interrupt_ends_master_and_workers():
    with start("manager_master.py") as master:
        address = master.wait_for(ADDRESS)
        with start("manager_worker.py", address, "waiting") as worker:
            worker.wait_for(r"^(loop: .*)")
            worker.interrupt()
            assert worker.finish() == 130, worker.report()
            assert worker.errors == ""
        master.interrupt()
        assert master.finish() == 130, master.report()
        assert master.errors == ""


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:", ":80", "127.0.0.1:port"])
def test_what_is_no_address_is_a_usage_error(address):
    assert f"{address!r} is not HOST:PORT" in run("manager_worker.py", address, "name", status=2).errors

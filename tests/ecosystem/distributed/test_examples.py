"""The programs of `examples/` that go beyond one machine: a cluster, its master, and what outgrew one process."""

import os
import re
import signal

import pytest
from programs import lines_after_loop, one_line, run, start

from toolkit import refusing

pytest.importorskip(
    "distributed",
    reason="the package distributed is not installed: pip install -r requirements/ecosystem.txt",
)


@pytest.mark.parametrize("where", ["threads", "processes", "dask"])
def test_primes_are_counted_wherever_it_is_done(cluster, where):
    program = run("count_primes.py", cluster if where == "dask" else where, "--limit", "20000")
    *who, last = lines_after_loop(program)
    assert last == "primes below 20000: 2262"
    assert sum(int(re.fullmatch(r"process \d+ on \S+: (\d+) pieces", line)[1]) for line in who) == 20
    assert program.errors == ""


def test_a_master_and_a_cluster_of_which_a_worker_dies():
    with start("dask_cluster.py") as cluster:
        address = cluster.wait_for(r"^scheduler at (tcp://\S+)")
        first, second = (int(cluster.wait_for(rf"^worker {n} is process (\d+)")) for n in (1, 2))
        with start(
            "dask_master.py", address, "--tasks", "12", "--seconds", "0.3", "--patience", "60"
        ) as master:
            # Once a result has come, there are others on their way: on both workers, or on the one that is there.
            done_by = int(master.wait_for(r"\(process (\d+)\)"))
            os.kill(done_by, signal.SIGKILL)
            killed = 1 if done_by == first else 2
            cluster.wait_for(rf"^(worker {killed} ended with status -9)")
            assert master.finish() == 0, master.report()
        assert cluster.process.poll() is None
        cluster.interrupt()
        assert cluster.finish() == 130, cluster.report()
    whose, *results, last = lines_after_loop(master)
    assert "epicycle.loop.EventLoop" in whose
    assert last == f"sum: {sum(n * n for n in range(1, 13))}"
    assert sorted(int(line.split(" ")[0]) for line in results) == list(range(1, 13))
    assert (master.errors, cluster.errors) == ("", "")
    for process in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_a_scheduler_that_goes_takes_the_work_along_and_one_line_says_so():
    with start("dask_cluster.py", "--workers", "1") as cluster:
        address = cluster.wait_for(r"^scheduler at (tcp://\S+)")
        with start("dask_master.py", address, "--tasks", "5000", "--patience", "60") as master:
            master.wait_for(r"\(process (\d+)\)")
            cluster.interrupt()
            assert cluster.finish() == 130, cluster.report()
            assert master.finish() == 1, master.report()
    assert one_line(master) == f"dask_master: the scheduler at {address} has gone, and the work with it"


@pytest.mark.parametrize("example", ["count_primes", "dask_master"])
def test_no_scheduler_is_said_in_one_line(example):
    with refusing() as (host, port):
        program = run(f"{example}.py", f"tcp://{host}:{port}", "--patience", "0.5", status=1)
    assert one_line(program).startswith(f"{example}: cannot reach tcp://{host}:{port}: Timed out")


@pytest.mark.parametrize("example", ["count_primes", "dask_master"])
@pytest.mark.parametrize("address", ["somewhere", "tcp://127.0.0.1", "http://127.0.0.1:80"])
def test_what_is_no_address_is_a_usage_error(example, address):
    assert repr(address) in run(f"{example}.py", address, status=2).errors


def test_a_port_in_use_is_said_in_one_line():
    with start("dask_cluster.py", "--workers", "0") as first:
        address = first.wait_for(r"^scheduler at (tcp://\S+)")
        port = address.rpartition(":")[2]
        second = run("dask_cluster.py", "--port", port, "--workers", "0", status=1)
    assert one_line(second).startswith(f"dask_cluster: cannot listen on 127.0.0.1 port {port}: ")

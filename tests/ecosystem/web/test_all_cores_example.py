"""`all_cores.py`: workers made by every start method share a port, are counted, and are replaced when they die."""

import multiprocessing
import os
import re
import signal
import socket

import pytest
from plain_client import PATIENCE
from programs import assert_epicycle, one_line, run, start


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_what_each_worker_answers_is_counted(method):
    program = run(
        "all_cores.py", "--workers", "2", "--clients", "40", "--seconds", "1", "--start-method", method
    )
    *started, listening, head, first, second, together = program.output.splitlines()
    for line in started:
        assert_epicycle(line)
    assert re.fullmatch(r"listening on 127\.0\.0\.1 port \d+", listening)
    assert head.split() == ["worker", "answers/s"]
    rates = {int(pid): int(rate) for pid, rate in (row.split() for row in (first, second))}
    assert set(rates) == {int(line.split()[1]) for line in started}
    assert all(rates.values())
    # Each figure is rounded by itself.
    assert abs(int(together.split()[1]) - sum(rates.values())) <= 1
    assert program.errors == ""


def who_answers(port):
    """The process behind a new connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        sock.sendall(b"who?\n")
        with sock.makefile("rb") as stream:
            pid, text = stream.readline().split()
            assert text == b"who?"
            return int(pid)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_killed_worker_is_replaced_and_ctrl_c_ends_all(method):
    with start("all_cores.py", "--workers", "2", "--seconds", "0", "--start-method", method) as program:
        port = int(program.wait_for(r"^listening on \S+ port (\d+)"))
        before = {int(pid) for pid in re.findall(r"worker (\d+) on", program.printed["stdout"])}
        victim = who_answers(port)
        assert victim in before
        os.kill(victim, signal.SIGKILL)
        program.wait_for(rf"^(worker {victim} ended with -9: replaced)$")
        newcomer = int(program.wait_for(rf"^worker {victim} ended[^\0]*^worker (\d+) on"))
        after = before - {victim} | {newcomer}
        seen = set()
        while seen != after:
            seen.add(who_answers(port))
            assert seen <= after
        program.interrupt()
        assert program.finish() == 130, program.report()
        assert program.errors == "", program.report()
    for pid in after:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_taken_port_is_said_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = run("all_cores.py", "--port", port, status=1)
    assert one_line(program).startswith(f"all_cores: cannot listen on 127.0.0.1 port {port}: ")


@pytest.mark.parametrize("option", ["--workers", "--clients"])
def test_nobody_at_work_is_a_usage_error(option):
    assert f"argument {option}: must be at least 1" in run("all_cores.py", option, "0", status=2).errors

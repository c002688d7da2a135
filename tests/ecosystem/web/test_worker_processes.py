"""Servers with several worker processes, each on Epicycle; a killed worker is replaced where the server does that."""

import os
import signal

import pytest
from asgi_servers import parameters, running
from plain_client import workers_seen
from programs import assert_epicycle

WORKERS = {
    "uvicorn, httptools": ["--workers", "2"],
    "gunicorn, uvicorn": ["--workers", "2"],
    "gunicorn, asgi": ["--workers", "2"],
    "hypercorn": ["--workers", "2"],
    "granian": ["--workers", "2", "--respawn-failed-workers", "--respawn-interval", "0.1"],
}
REPLACES = [name for name in WORKERS if name != "hypercorn"]


@pytest.mark.parametrize("name", parameters(WORKERS))
def test_every_worker_answers_on_epicycle_and_ends_with_ctrl_c(name):
    with running(name, options=WORKERS[name]) as (program, host, port):
        answers = workers_seen(host, port, 2)
        for answer in answers.values():
            assert_epicycle(answer["loop"])
        assert program.process.pid not in answers
        program.interrupt()
        assert program.finish() == 0, program.report()
        assert "epicycle/loop" not in program.errors, program.report()
    for pid in answers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("name", parameters(REPLACES))
def test_a_killed_worker_is_replaced(name):
    with running(name, options=WORKERS[name]) as (program, host, port):
        before = workers_seen(host, port, 2)
        victim, survivor = before
        os.kill(victim, signal.SIGKILL)
        (newcomer,) = workers_seen(host, port, 1, besides=before).values()
        assert_epicycle(newcomer["loop"])
        assert set(workers_seen(host, port, 2, besides=[victim])) == {survivor, newcomer["pid"]}
        program.interrupt()
        assert program.finish() == 0, program.report()


@pytest.mark.needs("hypercorn", "starlette")
def test_hypercorn_ends_as_a_whole_when_a_worker_is_killed():
    with running("hypercorn", options=WORKERS["hypercorn"]) as (program, host, port):
        victim, _ = workers_seen(host, port, 2)
        os.kill(victim, signal.SIGKILL)
        # With status 0, on asyncio as well.
        program.finish()

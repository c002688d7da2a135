"""The agent: who rings gets a snapshot, soon, again and again, and also while the loop is stuck."""

import asyncio
import gc
import json
import threading
import time
import weakref

import pytest

from epicycle.watching.inside import agent, snapshot
from toolkit import finish, script, until

pytestmark = pytest.mark.epicycle_only


def agents():
    return [thread for thread in threading.enumerate() if thread.name == "epicycle-agent"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """An agent that ends soon, and has ended when the test has."""
    monkeypatch.setattr(agent, "PATIENCE", 0.2)
    yield
    deadline = time.monotonic() + 20
    while agents():
        assert time.monotonic() < deadline, "an agent does not end"
        time.sleep(0.01)


def last(page):
    """The number of the last snapshot, and the snapshot."""
    found = page.snapshot()
    return (0, None) if found is None else (found[0], json.loads(found[2]))


async def answered(page, after=0):
    """Rings, and waits for a snapshot later than number `after`."""
    page.ring()
    await until(lambda: last(page)[0] > after, timeout=30)
    return last(page)


def test_a_ring_is_answered_by_a_thread_that_ends_by_itself(loop):
    async def main():
        page = loop._page()
        assert page.snapshot() is None and not agents()
        _, taken = await answered(page)
        assert taken["tasks"]["total"] >= 1 and taken["loop"] == page.facts()["loop"] > 0
        assert page.facts()["agent"] and agents()[0].daemon
        await until(lambda: not agents())
        assert not page.facts()["agent"]
        # And the loop listens again.
        number, _ = last(page)
        assert (await answered(page, number))[0] > number
        page.close()

    finish(loop, main(), timeout=60)


def test_one_agent_answers_all_rings(loop):
    async def main():
        page = loop._page()
        number = 0
        begun = time.monotonic()
        for _ in range(5):
            number, _ = await answered(page, number)
            assert len(agents()) == 1
        # At most ten a second.
        assert time.monotonic() - begun > 0.3
        page.close()

    finish(loop, main(), timeout=60)


def test_many_rings_at_once_are_one(loop):
    async def main():
        page = loop._page()
        for _ in range(1000):
            page.ring()
        await until(lambda: page.snapshot() is not None)
        await until(lambda: not agents())
        assert last(page)[0] <= 10
        page.close()

    finish(loop, main(), timeout=60)


def test_a_loop_that_is_stuck_is_answered_for(loop):
    async def main():
        page = loop._page()
        number, _ = await answered(page)
        page.ring()
        deadline = time.monotonic() + 20
        while last(page)[0] <= number and time.monotonic() < deadline:
            stuck_here()
        taken = last(page)[1]
        running = [task for task in taken["tasks"]["list"] if task["state"] == "running"]
        assert any("stuck_here" in line for line in running[0]["stack"])
        page.close()

    def stuck_here():
        time.sleep(0.01)

    finish(loop, main(), timeout=60)


def test_steps_are_summed_up_only_while_there_is_an_agent(loop):
    async def main():
        page = loop._page()

        async def ticking():
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticks = 0
        ticker = asyncio.create_task(ticking(), name="ticker")
        number, _ = await answered(page)
        begun = ticks
        await until(lambda: ticks > begun + 10)
        _, taken = await answered(page, number)
        told = {task["name"]: task for task in taken["tasks"]["list"]}["ticker"]
        assert told["steps"] > 1 and told["busy"] > 0
        await until(lambda: not agents())
        await until(lambda: loop._step_times() == {})
        ticker.cancel()
        page.close()

    finish(loop, main(), timeout=60)


def test_what_goes_wrong_is_told_and_goes_nowhere_else(loop, errors, monkeypatch):
    class Odd(Exception):
        def __str__(self):
            raise AssertionError("called")

    def fail(*args):
        raise Odd

    async def main():
        page = loop._page()
        monkeypatch.setattr(snapshot.Observer, "observe", fail)
        number, taken = await answered(page)
        assert "Odd" in taken["error"] and taken["version"] == 1
        monkeypatch.undo()
        page.ring()
        await until(lambda: last(page)[0] > number)
        page.close()

    finish(loop, main(), timeout=60)
    assert not errors


def test_without_threads_the_loop_goes_on(loop, monkeypatch):
    async def main():
        page = loop._page()

        def refuse(thread):
            refused.append(thread)
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            page.ring()
            await until(lambda: refused)
        assert not page.facts()["agent"]
        await answered(page)
        page.close()

    refused = []
    finish(loop, main(), timeout=60)


def test_a_loop_that_is_closed_meanwhile(loop_factory):
    loop = loop_factory()
    page = loop._page()
    loop.run_until_complete(answered(page))
    loop.close()
    deadline = time.monotonic() + 20
    while agents() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not agents()
    page.close()
    reference = weakref.ref(loop)
    del loop
    gc.collect()
    assert reference() is None


def test_loops_in_several_threads(loop_factory):
    def run(results):
        loop = loop_factory()
        page = loop._page()
        try:
            _, taken = finish(loop, answered(page), timeout=60)
            running = [task for task in taken["tasks"]["list"] if task["state"] == "running"]
            results.append((taken["loop"] == page.facts()["loop"], len(running) <= 1))
        finally:
            page.close()
            loop.close()

    results = []
    threads = [threading.Thread(target=run, args=(results,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [(True, True)] * 4


LOOKED_AT = """
import asyncio, json, os, sys, threading
loop = new_loop()
page = loop._page()
async def main():
    page.ring()
    while page.snapshot() is None:
        await asyncio.sleep(0.001)
"""


def test_the_interpreter_does_not_wait_for_it():
    done = script(
        "epicycle",
        LOOKED_AT + "loop.run_until_complete(main())\n"
        "print([t.name for t in threading.enumerate()])\n"
        "page.ring()\n",
        timeout=8,
    )
    assert "epicycle-agent" in done.stdout and not done.stderr


def test_a_child_made_by_fork_has_none_and_can_have_its_own():
    done = script(
        "epicycle",
        LOOKED_AT + "loop.run_until_complete(main())\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    assert [t.name for t in threading.enumerate()] == ['MainThread']\n"
        "    loop = new_loop()\n"
        "    page = loop._page()\n"
        "    loop.run_until_complete(main())\n"
        "    taken = json.loads(page.snapshot()[2])\n"
        "    os._exit(0 if taken['pid'] == os.getpid() and taken['tasks']['total'] == 1 else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n",
        arguments=("-W", "ignore"),
        timeout=30,
    )
    assert done.stdout.split() == ["0"]

"""The doorbell: how others ask a loop for more than its page has."""

import asyncio
import threading
import time

import pytest

from toolkit import finish, quiet, until

pytestmark = pytest.mark.epicycle_only


@pytest.fixture
def rung(loop):
    """How often the loop was rung, without an agent that answers."""
    rings = []
    loop._doorbell_rang = lambda: rings.append(loop._what_runs()[0])
    return rings


def test_a_parked_loop_hears_it(loop, page, rung):
    async def main():
        ringer = threading.Thread(target=lambda: (time.sleep(0.05), page.ring()))
        ringer.start()
        await loop.run_in_executor(None, ringer.join)
        await until(lambda: rung)
        await loop.shutdown_default_executor()

    finish(loop, main())
    assert len(rung) == 1


def test_a_busy_loop_hears_it(loop, page, rung):
    async def main():
        page.ring()
        # Never asks the kernel of its own accord: there is always something to run.
        await until(lambda: rung)

    finish(loop, main())


def test_several_rings_are_one(loop, page, rung):
    async def main():
        for _ in range(200_000 // 64):
            page.ring()
        await until(lambda: rung)
        await quiet(200)

    finish(loop, main())
    assert 1 <= len(rung) <= 3


def test_an_answer_that_fails_does_not_end_the_loop(loop, page):
    import sys

    failures = []

    def fail():
        raise ValueError("no")

    loop._doorbell_rang = fail
    before, sys.unraisablehook = sys.unraisablehook, failures.append
    try:
        page.ring()
        finish(loop, until(lambda: failures))
    finally:
        sys.unraisablehook = before
    assert [failure.exc_type for failure in failures] == [ValueError]


def test_while_an_agent_answers_the_loop_does_not(loop, page, rung):
    loop._agent_begins()
    assert page.facts()["agent"] is True
    page.ring()
    # A busy loop asks the kernel every now and then.
    finish(loop, quiet(200))
    assert rung == []
    assert loop._await_bell(0) is True
    assert loop._await_bell(0.01) is False
    loop._agent_ends()
    page.ring()
    finish(loop, until(lambda: rung))
    assert len(rung) == 1


def test_waiting_for_it_lets_others_run_and_ends_with_the_loop(loop_factory):
    loop = loop_factory()
    outcomes = []

    def wait():
        try:
            loop._await_bell(60)
        except RuntimeError as error:
            outcomes.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    finish(loop, asyncio.sleep(0.05))
    loop.close()
    waiting.join(20)
    assert outcomes == ["Event loop is closed"]


def test_a_snapshot_is_what_was_published_last(loop, page):
    assert page.snapshot() is None
    loop._publish_snapshot(b"first, and longer")
    number, time_ns, data = page.snapshot()
    assert data == b"first, and longer"
    loop._publish_snapshot(b"second")
    again, later_ns, data = page.snapshot()
    assert (data, again > number, later_ns >= time_ns) == (b"second", True, True)


# ---- the recorder ----


async def work():
    await asyncio.sleep(0)


def named():
    pass


def test_the_recorder_writes_what_begins_and_ends(loop, page, rung):
    async def main():
        page.record(30)
        await until(lambda: page.facts()["recording"])
        loop.call_soon(named)
        await asyncio.gather(work(), work())
        await asyncio.sleep(0.01)

    assert page.events() == (0, [])
    finish(loop, main())
    after, events = page.events()
    assert [number for number, *_ in events] == list(range(after))
    times = [when for _, when, *_ in events]
    assert times == sorted(times)
    kinds = [(kind, name) for _, _, kind, name, _ in events]
    assert kinds.count(("step", "work")) == 4
    assert kinds.count(("callback", "named")) == 1
    assert ("park", "") in kinds
    assert ("turn", "") in kinds
    # What begins ends before the next begins.
    running = [kind for kind, _ in kinds if kind in ("step", "callback", "end")]
    if running[0] == "end":
        # Of what ran when the recorder was turned on.
        del running[0]
    assert all((kind == "end") == (index % 2 == 1) for index, kind in enumerate(running))
    assert page.events(after) == (after, [])


def test_the_ring_keeps_the_last(loop, page, rung):
    async def main():
        page.record(60)
        await asyncio.sleep(0.02)
        for _ in range(20_000):
            await asyncio.sleep(0)

    finish(loop, main(), timeout=60)
    after, events = page.events()
    assert after > 40_000
    assert len(events) == 32 * 1024
    assert events[-1][0] == after - 1


@pytest.mark.parametrize("seconds", [0, -1, 121, float("nan")])
def test_a_time_that_is_none_is_refused(page, loop, seconds):
    with pytest.raises(ValueError, match="seconds must be more than 0 and at most 120"):
        page.record(seconds)


def test_steps_are_summed_up_by_task(loop):
    async def busy():
        for _ in range(3):
            time.sleep(0.002)
            await asyncio.sleep(0)

    async def main():
        loop._time_steps(True)
        await asyncio.sleep(0)
        task = asyncio.create_task(busy())
        await task
        return id(task)

    number = finish(loop, main())
    steps, busy_ns, scheduled_ns, last = loop._step_times()[number]
    assert steps == 4
    assert busy_ns >= 6_000_000
    assert scheduled_ns >= 0
    assert last <= time.monotonic_ns()
    # Handed out, they begin anew.
    assert loop._step_times() == {}
    loop._time_steps(False)
    finish(loop, busy())
    assert loop._step_times() == {}

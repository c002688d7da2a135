"""Looking again and again: what stands still, and what comes late."""

import pytest
from fakes import STATES, FakePage, found, task

from epicycle.watching.outside.watched import Watched


def look(page, state="running"):
    return Watched(page, found(page, state=state).process, pause=0.001)


def test_a_loop_in_one_callback_stands_still_and_its_thread_is_looked_at():
    page = FakePage()
    page.get_stuck()
    one = look(page)
    assert one.read().still == 0
    page.pass_time(3.0)
    reading = one.read()
    assert reading.still == pytest.approx(3.0)
    assert reading.stack == page.stack()
    page.pass_time(1.0, tick=1)
    assert one.read().still == 0


@pytest.mark.parametrize("facts", [{"state": "parked"}, {"state": "idle"}, {"state": "closed"}])
def test_a_loop_that_waits_does_not_stand_still(facts):
    page = FakePage(**facts)
    one = look(page)
    one.read()
    page.pass_time(3.0)
    assert one.read().still == 0


def test_a_loop_that_turns_without_callbacks_does_not_stand_still():
    page = FakePage(state="running")
    one = look(page)
    one.read()
    page.pass_time(1.0, turns=1)
    assert one.read().still == 0


def test_a_stopped_process_is_not_blocked():
    page = FakePage(state="running")
    one = look(page, "stopped")
    one.read()
    page.pass_time(3.0)
    reading = one.read()
    assert (reading.process, reading.still) == ("stopped", 0)


def test_the_thread_is_left_alone_where_a_watcher_has_its_stack():
    page = FakePage()
    page.get_stuck()
    page.stall(over=False)
    page.stack = None
    one = look(page)
    one.read()
    page.pass_time(3.0)
    assert one.read().stack == []


def test_a_thread_that_cannot_be_read_is_no_error():
    page = FakePage()
    page.get_stuck()

    def stack():
        raise PermissionError(1, "no")

    page.stack = stack
    one = look(page)
    one.read()
    page.pass_time(3.0)
    assert one.read().stack == []


def test_waiting_for_the_tasks():
    page = FakePage(tasks=[task(1)])
    one = look(page)
    assert one.wait_for_snapshot(5.0)
    assert len(one.read().snapshot["tasks"]["list"]) == 1
    page.answers = False
    assert not one.wait_for_snapshot(0.01)
    page.pass_time(4.0)
    assert one.read().snapshot_age == pytest.approx(4.0)


def test_nobody_waits_for_a_process_that_has_ended():
    page = FakePage()
    page.answers = False
    one = look(page)
    STATES[one.process.pid] = "ended"
    assert not one.wait_for_snapshot(60.0)
    assert one.read().process == "ended"


def test_a_bell_that_cannot_be_rung_is_no_error():
    page = FakePage()

    def ring():
        raise FileNotFoundError(2, "gone")

    page.ring = ring
    look(page).ring()


def test_a_damaged_answer_leaves_the_last_good_one():
    page = FakePage(tasks=[task(1)])
    one = look(page)
    page.ring()
    one.read()
    page.answer_text(b"{")
    reading = one.read()
    assert reading.snapshot is not None
    assert reading.problem == "the snapshot is damaged"

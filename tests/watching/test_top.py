"""The live view, driven by its keys, on made-up pages."""

import asyncio
import time

import pytest
from fakes import STATES, FakePage, connection, found, task

from epicycle.watching.outside.top.app import Top
from epicycle.watching.outside.top.model import SHARE, Model
from epicycle.watching.outside.view import Reading


def drive(*pages, steps, state="running", size=(120, 40), interval=60.0):
    """Run `steps(app, pilot)` in a view of these pages, which looks only when `app.look()` is called."""

    async def main():
        app = Top(found(*pages, state=state), interval)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(app, pilot)

    asyncio.run(main())


async def look(app, pilot):
    app.look()
    app._take_tasks()
    await pilot.pause()


def screen(app):
    """What is on the screen, as lines of text."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text[:width] for strip in strips[:height])


def busy_page(**facts):
    return FakePage(
        tasks=[
            task(1, "server", age=5.0),
            task(2, "client", busy=0.5, awaited_by=[1]),
            task(3, "other", age=50.0),
        ],
        connections=[connection(5), connection(6, buffer=70000, slow="peer")],
        lints=[{"kind": "circle", "task": 1, "text": "two wait for one another"}],
        groups=[{"coroutine": "app.work", "waits": "timer", "count": 1234}],
        **facts,
    )


def order(app):
    return [row.task["name"] for row in app.model.rows]


def test_the_figures_and_the_tree():
    page = busy_page()

    async def steps(app, pilot):
        page.pass_time(1.0, callbacks=500, bytes_in=2048)
        page.late(20, 5)
        await look(app, pilot)
        shown = screen(app)
        assert "500/s" in shown
        assert "2.0 KiB/s" in shown
        assert "p99 2.1 ms" in shown
        assert "└ client" in shown
        assert "1 tasks 3" in shown
        assert not app.alarm.display
        assert not app.note.display

    drive(page, steps=steps)


def test_keys_sort_and_flatten():
    async def steps(app, pilot):
        await look(app, pilot)
        assert order(app) == ["server", "client", "other"]
        await pilot.press("a")
        assert order(app) == ["other", "server", "client"]
        await pilot.press("t", "b")
        assert order(app) == ["client", "server", "other"]
        for key, name in (("s", "scheduled"), ("w", "waits")):
            await pilot.press(key)
            assert app.model.sort == name

    drive(busy_page(), steps=steps)


def test_a_filter_and_its_end():
    async def steps(app, pilot):
        await look(app, pilot)
        await pilot.press("slash", *"CLI")
        assert order(app) == ["client"]
        # A letter that is a key elsewhere is a letter here.
        await pilot.press("q", "enter")
        assert order(app) == []
        await pilot.press("escape")
        assert len(order(app)) == 3
        assert not app.field.has_class("open")

    drive(busy_page(), steps=steps)


def test_the_tables():
    page = busy_page()
    page.stall(over=True)

    async def steps(app, pilot):
        await look(app, pilot)
        await pilot.press("2")
        await pilot.pause()
        assert "app.work" in screen(app)
        assert "1234" in screen(app)
        await pilot.press("3")
        await pilot.pause()
        shown = screen(app)
        assert "the peer is slow" in shown
        assert shown.index("fd 6") < shown.index("fd 5")
        await pilot.press("4")
        await pilot.pause()
        assert "srv/app.py:12 in work" in screen(app)
        await pilot.press("tab")
        await pilot.pause()
        assert "two wait for one another" in screen(app)
        await pilot.press("tab")
        assert app.views.current == "tasks"

    drive(page, steps=steps)


def test_the_details_follow_the_line():
    async def steps(app, pilot):
        await look(app, pilot)
        assert "await chain" in screen(app)
        await pilot.press("down")
        await pilot.pause()
        assert "awaited by server" in screen(app)
        await pilot.press("d")
        await pilot.pause()
        assert "await chain" not in screen(app)

    drive(busy_page(), steps=steps)


def test_the_line_stays_on_its_task():
    page = busy_page()

    async def steps(app, pilot):
        await look(app, pilot)
        await pilot.press("end")
        assert app.table.row.task["name"] == "other"
        page.tasks.insert(0, task(9, "new", busy=9.0))
        page.tasks[3]["busy"] = 99.0
        await look(app, pilot)
        assert order(app)[0] == "other"
        assert app.table.row.task["name"] == "other"

    drive(page, steps=steps)


def test_a_watched_loop_that_is_blocked():
    page = busy_page(watching=0.1)

    async def steps(app, pilot):
        await look(app, pilot)
        page.get_stuck()
        page.stall(over=False, lasted=3.2)
        page.pass_time(200)
        await look(app, pilot)
        shown = screen(app)
        assert "BLOCKED for 3.2 s by running code at srv/app.py:12 in work (task Task-7)" in shown
        assert app.alarm.has_class("alarm")
        assert "the loop is blocked; tasks as of 3m20s ago" in shown
        page._stalls[-1]["over"] = True
        page.become(state="parked")
        page.answers = True
        await look(app, pilot)
        assert not app.alarm.display
        assert not app.note.display

    drive(page, steps=steps)


def test_an_unwatched_loop_that_is_blocked_shows_its_thread():
    page = busy_page()

    async def steps(app, pilot):
        page.get_stuck()
        await look(app, pilot)
        page.pass_time(100)
        await look(app, pilot)
        shown = screen(app)
        assert "BLOCKED for at least 1m40s at srv/app.py:12 in work" in shown
        assert "the loop's thread, innermost first" in shown
        assert "re/__init__.py:166 in match" in shown
        # Whoever moves the line wants to see the task.
        await pilot.press("down")
        await pilot.pause()
        assert "awaited by server" in screen(app)

    drive(page, steps=steps)


@pytest.mark.parametrize(("state", "says"), [("stopped", "STOPPED"), ("ended", "has ended")])
def test_what_became_of_the_process(state, says):
    page = busy_page()

    async def steps(app, pilot):
        await look(app, pilot)
        rung = page.rung
        STATES[page.facts()["pid"]] = state
        page.pass_time(500)
        await look(app, pilot)
        shown = screen(app)
        assert says in shown
        assert "tasks as of 8m20s ago" in shown
        # There is nobody to hear the bell.
        assert page.rung == rung

    drive(page, steps=steps)


def test_a_page_that_becomes_damaged_is_told_and_the_view_goes_on():
    page = busy_page()

    async def steps(app, pilot):
        await look(app, pilot)
        facts = page.facts

        def damaged():
            raise ValueError("damaged page: \x1b")

        page.facts = damaged
        await look(app, pilot)
        assert "damaged page: \\x1b" in screen(app)
        page.facts = facts
        await look(app, pilot)
        assert "damaged page" not in screen(app)

    drive(page, steps=steps)


def test_nothing_of_the_target_reaches_the_terminal_raw():
    evil = "\x1b[2J\x9b31m\u202e\n\r\t[red]"
    page = FakePage(
        groups=[{"coroutine": evil, "waits": evil, "count": evil}],
        tasks=[task(1, evil, coroutine=evil, file=evil, state=evil, stack=[evil])],
        connections=[connection(5, kind=evil, local=evil, peer=evil)],
        lints=[{"kind": evil, "text": evil}],
        epicycle=evil,
        runs=evil,
    )
    page.stall(over=False, task=evil, cause=evil, file=evil, stack=[[evil, evil, evil]], awaits=[evil])

    async def steps(app, pilot):
        for key in "12345":
            await look(app, pilot)
            await pilot.press(key)
            await pilot.pause()
            shown = screen(app)
            assert all(line.isprintable() for line in shown.split("\n"))
            assert "\\x1b[2J" in shown

    drive(page, steps=steps)


def test_the_loops_of_a_process_one_after_another():
    pages = FakePage(loop=1, tasks=[task(1, "first")]), FakePage(loop=2, tasks=[task(2, "second")])

    async def steps(app, pilot):
        await look(app, pilot)
        assert order(app) == ["first"]
        await pilot.press("l")
        await look(app, pilot)
        assert order(app) == ["second"]
        assert "loop 2 of 2" in screen(app)
        await pilot.press("l")
        assert order(app) == ["first"]

    drive(*pages, steps=steps)


def test_a_loop_that_tells_nothing():
    page = FakePage()
    page.answers = False

    async def steps(app, pilot):
        page.pass_time(5)
        await look(app, pilot)
        assert "its tasks are not known" in screen(app)
        for key in ("down", "end", "2", "3", "4", "5", "d", "d", "t", "pagedown"):
            await pilot.press(key)

    drive(page, steps=steps)


@pytest.mark.parametrize("size", [(20, 6), (60, 12), (250, 80)])
def test_small_and_large_terminals(size):
    page = busy_page()
    page.stall(over=False)

    async def steps(app, pilot):
        await look(app, pilot)
        for key in "12345":
            await pilot.press(key)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()

    drive(page, steps=steps, size=size)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_it_ends(key):
    async def steps(app, pilot):
        await pilot.press(key)
        assert app._exit

    drive(busy_page(), steps=steps)


def test_it_looks_and_rings_once_an_interval():
    page = busy_page()

    async def steps(app, pilot):
        rung = page.rung
        await asyncio.sleep(0.65)
        assert 2 <= page.rung - rung <= 7
        assert len(app.model.rows) == 3

    drive(page, steps=steps, interval=0.1)


def test_ten_thousand_tasks_draw_only_what_is_seen():
    page = FakePage(tasks=[task(number, awaited_by=[number // 10]) for number in range(1, 10_001)])

    async def steps(app, pilot):
        await look(app, pilot)
        assert len(app.model.rows) == 10_000
        drawn = []
        cells = app.table._cells
        app.table._cells = lambda row: (drawn.append(row), cells(row))[1]
        await pilot.press("end")
        await pilot.pause()
        assert app.table.row.task is app.model.rows[-1].task
        assert 0 < len(drawn) < 200
        assert f"{app.model.rows[-1].task['name']} " in screen(app)

    drive(page, steps=steps)


def test_tasks_that_cost_much_are_asked_for_less_often():
    page = FakePage(tasks=[task(1)])
    now = 0.0
    model = Model(found(page), 1.0, clock=lambda: now)
    page.answer = lambda: FakePage.answer(page, took=0.1)
    asked = []
    for _ in range(30):
        before = page.rung
        page.pass_time(1.0)
        now += 1.0
        model.refresh()
        model.take_tasks()
        asked.append(page.rung - before)
    assert sum(asked) <= 30 / (0.1 / SHARE) + 2
    assert "told every" in model.note
    # Less often is not stale.
    assert isinstance(model.reading, Reading)
    assert "does not answer" not in model.note


def test_a_refresh_costs_little_of_a_second():
    page = FakePage(tasks=[task(number) for number in range(1, 10_001)])

    async def steps(app, pilot):
        await look(app, pilot)
        page.answers = False
        began = time.process_time()
        for _ in range(10):
            page.pass_time(1.0, turns=100, callbacks=1000)
            await look(app, pilot)
        # It is a few milliseconds; a machine that is busy with other tests may take longer.
        assert (time.process_time() - began) / 10 < 0.15

    drive(page, steps=steps)

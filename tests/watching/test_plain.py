"""One look as text and as JSON, and what is said of tasks that are not today's."""

import json

import pytest
from fakes import FakePage, connection, found, task

from epicycle.watching.outside import plain
from epicycle.watching.outside import watched as outside
from epicycle.watching.outside.clean import width


def pair(page, process="running", seconds=1.0, **more):
    look = outside.Watched(page, found(page, state=process).process)
    before = look.read(stack=False)
    page.pass_time(seconds, **more)
    page.ring()
    return before, look.read()


def text(page, columns=0, colour=False, **more):
    return plain.overview(found(page), [pair(page, **more)], columns, colour)


def busy_page(**facts):
    return FakePage(
        tasks=[task(1, "server"), task(2, "client", waits="socket", awaited_by=[1])],
        connections=[connection(5, buffer=70000, writing_paused=True, slow="peer")],
        lints=[{"kind": "circle", "task": 1, "text": "server and client wait for one another"}],
        **facts,
    )


def test_the_text_has_all_there_is():
    page = busy_page()
    page.stall()
    said = text(page, callbacks=500)
    assert "callbacks 500/s" in said
    assert "TASKS  2" in said
    assert "└ client" in said
    assert "68.4 KiB of 64.0 KiB  the peer is slow, writing paused" in said
    assert "circle: server and client wait for one another" in said
    assert "#1" in said
    assert "srv/app.py:12 in work" in said
    assert "BLOCKED" not in said


def test_lines_fit_the_terminal_and_are_whole_in_a_pipe():
    page = busy_page()
    page.tasks.append(task(3, "名" * 100))
    page.get_stuck()
    page.stall(over=False)
    page.answers = True
    narrow = text(page, 60, colour=True).splitlines()
    assert max(width(line.removeprefix(plain.RED).removesuffix(plain.PLAIN)) for line in narrow) == 60
    assert max(map(width, text(page).splitlines())) > 100


def test_only_a_terminal_gets_colours():
    page = busy_page()
    page.stall(over=False)
    assert text(page, colour=True).startswith(plain.RED)
    assert "\x1b" not in text(page)


def test_nothing_of_the_target_reaches_the_terminal_raw():
    evil = "\x1b[2J\x9b31m\u202e\n\r\t"
    page = FakePage(
        tasks=[task(1, evil, coroutine=evil, file=evil, state=evil, waits=evil, stack=[evil])],
        connections=[connection(5, kind=evil, local=evil, peer=evil, slow=evil)],
        lints=[{"kind": evil, "text": evil}],
        state=evil,
        epicycle=evil,
        python=evil,
        runs=evil,
    )
    page.stall(
        over=False,
        task=evil,
        kind=evil,
        cause=evil,
        detail=evil,
        file=evil,
        stack=[[evil, evil, evil]],
        awaits=[evil],
    )
    everything = "\n".join(
        [
            plain.overview(found(page, command=("python", evil)), [pair(page)], 0, False),
            plain.tasks_text(pair(page)[1], "waits", 0, True),
            plain.stalls_text(pair(page)[1], 0),
            plain.as_json(found(page), [pair(page)]),
        ]
    )
    assert all(line.isprintable() for line in everything.split("\n"))
    assert "\u202e" not in everything


@pytest.mark.parametrize(
    ("process", "state", "says"),
    [
        ("running", "parked", "the loop does not answer"),
        ("running", "idle", "the loop is not running"),
        ("running", "running", "the loop is blocked"),
        ("stopped", "parked", "the process is stopped"),
        ("ended", "parked", "the process has ended"),
    ],
)
def test_tasks_that_are_not_todays_are_said_to_be_stale(process, state, says):
    page = busy_page(state=state)
    page.answers = False
    assert plain.stale_text(pair(page, process)[1], 2.0) == f"{says}: its tasks are not known"
    page.answer()
    page.pass_time(2.2)
    assert plain.stale_text(pair(page, process)[1], 2.0) == f"{says}; tasks as of 3.2 s ago"


def test_fresh_tasks_need_no_word():
    page = busy_page()
    assert plain.stale_text(pair(page)[1], 2.0) == ""


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"{", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[1]", "does not know"),
        (b'{"version": 2}', "does not know"),
        (b'{"version": 1, "error": "no \\u001b memory"}', "could not tell its tasks: no \\x1b memory"),
    ],
)
def test_an_answer_that_cannot_be_read_is_told(answer, says):
    page = busy_page()
    page.answers = False
    page.answer_text(answer)
    reading = pair(page)[1]
    assert reading.snapshot is None
    assert says in plain.stale_text(reading, 2.0)
    assert says in text(page)


def test_the_tree_is_whole_and_can_have_stacks():
    page = FakePage(tasks=[task(number) for number in range(1, 101)])
    lines = plain.tasks_text(pair(page)[1], "age", 0, False).splitlines()
    assert len(lines) == 102
    assert "        /srv/app.py:7 work" in plain.tasks_text(pair(page)[1], "age", 0, True)


def test_tasks_that_are_not_listed_are_in_groups():
    page = FakePage(tasks=[task(1)], groups=[{"coroutine": "app.work", "waits": "timer", "count": 4999}])
    assert "ALL TASKS" not in plain.tasks_text(pair(page)[1], "age", 0, False)
    page.answers = False
    page.answer(tasks={"total": 5000, "groups": page.groups, "list": page.tasks})
    assert "    4999  app.work: timer" in plain.tasks_text(pair(page)[1], "age", 0, False).splitlines()


def test_the_overview_says_what_it_leaves_out():
    page = FakePage(tasks=[task(number) for number in range(1, 101)])
    assert "and 60 more: 'epicycle tasks' lists them" in text(page)
    page.answers = False
    page.answer(tasks={"total": 5000, "list": page.tasks})
    assert "TASKS  5000, of which 100 are listed" in text(page)


def test_stalls_with_their_stacks_the_latest_first():
    page = FakePage()
    assert "no watcher runs" in plain.stalls_text(pair(page)[1], 0)
    page.stall()
    page.stall(cause="gil", over=False)
    lines = plain.stalls_text(pair(page)[1], 0).splitlines()
    assert lines[0].startswith("#2")
    assert "so far  by the interpreter  at srv/app.py:12 in work" in lines[0]
    assert "    at re/__init__.py:166 in match" in lines
    assert "    awaits main" in lines
    assert plain.stalls_text(pair(FakePage(watching=0.1))[1], 0) == "no stall"


def test_the_json_is_complete_and_ascii():
    page = busy_page()
    page.late(20, 4)
    page.stall(over=False)
    told = plain.as_json(found(page), [pair(page, callbacks=50)])
    assert told.isascii()
    read = json.loads(told)
    assert set(read) == {"format", "time", "process", "file", "loops"}
    assert read["format"] == 1
    assert read["process"]["program"] == "app.py"
    loop = read["loops"][0]
    assert loop["rates"]["callbacks"] == 50
    assert loop["lateness"]["ever"]["count"] == 4
    assert loop["lateness"]["now"]["count"] == 0
    assert loop["blocked"] is True
    assert loop["stale"] is False
    assert loop["snapshot"]["tasks"]["total"] == 2
    assert loop["stalls"][0]["line"] == 12


def test_the_json_of_a_process_that_does_not_answer():
    page = busy_page()
    page.answers = False
    loop = json.loads(plain.as_json(found(page), [pair(page)]))["loops"][0]
    assert (loop["snapshot"], loop["snapshot_age"], loop["stale"]) == (None, None, True)


def test_the_list_of_processes():
    assert plain.listing([], 0) == "no Epicycle loop runs in a process of yours"
    lines = plain.listing(
        [found(FakePage(77), FakePage(77, loop=2), command=("python", "a\x1bb.py"))], 0
    ).splitlines()
    assert len(lines) == 3
    assert "python a\\x1bb.py" in lines[1]

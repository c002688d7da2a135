"""Tasks as a tree: who stands below whom, in which order, also where what was told is damaged."""

import time

from fakes import task

from epicycle.watching.outside import tree


def shown(tasks, *arguments):
    return [row.lead + row.task["name"] for row in tree.rows(tasks, *arguments)]


def test_a_task_stands_below_the_one_that_awaits_it():
    tasks = [task(3, awaited_by=[2]), task(2, awaited_by=[1]), task(1), task(4, awaited_by=[1])]
    assert shown(tasks, "age") == ["Task-1", "├ Task-2", "│ └ Task-3", "└ Task-4"]


def test_a_branch_is_as_high_up_as_its_busiest_task():
    tasks = [task(1, busy=0.5), task(2, busy=0.1), task(3, busy=0.9, awaited_by=[2])]
    assert shown(tasks) == ["Task-2", "└ Task-3", "Task-1"]
    assert shown(tasks, "busy", False) == ["Task-3", "Task-1", "Task-2"]


def test_sorting_by_what_is_waited_for():
    tasks = [task(1, waits="timer"), task(2, waits="lock"), task(3, waits="timer", age=99.0)]
    assert shown(tasks, "waits") == ["Task-2", "Task-3", "Task-1"]


def test_a_filter_makes_a_list_of_what_matches():
    tasks = [task(1), task(2, awaited_by=[1], waits="lock"), task(3, name="Locksmith")]
    assert shown(tasks, "age", True, "LOCK") == ["Task-2", "Locksmith"]


def test_a_circle_is_shown_once_and_marked():
    tasks = [
        task(1, awaited_by=[3]),
        task(2, awaited_by=[1]),
        task(3, awaited_by=[2]),
        task(4, awaited_by=[2]),
        task(5),
    ]
    rows = tree.rows(tasks, "age")
    assert sorted(row.task["id"] for row in rows) == [1, 2, 3, 4, 5]
    assert {row.task["id"] for row in rows if row.circle} == {1, 2, 3}


def test_a_task_that_waits_for_itself_is_a_circle():
    rows = tree.rows([task(1, awaited_by=[1])])
    assert [(row.task["id"], row.circle) for row in rows] == [(1, True)]


def test_a_long_chain_is_no_recursion_and_does_not_leave_the_screen():
    rows = tree.rows([task(number, awaited_by=[number - 1]) for number in range(1, 5001)])
    assert len(rows) == 5000
    assert max(len(row.lead) for row in rows) <= 2 * tree.DEEPEST + 2


def test_damaged_tasks_are_shown_as_far_as_they_go():
    tasks = tree.tasks_of(
        {"tasks": {"list": [None, 3, {}, {"id": "x", "awaited_by": 7, "waits": [], "busy": "much"}]}}
    )
    rows = tree.rows(tasks)
    assert len(rows) == 2
    for row in rows:
        assert all(line.isprintable() for line in tree.chain(row.task, tasks))
    for broken in (None, {}, {"tasks": 3}, {"tasks": {"list": 3}}):
        assert tree.tasks_of(broken) == []


def test_ten_thousand_tasks_are_in_order_within_moments():
    tasks = [task(number, awaited_by=[number // 10], busy=number % 97) for number in range(1, 10_001)]
    began = time.process_time()
    assert len(tree.rows(tasks)) == 10_000
    assert time.process_time() - began < 5


def test_the_chain_says_whom_a_task_waits_for_and_who_for_it():
    tasks = [
        task(1, waits_for=2),
        task(2, waits_for=3, awaited_by=[1]),
        task(3, awaited_by=[2], waits="lock"),
    ]
    lines = tree.chain(tasks[1], tasks)
    assert lines[0] == "Task-2  app.work"
    assert "  /srv/app.py:2 work" in lines
    assert "awaited by Task-1 (app.work)" in lines
    assert "waits for Task-3 (app.work): a lock" in lines


def test_what_a_task_does_in_words():
    assert tree.doing(task(1)) == "a timer"
    assert tree.doing(task(1, state="cancelling")) == "cancelling: a timer"
    assert tree.doing(task(1, state="running", waits="none")) == "running"
    assert tree.doing(task(1, state="ready", waits="ready")) == "ready"
    assert tree.doing({}) == ""


def test_a_place_is_a_file_and_a_line():
    assert tree.place(task(7)) == "app.py:7"
    assert tree.place(task(7, file="/lib/shop/__init__.py")) == "shop/__init__.py:7"
    assert tree.place({}) == ""


def test_the_chain_of_a_circle_ends():
    tasks = [task(1, waits_for=2), task(2, waits_for=1)]
    assert tree.chain(tasks[0], tasks)[-1] == "waits for Task-1 (app.work): a circle"


def test_the_chain_has_the_details_of_what_is_waited_for():
    waiting = task(1, waits="socket")
    waiting["waits"] |= {"fd": 7, "peer": "10.0.0.1:5432\x1b"}
    assert "fd 7, peer 10.0.0.1:5432\\x1b" in tree.chain(waiting, [])

"""The examples that need no network: each runs to its end and prints what it promises."""

import multiprocessing
import re

import pytest
from programs import assert_epicycle, lines_after_loop, run, start


def test_producers_and_consumers_share_a_queue():
    lines = lines_after_loop(
        run("producer_consumer.py", "--producers", "3", "--consumers", "2", "--items", "4")
    )
    made = [f"producer-{p}-item-{n}" for p in (1, 2, 3) for n in (1, 2, 3, 4)]
    taken = [re.fullmatch(r"consumer-[12] took (\S+)", line)[1] for line in lines if " took " in line]
    assert sorted(taken) == made
    for producer in (1, 2, 3):
        mine = [item for item in taken if item.startswith(f"producer-{producer}-")]
        assert mine == sorted(mine), "items of one producer came out of order"
    assert lines[-1] == "consumed 12 items, 12 different, 0 left"


def test_a_full_queue_holds_the_producer_back():
    lines = lines_after_loop(
        run("producer_consumer.py", "--producers", "1", "--consumers", "1", "--items", "6", "--size", "1")
    )
    ahead = 0
    for line in lines[:-1]:
        ahead += 1 if " put " in line else -1
        # One in the queue, and one in the hands of the consumer, which has yet to say so.
        assert ahead <= 2, lines


@pytest.mark.parametrize("option", ["--producers", "--consumers", "--items", "--size"])
def test_a_farm_of_nobody_is_a_usage_error(option):
    assert (
        f"argument {option}: must be at least 1" in run("producer_consumer.py", option, "0", status=2).errors
    )


def test_generators_answer_what_is_sent():
    lines = run("generator_pipeline.py").output.splitlines()
    assert lines[:7] == [
        "plain consumer is ready",
        *(f"plain producer sent {n}, heard {n} ok" for n in range(1, 6)),
        "plain consumer closed",
    ]
    assert_epicycle(lines[7])
    assert sorted(lines[8:]) == sorted(
        [
            "left ready",
            "right ready",
            "left consumer closed",
            "right consumer closed",
            "left producer heard 1 ok, 2 ok, 3 ok",
            "right producer heard 1 ok, 2 ok, 3 ok, 4 ok",
            "answers: 7",
        ]
    )
    assert lines[-1] == "answers: 7"


def test_tasks_are_waited_for_in_every_way():
    assert lines_after_loop(run("tasks.py")) == [
        "gather: results in the order given",
        "  ['slow', 'quick', 'medium']",
        "  ['good', ValueError('bad luck')]",
        "wait: what is done when the time is up, and what is not",
        "  done: ['quick'] pending: ['endless']",
        "  endless was cancelled",
        "as_completed: results in the order they come",
        "  ['first', 'second']",
        "TaskGroup: all together, or none",
        "  ['one', 'two', 'three']",
        "  sibling was cancelled",
        "  caught (ValueError('one failed'),)",
        "timeout: a limit round any piece of code",
        "  late was cancelled",
        "  too late",
        "  in time: soon expired: False",
        "shield: the waiter is cancelled, the work is not",
        "  waiter gave up",
        "  finished all the same",
        "tasks left: 0",
    ]


def test_iterators_generators_comprehensions_and_context_managers():
    assert lines_after_loop(run("async_iteration.py")) == [
        "iterators and generators",
        "  countdown: [3, 2, 1]",
        "  tick 0",
        "  tick 1",
        "  ticks closed",
        "  ticks closed",
        "  left early at 1",
        "comprehensions",
        "  ticks closed",
        "  list: [1, 9]",
        "  set: [0, 1]",
        "  dict: {3: 'c', 2: 'b', 1: 'a'}",
        "  await inside: ['a', 'b', 'c']",
        "  generator expression: 12 11 end",
        "context managers",
        "  first open",
        "  begin on first",
        "  inside transaction on first",
        "  committed",
        "  first closed",
        "  second open",
        "  begin on second",
        "  rolled back",
        "  second closed after LookupError('no such row')",
        "  caught no such row",
        "  stacked 1 open",
        "  stacked 2 open",
        "  holding ['stacked 1', 'stacked 2']",
        "  stacked 2 closed",
        "  stacked 1 closed",
        "abandoned at 0",
        "  ticks closed",
    ]


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_blocking_work_runs_in_threads_and_processes(method):
    program = run("executors.py", "--start-method", method)
    assert lines_after_loop(program) == [
        f"process pool ({method}): [168, 1229] elsewhere: True",
        "default executor: filled squares.db",
        "to_thread: 144",
        "thread pool: [0, 1, 4, 9, 16, 25, 36, 49]",
        "loop ticked while a thread blocked: True",
        "an error crosses over: no such table: squares",
    ]
    assert program.errors == ""


def test_callbacks_come_in_their_order_and_stop_ends_the_loop():
    lines = lines_after_loop(run("callbacks.py", "--seconds", "0.3"))
    knock = "a knock from another thread"
    assert lines.count(knock) == 1
    lines.remove(knock)
    ticks = [line for line in lines if line.startswith("tick ")]
    assert ticks == [f"tick {number}" for number in range(1, len(ticks) + 1)]
    assert 1 <= len(ticks) <= 3
    assert [line for line in lines if line not in ticks] == [
        "cancelled: True",
        "soon: first",
        "soon: second",
        "hello, Ada",
        "hello, nobody",
        "at: first",
        "at: second",
        "stopping",
        "running: False",
        "one more turn",
        "closed: True",
    ]


def test_interrupt_ends_a_bare_loop_without_a_traceback():
    with start("callbacks.py", "--seconds", "3600") as program:
        program.wait_for(r"^(tick 2)$")
        program.interrupt()
        assert program.finish() == 130, program.report()
        assert program.errors == ""


def test_coroutines_of_every_age_agree():
    lines = run("coroutine_history.py").output.splitlines()
    assert_epicycle(lines.pop(-2))
    assert lines == [
        "1. yield",
        "  ['10', '15', '30']",
        "2. send",
        "  ['10', '15', '30']",
        "  returned: 3 numbers, average 30",
        "3. yield from",
        "  ['10', '15', '30']",
        "  passed through: 3 numbers, average 30",
        "4. a loop of one's own",
        "  left step 1",
        "  right step 1",
        "  left step 2",
        "  right finished",
        "  left finished",
        "5. async and await, over all three kinds",
        "  average 30",
    ]

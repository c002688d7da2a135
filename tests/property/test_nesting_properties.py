"""Nested runs neither lose nor reorder callbacks, whatever the program."""

import asyncio
import os

import pytest

from epicycle import NestedEventLoop

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.filterwarnings("ignore:It looks like .register_random.")

quick = settings(
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_CASES", "80")),
    database=None,
    derandomize="FUZZ_CASES" not in os.environ,
)

# A program is a tree: what a callback does, one action after the other.  ("soon", callback) and ("threadsafe",
# callback) queue another one, ("until", callback) queues one and runs the loop until it has been called.
actions = st.recursive(
    st.just([]),
    lambda callback: st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["soon", "threadsafe", "until"]), callback),
        ),
        max_size=4,
    ),
    max_leaves=25,
)


def play(factory, programs, nested):
    """Plays the programs; returns which callbacks were queued, which began and which ended, each by its way from the
    root.  Without `nested`, ("until", callback) only queues."""
    loop = factory()
    problems, queued, begun, ended = [], [], [], []
    loop.set_exception_handler(lambda loop, context: problems.append(context))

    def queue(ask, way, program, done):
        queued.append(way)
        ask(call, way, program, done)

    def call(way, program, done):
        begun.append(way)
        for index, (kind, callback) in enumerate(program):
            ask = loop.call_soon_threadsafe if kind == "threadsafe" else loop.call_soon
            called = loop.create_future()
            queue(ask, (*way, index), callback, called)
            if kind == "until" and nested:
                loop.run_until_complete(called)
        done.set_result(None)
        ended.append(way)

    for index, program in enumerate(programs):
        queue(loop.call_soon, (index,), program, loop.create_future())
    while len(ended) < len(queued) and not problems:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert problems == []
    return queued, begun, ended


@quick
@given(programs=st.lists(actions, max_size=6))
def test_callbacks_run_once_each_in_the_order_in_which_they_were_queued(programs):
    queued, begun, ended = play(NestedEventLoop, programs, nested=True)
    assert begun == queued
    assert sorted(ended) == sorted(queued)


def runs_last(program):
    """The program with one inner run at most for each callback, behind everything else: nothing is queued after it."""
    queueing = [(kind, runs_last(callback)) for kind, callback in program if kind != "until"]
    running = [(kind, runs_last(callback)) for kind, callback in program if kind == "until"]
    return queueing + running[:1]


@quick
@given(programs=st.lists(actions.map(runs_last), max_size=6))
def test_the_order_is_that_of_the_program_without_nesting(programs):
    _, nested, _ = play(NestedEventLoop, programs, nested=True)
    _, flat, _ = play(asyncio.SelectorEventLoop, programs, nested=False)
    assert nested == flat


tasks = st.lists(
    st.lists(st.sampled_from(["yield", "nest", "spawn", "wait"]), max_size=6), min_size=1, max_size=6
)


@quick
@given(programs=tasks)
def test_tasks_make_all_their_steps_in_order(programs):
    loop = NestedEventLoop()
    steps, current = [], []

    async def play(number, program):
        me = asyncio.current_task()
        for index, action in enumerate(program):
            steps.append((number, index))
            if action == "yield":
                await asyncio.sleep(0)
            elif action == "nest":
                loop.run_until_complete(asyncio.sleep(0))
            elif action == "spawn":
                assert loop.run_until_complete(loop.create_task(asyncio.sleep(0, number))) == number
            else:
                assert await asyncio.sleep(0.0001, number) == number
            current.append(asyncio.current_task() is me)

    async def main():
        await asyncio.gather(*[play(number, program) for number, program in enumerate(programs)])

    loop.run_until_complete(main())
    loop.close()
    assert all(current)
    assert sorted(steps) == [(n, i) for n, program in enumerate(programs) for i in range(len(program))]
    for number in range(len(programs)):
        mine = [index for n, index in steps if n == number]
        assert mine == sorted(mine)

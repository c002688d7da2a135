"""A thread that never stands still: a reading may fail or mix two moments, and that is all."""

import os
import pathlib
import threading

import pytest

from epicycle import _epicycle
from toolkit import join_all, parked_thread

WILD = """
import functools, json

def leaf(n):
    return n * 2

def generate(n):
    for i in range(n):
        yield leaf(i)

async def give(n):
    return sum(generate(n))

async def chain(n):
    return await (chain(n - 1) if n else give(3))

class Thing:
    def __eq__(self, other):
        return bool(leaf(1))

def fresh(n):
    space = {"leaf": leaf}
    exec("def made(n):\\n    return leaf(n)\\n", space)
    return space["made"](n)

def down(n):
    if n:
        return down(n - 1)
    for coroutine in (chain(4),):
        try:
            coroutine.send(None)
        except StopIteration:
            pass
    sorted([3, 1, 2], key=lambda x: fresh(x))
    functools.reduce(lambda a, b: a + leaf(b), [1, 2, 3])
    return Thing() == Thing()

def wild():
    n = 0
    while True:
        n += 1
        down(n % 20)

ready()
wild()
"""

FUNCTIONS = {
    "leaf", "generate", "give", "chain", "Thing.__eq__", "fresh", "made", "down", "wild", "<module>",
    "down.<locals>.<lambda>", "ready",
}  # fmt: skip


@pytest.mark.timeout(600)
def test_a_process_that_never_stands_still(target):
    it = target(WILD)
    file = it.process.args[1]
    last = len(pathlib.Path(file).read_text(encoding="utf-8").splitlines())
    sane = failed = 0
    for _ in range(20_000):
        try:
            rows = it.stack()
        except OSError:
            failed += 1
            continue
        sane += (
            rows[-1:] == [(file, "<module>", last)]
            and {row[0] for row in rows} <= {file, "<string>"}
            and {row[1] for row in rows} <= FUNCTIONS
        )
    assert it.process.poll() is None
    assert sane > 10_000, (sane, failed)


def test_a_thread_that_never_stands_still(own):
    stop, states = threading.Event(), []

    def body(depth):
        states or states.append(_epicycle.thread_state())
        for _ in range(3):
            sum(x for x in [y + 1 for y in range(20)])
        return depth and body(depth - 1)

    def wild():
        while not stop.is_set():
            body(15)

    thread = parked_thread(wild)
    sane = 0
    try:
        while not states:
            os.sched_yield()
        for _ in range(300):
            try:
                rows = own(states[0])
            except OSError:
                continue
            sane += [row[1] for row in rows[-1:]] == ["Thread._bootstrap"]
    finally:
        stop.set()
        join_all(thread)
    assert sane > 100

"""`epicycle.metrics()`: what it has of which loops."""

import asyncio
import gc
import json
import os
import threading

import pytest
from made_up_pages import COUNTERS, FACTS, lateness, stall, watched

import epicycle
from epicycle.watching.metrics import percentile
from toolkit import connected, join_all, parked_thread, script, until


def of(loop):
    return epicycle.metrics(loop)["loops"][0]


def test_the_numbers_are_those_of_the_page():
    with watched() as loop:
        found = of(loop)
    assert found["loop"] == 7
    assert found["facts"] == FACTS
    assert found["counters"] == COUNTERS
    assert found["connections"] == {"tcp": 3, "unix": 0, "tls": 2, "udp": 0, "pipe": 2}


def test_lateness():
    with watched() as loop:
        found = of(loop)["lateness"]
    assert found["count"] == 11
    assert sum(found["buckets"]) == 11
    # The upper ends of the buckets in which the sixth, the tenth and the eleventh are.
    assert found["p50"] == 2**13 / 1e9
    assert found["p90"] == 2**21 / 1e9
    assert found["p99"] == 2**41 / 1e9


def test_no_timer_has_no_lateness():
    with watched(buckets=lateness()) as loop:
        found = of(loop)["lateness"]
    assert (found["count"], found["p50"], found["p90"], found["p99"]) == (0, None, None, None)


def test_percentiles_reach_both_ends():
    buckets = lateness(b3=1, b63=1)
    assert percentile(buckets, 0.0) == 2**4 / 1e9
    assert percentile(buckets, 0.5) == 2**4 / 1e9
    assert percentile(buckets, 1.0) == 2**64 / 1e9


def test_stalls():
    stalls = [
        stall(38),
        stall(39, kind="saturated"),
        stall(40, over=False, lasted=2.5),
    ]
    with watched(stalls=stalls) as loop:
        found = of(loop)["stalls"]
    assert found == {"total": 40, "blocked": 2, "saturated": 1, "now": 2.5, "last": stalls[-1]}


def test_no_stalls():
    with watched(counters={"stalls": 0}) as loop:
        found = of(loop)["stalls"]
    assert found == {"total": 0, "blocked": 0, "saturated": 0, "now": 0.0, "last": None}


def test_a_real_loop_counts():
    async def main():
        async with connected() as (client, server):
            client.transport.write(b"x" * 1000)
            await until(lambda: len(server.data) == 1000)
            await asyncio.sleep(0.001)
            await asyncio.get_running_loop().run_in_executor(None, int)
            inside = epicycle.metrics(asyncio.get_running_loop())["loops"][0]
        for _ in range(5):
            await asyncio.sleep(0)
        return inside, epicycle.metrics(asyncio.get_running_loop())["loops"][0]

    inside, after = epicycle.run(main())
    assert inside["facts"]["pid"] == os.getpid()
    assert inside["facts"]["state"] == "running"
    assert inside["connections"]["tcp"] == 2
    assert after["connections"]["tcp"] == 0
    assert inside["counters"]["bytes_in"] == inside["counters"]["bytes_out"] == 1000
    assert inside["counters"]["accepts"] == 1
    assert inside["counters"]["executor_jobs"] >= 1
    assert inside["lateness"]["count"] >= 1
    assert inside["lateness"]["p50"] > 0
    assert after["counters"]["turns"] > inside["counters"]["turns"]


def test_every_open_loop_of_the_process_in_the_order_of_their_making():
    loops = [epicycle.new_event_loop() for _ in range(3)]
    try:
        numbers = [of(loop)["loop"] for loop in loops]
        assert numbers == sorted(numbers)
        loops[1].close()
        found = [one["loop"] for one in epicycle.metrics()["loops"]]
        assert [number for number in found if number in numbers] == [numbers[0], numbers[2]]
        assert found == sorted(found)
    finally:
        for loop in loops:
            loop.close()


def test_json_takes_them():
    loop = epicycle.new_event_loop()
    try:
        assert json.loads(json.dumps(epicycle.metrics(loop)))["loops"][0]["facts"]["state"] == "idle"
    finally:
        loop.close()


def test_a_blocked_loop_is_read_from_another_thread():
    inside, go_on = threading.Event(), threading.Event()

    async def main():
        inside.set()
        assert go_on.wait(10)

    loop = epicycle.new_event_loop()
    thread = parked_thread(loop.run_until_complete, main())
    try:
        assert inside.wait(10)
        found = of(loop)
    finally:
        go_on.set()
        join_all(thread)
        loop.close()
    assert found["facts"]["state"] == "running"
    assert found["facts"]["thread"] not in (0, threading.get_native_id())


def test_while_loops_come_and_go_in_other_threads():
    end = threading.Event()

    def come_and_go():
        while not end.is_set():
            epicycle.new_event_loop().close()

    threads = [parked_thread(come_and_go) for _ in range(3)]
    try:
        for _ in range(300):
            epicycle.metrics()
    finally:
        end.set()
        join_all(*threads)
    gc.collect()


def test_what_is_no_loop_of_ours():
    loop = asyncio.SelectorEventLoop()
    try:
        with pytest.raises(TypeError, match="an Epicycle loop is expected, got <_UnixSelectorEventLoop"):
            epicycle.metrics(loop)
    finally:
        loop.close()


def test_a_closed_loop():
    loop = epicycle.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        epicycle.metrics(loop)


def test_a_child_has_only_its_own_loops():
    code = """
import os, epicycle

def pids(loop=None):
    return [one["facts"]["pid"] for one in epicycle.metrics(loop)["loops"]]

loop = new_loop()
child = os.fork()
if child == 0:
    status = 1
    try:
        own = new_loop()
        status = int(pids() != [os.getpid()])
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert pids() == pids(loop) == [os.getpid()]
loop.close()
"""
    script("epicycle", code)

"""One row inside one process: prints a JSON object.

A row is a coroutine function that does `operations` operations. It is repeated, after one round to warm up, until the
time has passed; the rate is that of the median round. Rows that have something to wait for return how long each
operation took, in seconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import shutil
import statistics
import threading
import time
from collections.abc import Awaitable, Callable

from . import loops
from .gauges import Answer, latencies, peak_kib

__all__ = ("main",)

Row = Callable[[asyncio.AbstractEventLoop, int], Awaitable[list[float] | None]]
# The rows, and how many operations a round of them has when there is time.
ROUNDS: dict[str, tuple[Row, int]] = {}
# Seconds from which on rounds have their full size; below that they shrink, so that a short run is short.
FULL = 1.0
# task_switch shares its operations among a hundred tasks.
FEWEST = 100


def row(operations: int) -> Callable[[Row], Row]:
    def register(function: Row) -> Row:
        ROUNDS[function.__name__] = (function, operations)
        return function

    return register


@row(100_000)
async def call_soon_chain(loop: asyncio.AbstractEventLoop, operations: int) -> None:
    """A callback schedules itself again: a turn of the loop for each."""
    done = loop.create_future()
    call_soon = loop.call_soon
    left = operations

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            call_soon(again)
        else:
            done.set_result(None)

    call_soon(again)
    await done


@row(100_000)
async def call_soon_batch(loop: asyncio.AbstractEventLoop, operations: int) -> None:
    """Many callbacks scheduled at once and then run."""
    done = loop.create_future()
    call_soon = loop.call_soon

    def nothing(number: int) -> None:
        pass

    for number in range(operations):
        call_soon(nothing, number)
    call_soon(done.set_result, None)
    await done


@row(50_000)
async def timers(loop: asyncio.AbstractEventLoop, operations: int) -> None:
    """Timers within a few milliseconds, every other one cancelled, the rest run."""
    chance = random.Random(7)
    # 10 ms for 50,000. Rounds of any size are then equally dense.
    delays = [chance.random() * operations * 2e-7 for _ in range(operations)]
    done = loop.create_future()
    left = operations - operations // 2

    def due() -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set_result(None)

    call_later = loop.call_later
    handles = [call_later(delay, due) for delay in delays]
    for handle in handles[1::2]:
        handle.cancel()
    await done


@row(100_000)
async def task_switch(loop: asyncio.AbstractEventLoop, operations: int) -> None:
    """A hundred tasks that give way to each other with sleep(0)."""

    async def give_way(times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    await asyncio.gather(*(give_way(operations // 100) for _ in range(100)))


@row(50_000)
async def future_wakeup(loop: asyncio.AbstractEventLoop, operations: int) -> None:
    """Two tasks wake each other through a new future each time."""
    waiting = [loop.create_future(), loop.create_future()]

    async def side(mine: int, other: int) -> None:
        for _ in range(operations // 2):
            await waiting[mine]
            waiting[mine] = loop.create_future()
            waiting[other].set_result(None)

    both = asyncio.gather(side(0, 1), side(1, 0))
    waiting[0].set_result(None)
    await both


async def _nothing() -> None:
    pass


@row(50_000)
async def spawn_await(loop: asyncio.AbstractEventLoop, operations: int) -> None:
    """A task made and awaited, one after another."""
    for _ in range(operations):
        await loop.create_task(_nothing())


@row(50_000)
async def queue_pingpong(loop: asyncio.AbstractEventLoop, operations: int) -> None:
    """Items to and fro between two tasks over two queues."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def answer() -> None:
        for _ in range(operations // 2):
            back.put_nowait(await there.get())

    answering = loop.create_task(answer())
    for number in range(operations // 2):
        there.put_nowait(number)
        await back.get()
    await answering


@row(2_000)
async def threadsafe_roundtrip(loop: asyncio.AbstractEventLoop, operations: int) -> list[float]:
    """Another thread asks the loop for a coroutine's result, one after another."""

    def ask() -> list[float]:
        clock = time.perf_counter
        times = []
        for _ in range(operations):
            before = clock()
            asyncio.run_coroutine_threadsafe(_nothing(), loop).result()
            times.append(clock() - before)
        return times

    return await asyncio.to_thread(ask)


@row(50_000)
async def threadsafe_flood(loop: asyncio.AbstractEventLoop, operations: int) -> None:
    """Another thread schedules callbacks without waiting for any; measured until the last has run."""
    done = loop.create_future()

    def nothing() -> None:
        pass

    def flood() -> None:
        schedule = loop.call_soon_threadsafe
        for _ in range(operations):
            schedule(nothing)
        schedule(done.set_result, None)

    thread = threading.Thread(target=flood)
    thread.start()
    await done
    thread.join()


@row(3_000)
async def executor_roundtrip(loop: asyncio.AbstractEventLoop, operations: int) -> list[float]:
    """The loop asks the default executor's thread, one after another."""

    def nothing() -> None:
        pass

    clock = time.perf_counter
    times = []
    for _ in range(operations):
        before = clock()
        await loop.run_in_executor(None, nothing)
        times.append(clock() - before)
    return times


@row(10)
async def process_start(loop: asyncio.AbstractEventLoop, operations: int) -> list[float]:
    """Programs that do nothing, started and waited for, one after another."""
    program = shutil.which("true") or "true"
    clock = time.perf_counter
    times = []
    for _ in range(operations):
        before = clock()
        process = await asyncio.create_subprocess_exec(program)
        await process.wait()
        times.append(clock() - before)
    return times


async def measure(function: Row, operations: int, seconds: float) -> Answer:
    """Run rounds until ``seconds`` have passed, three at least."""
    loop = asyncio.get_running_loop()
    await function(loop, operations)
    rounds: list[float] = []
    waits: list[float] = []
    cpu = 0.0
    while len(rounds) < 3 or sum(rounds) < seconds:
        gc.collect()
        cpu_before, before = time.process_time(), time.perf_counter()
        waited = await function(loop, operations)
        rounds.append(time.perf_counter() - before)
        cpu += time.process_time() - cpu_before
        waits += waited or ()
    answer: Answer = {
        "rate": operations / statistics.median(rounds),
        "cpu_us": cpu / (operations * len(rounds)) * 1e6,
        "busy": cpu / sum(rounds),
        "peak_kib": peak_kib(),
    }
    return answer | latencies(waits)


def main(name: str, row_name: str, seconds: float) -> None:
    """Measure one row on the loop ``name`` for about ``seconds`` and print the answer."""
    function, full = ROUNDS[row_name]
    # The same number for every loop, so that none has another mix of start and steady state.
    operations = full if full < FEWEST else max(FEWEST, round(full * min(1.0, seconds / FULL) / 100) * 100)
    with asyncio.Runner(loop_factory=loops.factory(name)) as runner:
        try:
            print(json.dumps(runner.run(measure(function, operations, seconds))))
        except NotImplementedError as error:
            print(f"lacks {error or row_name}")

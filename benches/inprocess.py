"""One row inside one process: `python inprocess.py LOOP ROW SECONDS` prints a JSON object.

A row is a coroutine that does `operations` operations and is repeated, after one round to warm up, until
SECONDS have passed; the rate is that of the median round.
"""

import asyncio
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import loops

Row = Callable[[asyncio.AbstractEventLoop, int], Awaitable[None]]
ROWS: dict[str, tuple[Row, int]] = {}


def row(operations: int) -> Callable[[Row], Row]:
    def register(function: Row) -> Row:
        ROWS[function.__name__] = (function, operations)
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
    """Timers within 10 ms, every other one cancelled, the rest run."""
    chance = random.Random(7)
    delays = [chance.random() / 100 for _ in range(operations)]
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
async def threadsafe_roundtrip(loop: asyncio.AbstractEventLoop, operations: int) -> None:
    """Another thread asks the loop for a coroutine's result, one after another."""

    def ask() -> None:
        for _ in range(operations):
            asyncio.run_coroutine_threadsafe(_nothing(), loop).result()

    await asyncio.to_thread(ask)


@row(3_000)
async def executor_roundtrip(loop: asyncio.AbstractEventLoop, operations: int) -> None:
    """The loop asks the default executor's thread, one after another."""

    def nothing() -> None:
        pass

    for _ in range(operations):
        await loop.run_in_executor(None, nothing)


async def measure(function: Row, operations: int, seconds: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    await function(loop, operations)
    rounds: list[float] = []
    cpu = 0.0
    while len(rounds) < 3 or sum(rounds) < seconds:
        gc.collect()
        cpu_before, before = time.process_time(), time.perf_counter()
        await function(loop, operations)
        rounds.append(time.perf_counter() - before)
        cpu += time.process_time() - cpu_before
    return {
        "rate": operations / statistics.median(rounds),
        "cpu_us": cpu / (operations * len(rounds)) * 1e6,
        "busy": cpu / sum(rounds),
    }


def main() -> None:
    name, row_name, seconds = sys.argv[1:]
    function, operations = ROWS[row_name]
    with asyncio.Runner(loop_factory=loops.factory(name)) as runner:
        print(json.dumps(runner.run(measure(function, operations, float(seconds)))))


if __name__ == "__main__":
    main()

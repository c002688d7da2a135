"""Time limits for blocking work, which goes on when nobody waits for it any more unless something ends it.

A coroutine that is cancelled, or late, is free at once; the thread or the process that works for it is not. Each kind
of work has its own way out: a thread that looks at an event, a query of sqlite3 that is interrupted, a process that is
ended. The limit is `--limit` seconds, and each way is shown with work that would take for ever.

    epicycle run examples/time_limits.py --limit 0.2
"""

import argparse
import asyncio
import multiprocessing
import sqlite3
import sys
import threading
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"


async def within(seconds: float, work: Awaitable[T], end: Callable[[], Any]) -> T:
    """The result of `work`, which `end` ends when it is late or the caller is cancelled; then it is waited for.

    Raises TimeoutError when `work` was late. Nothing of it goes on after this has returned.
    """
    task = asyncio.ensure_future(work)
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(task)
    finally:
        if not task.done():
            end()
            await asyncio.wait([task])
            # What the end led to is an error of the work, and of no interest.
            task.cancelled() or task.exception()


async def thread_with_an_event(limit: float) -> str:
    stop = threading.Event()
    rounds = 0

    def work() -> None:
        nonlocal rounds
        while not stop.wait(0.001):
            rounds += 1

    try:
        await within(limit, asyncio.to_thread(work), stop.set)
    except TimeoutError:
        return f"ended by its event: {rounds > 0 and stop.is_set()}"
    return "was never late"


async def query_of_sqlite(limit: float) -> str:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        await within(limit, asyncio.to_thread(connection.execute, ENDLESS), connection.interrupt)
    except TimeoutError:
        (answer,) = await asyncio.to_thread(lambda: connection.execute("select 6 * 7").fetchone())
        return f"interrupted, and the connection still answers: {answer}"
    finally:
        connection.close()
    return "was never late"


def spin(result: Connection) -> None:
    """Work for the processor, in a process; it never sends a result."""
    number = 0
    while True:
        number += 1


async def process_of_its_own(limit: float) -> str:
    # A pool cannot spare one of its processes. Where single jobs have to be ended, each has a process of its own.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=spin, args=(sender,))
    process.start()
    sender.close()
    try:
        # The end of the process ends the waiting as well: the pipe is closed then.
        await within(limit, asyncio.to_thread(receiver.recv), process.kill)
    except TimeoutError:
        await asyncio.to_thread(process.join)
        return f"killed: {process.exitcode}"
    finally:
        receiver.close()
    return "was never late"


async def show(limit: float) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    for kind in (thread_with_an_event, query_of_sqlite, process_of_its_own):
        print(f"{kind.__name__.replace('_', ' ')}: {await kind(limit)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time limits for work in threads and processes.")
    parser.add_argument("--limit", type=float, default=0.2, help="seconds allowed for each (default: 0.2)")
    args = parser.parse_args()
    if not args.limit > 0:
        parser.error("argument --limit: must be more than 0")
    try:
        asyncio.run(show(args.limit))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

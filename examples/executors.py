"""Blocking work beside the loop: the default executor, a thread pool, a process pool, `to_thread`.

The blocking library is `sqlite3`: each query runs in a thread, and the loop goes on meanwhile. The arithmetic
runs in processes, started in whichever way `--start-method` names.

    epicycle run examples/executors.py --start-method spawn
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def primes_below(limit: int) -> tuple[int, int]:
    """Return how many there are, and the process that counted them."""
    return sum(map(is_prime, range(limit))), os.getpid()


def fill(database: Path, rows: int) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("create table squares (number integer primary key, square integer)")
        connection.executemany("insert into squares values (?, ?)", ((n, n * n) for n in range(rows)))


def square_of(database: Path, number: int) -> int:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        row: tuple[int] = connection.execute(
            "select square from squares where number = ?", (number,)
        ).fetchone()
        return row[0]


def wait_for_tick(ticked: threading.Event) -> bool:
    """Block this thread until the loop has ticked; False when it did not in 30 s."""
    return ticked.wait(30)


async def show_processes(start_method: str | None) -> None:
    context = multiprocessing.get_context(start_method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        loop = asyncio.get_running_loop()
        counts = await asyncio.gather(*(loop.run_in_executor(pool, primes_below, n) for n in (1_000, 10_000)))
    elsewhere = all(pid != os.getpid() for _, pid in counts)
    primes = [count for count, _ in counts]
    print(f"process pool ({context.get_start_method()}): {primes} elsewhere: {elsewhere}")


async def show_default(database: Path) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, fill, database, 100)
    print("default executor: filled", database.name)
    print("to_thread:", await asyncio.to_thread(square_of, database, 12))


async def show_threads(database: Path) -> None:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(4, thread_name_prefix="query") as pool:
        print(
            "thread pool:",
            await asyncio.gather(*(loop.run_in_executor(pool, square_of, database, n) for n in range(8))),
        )
        # The thread waits for the loop: it could not end if blocking there also blocked the loop.
        ticked = threading.Event()
        loop.call_later(0.01, ticked.set)
        print("loop ticked while a thread blocked:", await loop.run_in_executor(pool, wait_for_tick, ticked))
        try:
            await loop.run_in_executor(pool, square_of, database.with_name("missing.db"), 1)
        except sqlite3.OperationalError as error:
            print("an error crosses over:", error)


async def main(start_method: str | None) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    # Processes come first: a fork is safest while this process has no other threads.
    await show_processes(start_method)
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "squares.db")
        await show_default(database)
        await show_threads(database)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Blocking work in thread and process pools.")
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods())
    args = parser.parse_args()
    try:
        asyncio.run(main(args.start_method))
    except KeyboardInterrupt:
        sys.exit(130)

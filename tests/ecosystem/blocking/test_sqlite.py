"""`sqlite3` in threads: many at once, one connection in one thread, and a query that is cut short."""

import asyncio
import contextlib
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from toolkit import finish

# Counts for longer than any test takes; calls `started` on its way.
ENDLESS = """
with recursive numbers(n) as (select 1 union all select n + 1 from numbers)
select count(started(n)) from numbers
"""


def test_readers_and_writers_in_many_threads(loop, tmp_path):
    database = tmp_path / "numbers.db"

    def add(number):
        with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection, connection:
            connection.execute("insert into numbers values (?)", (number,))

    def total():
        with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
            return connection.execute("select count(*), sum(n) from numbers").fetchone()

    async def run():
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("create table numbers (n integer)")
        await asyncio.gather(*(asyncio.to_thread(add, n) for n in range(40)))
        return await asyncio.to_thread(total)

    assert finish(loop, run(), 60) == (40, sum(range(40)))


def test_a_connection_with_a_thread_of_its_own(loop, tmp_path):
    async def run():
        running = asyncio.get_running_loop()
        # sqlite3 wants a connection used by the thread that made it: a pool of one is that thread.
        with ThreadPoolExecutor(1) as thread:
            connection = await running.run_in_executor(thread, sqlite3.connect, tmp_path / "own.db")
            await running.run_in_executor(thread, connection.execute, "create table t (n integer)")
            with pytest.raises(sqlite3.ProgrammingError):
                connection.execute("select 1")
            await running.run_in_executor(
                thread, connection.executemany, "insert into t values (?)", [(n,) for n in range(1000)]
            )
            await running.run_in_executor(thread, connection.commit)
            cursor = await running.run_in_executor(thread, connection.execute, "select sum(n) from t")
            result = await running.run_in_executor(thread, cursor.fetchone)
            await running.run_in_executor(thread, connection.close)
            return result

    assert finish(loop, run(), 60) == (sum(range(1000)),)


@pytest.mark.parametrize("how", ["time-out", "cancellation"])
def test_a_query_that_takes_too_long_is_interrupted(loop, how):
    async def run():
        running = asyncio.get_running_loop()
        started = asyncio.Event()
        ended = threading.Event()
        connection = sqlite3.connect(":memory:", check_same_thread=False)

        def say(n):
            if n == 1:
                running.call_soon_threadsafe(started.set)
            return n

        def query():
            try:
                return connection.execute(ENDLESS).fetchone()
            finally:
                ended.set()

        async def bounded():
            connection.create_function("started", 1, say)
            work = running.run_in_executor(None, query)
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                # The thread cannot be stopped from outside, but its query can.
                connection.interrupt()
                with pytest.raises(sqlite3.OperationalError, match="interrupted"):
                    await work
                raise

        if how == "time-out":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    asking = asyncio.ensure_future(_then(started, limit))
                    await bounded()
            await asking
        else:
            task = asyncio.create_task(bounded())
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert ended.is_set()
        # The connection is as good as before.
        assert await asyncio.to_thread(connection.execute("select 7").fetchone) == (7,)
        connection.close()

    finish(loop, run(), 60)


async def _then(started, limit):
    await started.wait()
    limit.reschedule(asyncio.get_running_loop().time())

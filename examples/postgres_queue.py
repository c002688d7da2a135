"""A queue of jobs in PostgreSQL: SKIP LOCKED, so that no two workers take the same, and NOTIFY, so that none polls.

epicycle run examples/postgres_queue.py --jobs 200 --library psycopg
"""

import argparse
import asyncio
import contextlib
import importlib
import os
import time
from typing import Any

from reaching import address, reach, run, service_arguments

TAKE = (
    "DELETE FROM {0} WHERE id = (SELECT id FROM {0} ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING id"
)


class WithAsyncpg:
    """One connection, by asyncpg."""

    def __init__(self) -> None:
        self.library: Any = importlib.import_module("asyncpg")
        self.errors = (self.library.PostgresError, self.library.InterfaceError)

    def is_down(self, error: Exception) -> bool:
        return isinstance(error, (OSError, self.library.CannotConnectNowError))

    async def open(self, url: str) -> None:
        self.connection = await self.library.connect(url)
        self.woken = asyncio.Event()

    async def fetch(self, statement: str) -> list[Any]:
        return [tuple(row) for row in await self.connection.fetch(statement)]

    async def listen(self, channel: str) -> None:
        await self.connection.add_listener(channel, lambda *_: self.woken.set())
        self.connection.add_termination_listener(lambda *_: self.woken.set())

    async def notified(self) -> None:
        await self.woken.wait()
        self.woken.clear()

    async def close(self) -> None:
        await self.connection.close(timeout=5)


class WithPsycopg:
    """One connection, by psycopg."""

    def __init__(self) -> None:
        self.library: Any = importlib.import_module("psycopg")
        self.errors = (self.library.Error,)

    def is_down(self, error: Exception) -> bool:
        # Before there is a session it gives no code: what it could not do is in the text alone.
        return isinstance(error, self.library.OperationalError) and "FATAL" not in str(error)

    async def open(self, url: str) -> None:
        self.connection = await self.library.AsyncConnection.connect(url, autocommit=True)

    async def fetch(self, statement: str) -> list[Any]:
        cursor = await self.connection.execute(statement)
        return await cursor.fetchall() if cursor.description else []

    async def listen(self, channel: str) -> None:
        await self.connection.execute(f"LISTEN {channel}")

    async def notified(self) -> None:
        async for _ in self.connection.notifies(stop_after=1):
            pass

    async def close(self) -> None:
        await self.connection.close()


LIBRARIES: dict[str, Any] = {"asyncpg": WithAsyncpg, "psycopg": WithPsycopg}


@contextlib.asynccontextmanager
async def opened(args: argparse.Namespace) -> Any:
    where = address(args.url, "postgresql", "postgres")
    database = LIBRARIES[args.library]()
    what = f"PostgreSQL at {where.hostname}:{where.port or 5432}"
    await reach(what, lambda: database.open(args.url), args.patience, database.is_down)
    try:
        yield database
    finally:
        with contextlib.suppress(*database.errors, OSError):
            await database.close()


async def work(args: argparse.Namespace, table: str, ready: asyncio.Barrier) -> int:
    """Take jobs until one says stop, whose number is negative; how many they were."""
    async with opened(args) as database:
        await database.listen(table)
        await ready.wait()
        done = 0
        while True:
            taken = await database.fetch(TAKE.format(table))
            if not taken:
                await database.notified()
            elif taken[0][0] > args.jobs:
                return done
            else:
                done += 1


async def main(args: argparse.Namespace) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    table = f"postgres_queue_{os.getpid()}"
    async with opened(args) as database:
        await database.fetch(f"CREATE TABLE {table} (id int PRIMARY KEY)")
        try:
            ready = asyncio.Barrier(args.workers + 1)
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(work(args, table, ready)) for _ in range(args.workers)]
                await ready.wait()
                print("working", flush=True)
                # Those above the number of jobs are for the workers to stop.
                for number in range(1, args.jobs + args.workers + 1):
                    await database.fetch(f"INSERT INTO {table} VALUES ({number})")
                    await database.fetch(f"NOTIFY {table}")
            shares = [task.result() for task in workers]
            print(f"shares: {', '.join(map(str, shares))}")
            print(f"{sum(shares)} jobs done once each, {time.perf_counter() - began:.2f} s")
        finally:
            with contextlib.suppress(*database.errors, OSError):
                await database.fetch(f"DROP TABLE {table}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Workers that share a queue in PostgreSQL.")
    service_arguments(parser, "EPICYCLE_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--library", choices=LIBRARIES, default="asyncpg")
    parser.add_argument("--jobs", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--workers", type=int, default=4, help="how many (default: 4)")
    args = parser.parse_args()
    run("postgres_queue", args, main(args), *LIBRARIES[args.library]().errors, OSError)

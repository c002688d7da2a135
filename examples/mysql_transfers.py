"""Transfers between accounts in MariaDB or MySQL: a pool, transactions with row locks, a result streamed row by row.

However the transfers interleave, the money stays the same.

    epicycle run examples/mysql_transfers.py --transfers 500 --library asyncmy
"""

import argparse
import asyncio
import importlib
import os
import random
import time
from typing import Any
from urllib.parse import unquote

from reaching import address, reach, run, service_arguments

# What the two libraries put first into an error: no connection, connection lost, server shutting down.
DOWN = {2002, 2003, 2006, 2013, 1053}
LIBRARIES = {"aiomysql": "pymysql.err", "asyncmy": "asyncmy.errors"}


async def opened(library: Any, url: str, patience: float, size: int) -> Any:
    """A pool of at most `size` connections."""
    where = address(url, "mysql", "mariadb")
    port = where.port or 3306

    def connect() -> Any:
        return library.create_pool(
            host=where.hostname,
            port=port,
            user=unquote(where.username or "root"),
            password=unquote(where.password or ""),
            db=where.path.lstrip("/"),
            minsize=1,
            maxsize=size,
            autocommit=True,
        )

    def is_down(error: Exception) -> bool:
        return isinstance(error, OSError) or bool(error.args and error.args[0] in DOWN)

    return await reach(f"MariaDB at {where.hostname}:{port}", connect, patience, is_down)


async def transfer(pool: Any, table: str, source: int, target: int, amount: int) -> bool:
    """Move money if there is enough; the rows are locked in the order of their numbers, so nobody deadlocks."""
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await connection.begin()
        for account in sorted((source, target)):
            await cursor.execute(f"SELECT money FROM {table} WHERE id = %s FOR UPDATE", (account,))
        await cursor.execute(f"SELECT money FROM {table} WHERE id = %s", (source,))
        (money,) = await cursor.fetchone()
        if money < amount:
            await connection.rollback()
            return False
        await cursor.execute(f"UPDATE {table} SET money = money - %s WHERE id = %s", (amount, source))
        await cursor.execute(f"UPDATE {table} SET money = money + %s WHERE id = %s", (amount, target))
        await connection.commit()
        return True


async def execute(pool: Any, statement: str) -> None:
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(statement)


async def main(args: argparse.Namespace, library: Any) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    kinds = importlib.import_module(f"{args.library}.cursors")
    pool = await opened(library, args.url, args.patience, args.connections)
    table = f"mysql_transfers_{os.getpid()}"
    try:
        await execute(pool, f"CREATE TABLE {table} (id INT PRIMARY KEY, money INT NOT NULL) ENGINE=InnoDB")
        try:
            accounts = ", ".join(f"({number}, 100)" for number in range(args.accounts))
            await execute(pool, f"INSERT INTO {table} VALUES {accounts}")
            began = time.perf_counter()
            done = 0
            for first in range(0, args.transfers, 100):
                pairs = [
                    random.sample(range(args.accounts), 2) for _ in range(min(100, args.transfers - first))
                ]
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(transfer(pool, table, source, target, random.randint(1, 50)))
                        for source, target in pairs
                    ]
                done += sum(task.result() for task in tasks)
                print(f"{first + len(pairs)} transfers", flush=True)
            seconds = time.perf_counter() - began
            rows = total = 0
            async with pool.acquire() as connection, connection.cursor(kinds.SSCursor) as cursor:
                await cursor.execute(f"SELECT money FROM {table}")
                async for (money,) in cursor:
                    rows += 1
                    total += money
            print(f"{done} went through, {args.transfers - done} lacked the money, {seconds:.2f} s")
            print(f"{rows} accounts, {total} in all")
        finally:
            await forget(pool, table)
    finally:
        pool.close()
        await pool.wait_closed()


async def forget(pool: Any, table: str) -> None:
    """Drop the table where the server still lets us."""
    try:
        await execute(pool, f"DROP TABLE {table}")
    except Exception as error:
        if not (isinstance(error, OSError) or (error.args and error.args[0] in DOWN)):
            raise


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Transfers between accounts, many at once.")
    service_arguments(parser, "EPICYCLE_MYSQL_URL", "mysql://root@127.0.0.1:3306/test")
    parser.add_argument("--library", choices=LIBRARIES, default="aiomysql")
    parser.add_argument("--accounts", type=int, default=20, help="how many, with 100 each (default: 20)")
    parser.add_argument("--transfers", type=int, default=300, help="how many (default: 300)")
    parser.add_argument("--connections", type=int, default=8, help="of the pool, at most (default: 8)")
    args = parser.parse_args()
    errors = importlib.import_module(LIBRARIES[args.library])
    library = importlib.import_module(args.library)
    run("mysql_transfers", args, main(args, library), errors.MySQLError, errors.InterfaceError, OSError)

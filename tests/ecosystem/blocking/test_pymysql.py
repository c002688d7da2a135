"""`pymysql` in threads against MariaDB: at once, in one transaction, and a query that is killed when nobody waits."""

import asyncio
import contextlib
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote, urlsplit

import pytest

from toolkit import finish, refusing

pymysql = pytest.importorskip(
    "pymysql", reason="the package pymysql is not installed: pip install -r requirements/ecosystem.txt"
)

URL = os.environ.get("EPICYCLE_MYSQL_URL", "mysql://root@127.0.0.1:3306/test")


def connect(**other):
    parts = urlsplit(URL)
    options = {
        "host": parts.hostname,
        "port": parts.port or 3306,
        "user": unquote(parts.username or "root"),
        "password": unquote(parts.password or ""),
        "database": parts.path.lstrip("/"),
        "connect_timeout": 10,
    }
    return pymysql.connect(**options | other)


@pytest.fixture(scope="module", autouse=True)
def server():
    try:
        connect().close()
    except pymysql.err.OperationalError as error:
        pytest.skip(f"MariaDB does not answer: `make services`, or set EPICYCLE_MYSQL_URL ({error})")


@pytest.fixture
def table():
    name = f"epicycle_blocking_{uuid.uuid4().hex[:12]}"
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"create table {name} (number integer primary key, square integer) engine=innodb")
    yield name
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"drop table {name}")


def query(sql, *arguments):
    with connect(autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return cursor.fetchall()


def test_many_threads_at_once(loop, table):
    async def run():
        running = asyncio.get_running_loop()
        with ThreadPoolExecutor(8) as pool:
            await asyncio.gather(
                *(
                    running.run_in_executor(pool, query, f"insert into {table} values (%s, %s)", n, n * n)
                    for n in range(16)
                )
            )
            return await running.run_in_executor(pool, query, f"select count(*), sum(square) from {table}")

    assert finish(loop, run(), 60) == ((16, sum(n * n for n in range(16))),)


def test_a_transaction_is_all_or_nothing(loop, table):
    def transfer(fail):
        with connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"insert into {table} values (1, 1)")
            if fail:
                raise LookupError("in the middle")
            connection.commit()

    async def run():
        with pytest.raises(LookupError):
            await asyncio.to_thread(transfer, True)
        assert await asyncio.to_thread(query, f"select * from {table}") == ()
        await asyncio.to_thread(transfer, False)
        assert await asyncio.to_thread(query, f"select * from {table}") == ((1, 1),)

    finish(loop, run(), 60)


def test_a_query_that_nobody_waits_for_any_more_is_killed(loop):
    async def run():
        connection = await asyncio.to_thread(connect)

        def long_query():
            with connection.cursor() as cursor:
                # An interrupted sleep() gives 1, or ends the query with an error; which, is the server's to choose.
                with contextlib.suppress(pymysql.err.OperationalError):
                    cursor.execute("select sleep(3600)")
                    return cursor.fetchone()

        async def bounded():
            work = asyncio.ensure_future(asyncio.to_thread(long_query))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.to_thread(query, f"kill query {connection.thread_id()}")
                assert await work in ((1,), None)
                raise

        task = asyncio.create_task(bounded())
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(
                query,
                "select 1 from information_schema.processlist where id = %s and info like %s",
                connection.thread_id(),
                "select sleep%",
            ):
                pass
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        connection.close()

    finish(loop, run(), 60)


def test_a_wrong_password_and_a_server_that_is_not_there(loop):
    async def run():
        with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
            await asyncio.to_thread(connect, user="epicycle_nobody", password="wrong")
        with refusing() as (host, port), pytest.raises(pymysql.err.OperationalError, match="Can't connect"):
            await asyncio.to_thread(connect, host=host, port=port)

    finish(loop, run(), 60)

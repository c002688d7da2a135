"""`aiomysql` and `asyncmy` on Epicycle against MariaDB: pool, transactions, cursors, large results, KILL.

The two have one interface, so there is one body for each test.
"""

import asyncio
import contextlib
import importlib

import pytest
from on_epicycle import until
from passage import Passage

HINT = "pip install -r requirements/ecosystem.txt"


@pytest.fixture(params=["aiomysql", "asyncmy"])
def library(request):
    return pytest.importorskip(request.param, reason=f"{request.param}: {HINT}")


@pytest.fixture
def errors(library):
    """The module that holds the exceptions."""
    return importlib.import_module("pymysql.err" if library.__name__ == "aiomysql" else "asyncmy.errors")


def login(service, **options):
    return {
        "host": service.host,
        "port": service.port,
        "user": service.user,
        "password": service.password,
        "db": service.path,
    } | options


def cursors(library):
    return importlib.import_module(f"{library.__name__}.cursors")


@contextlib.asynccontextmanager
async def pool_of(library, service, **options):
    pool = await library.create_pool(**login(service, autocommit=True, **options))
    try:
        yield pool
    finally:
        pool.close()
        await pool.wait_closed()


@contextlib.asynccontextmanager
async def table(pool, name, columns):
    await execute(pool, f"CREATE TABLE {name} ({columns}) ENGINE=InnoDB")
    try:
        yield
    finally:
        await execute(pool, f"DROP TABLE {name}")


async def execute(pool, statement, values=None):
    """Run one statement on a connection of the pool; all rows."""
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(statement, values)
        return list(await cursor.fetchall())


async def test_a_pool_shares_its_connections(library, mysql):
    async with pool_of(library, mysql, minsize=1, maxsize=4) as pool:
        rows = await asyncio.gather(
            *(execute(pool, "SELECT %s, CONNECTION_ID()", (number,)) for number in range(100))
        )
        assert pool.size <= 4
    assert [row[0][0] for row in rows] == list(range(100))
    assert 1 <= len({row[0][1] for row in rows}) <= 4


async def test_slow_queries_overlap(library, mysql, name):
    async with pool_of(library, mysql, minsize=2, maxsize=2) as pool:
        # Each waits for a lock that only the other's turn lets go: one after the other they would never end.
        async with pool.acquire() as one, pool.acquire() as two:
            async with one.cursor() as first, two.cursor() as second:
                await first.execute("SELECT GET_LOCK(%s, 0)", (name,))
                waiting = asyncio.create_task(second.execute("SELECT GET_LOCK(%s, 30)", (name,)))
                await first.execute("SELECT RELEASE_LOCK(%s)", (name,))
                await waiting
                assert list(await second.fetchall()) == [(1,)]


async def test_a_transaction_is_seen_when_committed_and_not_at_all_when_rolled_back(library, mysql, name):
    async with pool_of(library, mysql, maxsize=2) as pool, table(pool, name, "n INT"):
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await connection.begin()
            await cursor.execute(f"INSERT INTO {name} VALUES (1)")
            assert await execute(pool, f"SELECT * FROM {name}") == []
            await connection.rollback()
            await connection.begin()
            await cursor.executemany(f"INSERT INTO {name} VALUES (%s)", [(2,), (3,)])
            await connection.commit()
        assert await execute(pool, f"SELECT * FROM {name} ORDER BY n") == [(2,), (3,)]


async def test_transfers_at_the_same_time_keep_the_sum(library, mysql, name):
    async with pool_of(library, mysql, maxsize=8) as pool, table(pool, name, "id INT PRIMARY KEY, money INT"):
        await execute(pool, f"INSERT INTO {name} VALUES (1, 100), (2, 100), (3, 100)")

        async def transfer(source, target):
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await connection.begin()
                low, high = sorted((source, target))
                await cursor.execute(f"SELECT id FROM {name} WHERE id = %s FOR UPDATE", (low,))
                await cursor.execute(f"SELECT id FROM {name} WHERE id = %s FOR UPDATE", (high,))
                await cursor.execute(f"UPDATE {name} SET money = money - 1 WHERE id = %s", (source,))
                await cursor.execute(f"UPDATE {name} SET money = money + 1 WHERE id = %s", (target,))
                await connection.commit()

        await asyncio.gather(*(transfer(1 + n % 3, 1 + (n + 1 + n // 3 % 2) % 3) for n in range(60)))
        rows = await execute(pool, f"SELECT SUM(money) FROM {name}")
        assert int(rows[0][0]) == 300


async def test_cursors_of_all_kinds(library, mysql):
    kinds = cursors(library)
    async with pool_of(library, mysql) as pool, pool.acquire() as connection:
        async with connection.cursor(kinds.DictCursor) as cursor:
            await cursor.execute("SELECT 1 AS one, 'two' AS two, NULL AS nothing")
            assert await cursor.fetchone() == {"one": 1, "two": "two", "nothing": None}
            assert await cursor.fetchone() is None
        async with connection.cursor() as cursor:
            await cursor.execute("SELECT seq FROM seq_1_to_10")
            assert await cursor.fetchone() == (1,)
            assert list(await cursor.fetchmany(3)) == [(2,), (3,), (4,)]
            assert len(await cursor.fetchall()) == 6


async def test_a_large_result_is_streamed_row_by_row(library, mysql):
    count, seen, total = 50_000, 0, 0
    async with pool_of(library, mysql) as pool, pool.acquire() as connection:
        async with connection.cursor(cursors(library).SSCursor) as cursor:
            await cursor.execute(f"SELECT seq, REPEAT('x', 200) FROM seq_1_to_{count}")
            async for number, text in cursor:
                seen += 1
                total += number
                assert len(text) == 200
    assert (seen, total) == (count, count * (count + 1) // 2)


async def test_a_large_value_goes_and_comes_whole(library, mysql, name):
    # Text, since aiomysql 0.3.2 cannot send bytes with PyMySQL 1.2.
    value = "0123456789abcdef" * 65536 * 12
    async with pool_of(library, mysql) as pool:
        async with table(pool, name, "v LONGTEXT"):
            await execute(pool, f"INSERT INTO {name} VALUES (%s)", (value,))
            assert (await execute(pool, f"SELECT v FROM {name}"))[0][0] == value


async def test_a_killed_connection_is_an_error_and_the_pool_replaces_it(library, errors, mysql):
    async with pool_of(library, mysql, minsize=1, maxsize=2) as pool:
        async with pool.acquire() as victim:
            async with victim.cursor() as cursor:
                await cursor.execute("SELECT CONNECTION_ID()")
                (identity,) = await cursor.fetchone()
                sleeping = asyncio.create_task(cursor.execute("SELECT SLEEP(60)"))
                await until(lambda: _sleeps(pool, identity))
                await execute(pool, f"KILL {identity}")
                # KILL ends the statement, or the connection under it, whichever is noticed first.
                with pytest.raises((errors.OperationalError, errors.InternalError)):
                    await sleeping
                    await cursor.execute("SELECT 1")
            victim.close()
        for _ in range(4):
            ((now,),) = await execute(pool, "SELECT CONNECTION_ID()")
            assert now != identity


async def _sleeps(pool, identity):
    rows = await execute(
        pool,
        "SELECT 1 FROM information_schema.processlist WHERE id = %s AND info LIKE 'SELECT SLEEP%%'",
        (identity,),
    )
    return bool(rows)


async def test_a_service_that_dies_in_mid_request_and_comes_back(library, errors, mysql):
    with Passage(mysql) as way:
        through = login(mysql, host="127.0.0.1", port=way.port)
        connection = await library.connect(**through)
        asking = asyncio.create_task(_ask(connection))
        await asyncio.to_thread(way.cut_in_mid_request)
        with pytest.raises((errors.OperationalError, errors.InterfaceError)):
            await asking
        connection.close()
        with pytest.raises((errors.OperationalError, OSError)):
            await library.connect(**through)
        way.open()
        connection = await library.connect(**through)
        assert await _ask(connection) == (1,)
        await connection.ensure_closed()


async def _ask(connection):
    # Until the answer is held back: the first questions may come before.
    async with connection.cursor() as cursor:
        for _ in range(200):
            await cursor.execute("SELECT 1")
            answer = await cursor.fetchone()
            await asyncio.sleep(0)
    return answer


async def test_a_wrong_password_and_a_wrong_database_are_refused(library, errors, mysql, name):
    with pytest.raises(errors.OperationalError, match="Access denied"):
        await library.connect(**login(mysql, user="nobody", password="wrong"))
    with pytest.raises(errors.MySQLError, match="Unknown database"):
        await library.connect(**login(mysql, db=name))


async def test_a_syntax_error_leaves_the_connection_usable(library, errors, mysql):
    async with pool_of(library, mysql, maxsize=1) as pool:
        with pytest.raises(errors.ProgrammingError):
            await execute(pool, "SELEC 1")
        assert await execute(pool, "SELECT 1") == [(1,)]

"""`psycopg` and `psycopg_pool` on Epicycle: they watch the socket with `add_reader` and `add_writer`."""

import asyncio
import contextlib

import pytest
from on_epicycle import until
from passage import Passage

psycopg = pytest.importorskip("psycopg", reason="psycopg: pip install -r requirements/ecosystem.txt")
psycopg_pool = pytest.importorskip(
    "psycopg_pool", reason="psycopg_pool: pip install -r requirements/ecosystem.txt"
)


def pool_of(service, **options):
    return psycopg_pool.AsyncConnectionPool(
        service.url, open=False, timeout=60, kwargs={"autocommit": True}, **options
    )


@contextlib.asynccontextmanager
async def table(pool, name, columns):
    await fetch(pool, f"CREATE TABLE {name} ({columns})")
    try:
        yield
    finally:
        await fetch(pool, f"DROP TABLE {name}")


async def fetch(pool, statement, values=None):
    async with pool.connection() as connection:
        cursor = await connection.execute(statement, values)
        return await cursor.fetchall() if cursor.description else None


async def test_a_pool_shares_its_connections(postgres):
    async with pool_of(postgres, min_size=1, max_size=4) as pool:
        rows = await asyncio.gather(
            *(fetch(pool, "SELECT %s::int, pg_backend_pid()", (number,)) for number in range(100))
        )
    assert [row[0][0] for row in rows] == list(range(100))
    assert 1 <= len({row[0][1] for row in rows}) <= 4


async def test_transactions_and_savepoints(postgres, name):
    async with pool_of(postgres, min_size=1, max_size=2) as pool, table(pool, name, "n int"):
        async with pool.connection() as connection:
            with pytest.raises(ZeroDivisionError):
                async with connection.transaction():
                    await connection.execute(f"INSERT INTO {name} VALUES (1)")
                    raise ZeroDivisionError
            async with connection.transaction():
                await connection.execute(f"INSERT INTO {name} VALUES (2)")
                with pytest.raises(psycopg.errors.DivisionByZero):
                    async with connection.transaction():
                        await connection.execute(f"INSERT INTO {name} VALUES (3 / 0)")
                assert await fetch(pool, f"SELECT n FROM {name}") == []
        assert await fetch(pool, f"SELECT n FROM {name}") == [(2,)]


async def test_a_large_result_through_a_cursor_in_the_server(postgres):
    total = 0
    async with await psycopg.AsyncConnection.connect(postgres.url) as connection:
        async with connection.cursor("numbers") as cursor:
            cursor.itersize = 500
            await cursor.execute("SELECT n, repeat('x', 200) FROM generate_series(1, 20000) n")
            async for number, text in cursor:
                total += number
                assert len(text) == 200
    assert total == 20_000 * 20_001 // 2


async def test_a_pipeline_answers_in_order(postgres):
    async with await psycopg.AsyncConnection.connect(postgres.url) as connection:
        async with connection.pipeline():
            cursors = [await connection.execute("SELECT %s::int", (number,)) for number in range(200)]
            assert [(await cursor.fetchone())[0] for cursor in cursors] == list(range(200))


async def test_copy_in_and_out(postgres, name):
    async with await psycopg.AsyncConnection.connect(postgres.url) as connection:
        async with connection.cursor() as cursor:
            await cursor.execute(f"CREATE TEMPORARY TABLE {name} (n int, t text)")
            async with cursor.copy(f"COPY {name} FROM STDIN") as copy:
                for number in range(20_000):
                    await copy.write_row((number, f"text {number}"))
            async with cursor.copy(f"COPY (SELECT n FROM {name} ORDER BY n) TO STDOUT") as copy:
                out = b"".join([bytes(chunk) async for chunk in copy])
    assert out.split() == [b"%d" % number for number in range(20_000)]


async def test_notifications_arrive_in_order(postgres, name):
    connect = psycopg.AsyncConnection.connect
    async with (
        await connect(postgres.url, autocommit=True) as listener,
        await connect(postgres.url, autocommit=True) as speaker,
    ):
        await listener.execute(f"LISTEN {name}")
        for number in range(50):
            await speaker.execute("SELECT pg_notify(%s, %s)", (name, str(number)))
        heard = [note.payload async for note in listener.notifies(timeout=60, stop_after=50)]
    assert heard[:50] == [str(number) for number in range(50)]


async def test_a_cancelled_query_is_cancelled_in_the_server(postgres):
    async with pool_of(postgres, min_size=2, max_size=2) as pool:
        async with pool.connection() as connection:
            identity = connection.info.backend_pid
            sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
            await until(lambda: _sleeps(pool, identity))
            sleeping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sleeping
            assert not await _sleeps(pool, identity)


async def _sleeps(pool, identity):
    rows = await fetch(
        pool,
        "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active' AND query LIKE 'SELECT pg_sleep%%'",
        (identity,),
    )
    return bool(rows)


async def test_a_terminated_backend_is_an_error_and_the_pool_replaces_it(postgres):
    async with pool_of(postgres, min_size=2, max_size=2) as pool:
        with pytest.raises(psycopg.OperationalError):
            async with pool.connection() as victim:
                identity = victim.info.backend_pid
                sleeping = asyncio.create_task(victim.execute("SELECT pg_sleep(60)"))
                await until(lambda: _sleeps(pool, identity))
                assert await fetch(pool, "SELECT pg_terminate_backend(%s)", (identity,)) == [(True,)]
                await sleeping
        for _ in range(4):
            ((now,),) = await fetch(pool, "SELECT pg_backend_pid()")
            assert now != identity


async def test_a_service_that_dies_in_mid_request_and_comes_back(postgres):
    with Passage(postgres) as way:
        url = postgres.at(way.address)
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        way.hold()
        asking = asyncio.create_task(connection.execute("SELECT 1"))
        await asyncio.to_thread(way.cut_in_mid_request)
        with pytest.raises(psycopg.OperationalError):
            await asking
        assert connection.broken
        await connection.close()
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(url)
        way.open()
        async with await psycopg.AsyncConnection.connect(url) as connection:
            assert await (await connection.execute("SELECT 2")).fetchone() == (2,)


async def test_a_wrong_database_is_refused(postgres, name):
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        await psycopg.AsyncConnection.connect(postgres.url, dbname=name)

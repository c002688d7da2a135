"""`asyncpg` on Epicycle: pool, transactions, cursors, COPY, LISTEN and NOTIFY, ended connections."""

import asyncio
import contextlib

import pytest
from on_epicycle import until
from passage import Passage

asyncpg = pytest.importorskip("asyncpg", reason="asyncpg: pip install -r requirements/ecosystem.txt")


@contextlib.asynccontextmanager
async def table(pool, name, columns):
    await pool.execute(f"CREATE TABLE {name} ({columns})")
    try:
        yield
    finally:
        await pool.execute(f"DROP TABLE {name}")


async def test_a_pool_shares_its_connections(postgres):
    async with asyncpg.create_pool(postgres.url, min_size=1, max_size=4) as pool:
        rows = await asyncio.gather(
            *(pool.fetchrow("SELECT $1::int, pg_backend_pid()", number) for number in range(200))
        )
    assert [row[0] for row in rows] == list(range(200))
    assert 1 <= len({row[1] for row in rows}) <= 4


async def test_nested_transactions(postgres, name):
    async with asyncpg.create_pool(postgres.url, min_size=1, max_size=2) as pool, table(pool, name, "n int"):
        async with pool.acquire() as connection:
            with pytest.raises(ZeroDivisionError):
                async with connection.transaction():
                    await connection.execute(f"INSERT INTO {name} VALUES (1)")
                    raise ZeroDivisionError
            async with connection.transaction():
                await connection.execute(f"INSERT INTO {name} VALUES (2)")
                with pytest.raises(asyncpg.DivisionByZeroError):
                    async with connection.transaction():
                        await connection.execute(f"INSERT INTO {name} VALUES (3 / 0)")
                # Nobody else sees it yet.
                assert await pool.fetch(f"SELECT n FROM {name}") == []
            assert [row["n"] for row in await pool.fetch(f"SELECT n FROM {name}")] == [2]


async def test_a_large_result_through_a_cursor(postgres):
    connection = await asyncpg.connect(postgres.url)
    try:
        async with connection.transaction():
            numbers = connection.cursor(
                "SELECT n, repeat('x', 200) FROM generate_series(1, 50000) n", prefetch=500
            )
            total = 0
            async for number, text in numbers:
                total += number
                assert len(text) == 200
    finally:
        await connection.close()
    assert total == 50_000 * 50_001 // 2


async def test_copy_in_and_out(postgres, name):
    records = [(number, f"text {number}") for number in range(20_000)]
    async with asyncpg.create_pool(postgres.url, min_size=1, max_size=1) as pool:
        async with table(pool, name, "n int, t text"), pool.acquire() as connection:
            await connection.copy_records_to_table(name, records=records)
            out = bytearray()

            async def take(data):
                out.extend(data)

            await connection.copy_from_query(f"SELECT n FROM {name} ORDER BY n", output=take)
            assert out.split() == [b"%d" % number for number, _ in records]


async def test_notifications_arrive_in_order(postgres, name):
    listener, speaker = await asyncio.gather(asyncpg.connect(postgres.url), asyncpg.connect(postgres.url))
    heard = asyncio.Queue()
    await listener.add_listener(name, lambda connection, pid, channel, payload: heard.put_nowait(payload))
    for number in range(100):
        await speaker.execute("SELECT pg_notify($1, $2)", name, str(number))
    assert [await heard.get() for _ in range(100)] == [str(number) for number in range(100)]
    await listener.close()
    await speaker.close()


async def test_a_timeout_cancels_the_query_in_the_server(postgres):
    async with asyncpg.create_pool(postgres.url, min_size=1, max_size=1) as pool:
        with pytest.raises(asyncio.TimeoutError):
            await pool.fetchval("SELECT pg_sleep(60)", timeout=0.1)
        # The only connection is free again at once, which it were not if the server still slept.
        assert await pool.fetchval("SELECT 1", timeout=30) == 1


async def test_a_terminated_backend_is_an_error_and_the_pool_replaces_it(postgres):
    async with asyncpg.create_pool(postgres.url, min_size=1, max_size=2) as pool:
        async with pool.acquire() as victim:
            identity = await victim.fetchval("SELECT pg_backend_pid()")
            sleeping = asyncio.create_task(victim.execute("SELECT pg_sleep(60)"))
            await until(lambda: _sleeps(pool, identity))
            assert await pool.fetchval("SELECT pg_terminate_backend($1)", identity)
            with pytest.raises((asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError)):
                await sleeping
        assert await pool.fetchval("SELECT pg_backend_pid()") != identity


async def _sleeps(pool, identity):
    return await pool.fetchval(
        "SELECT state = 'active' AND query LIKE 'SELECT pg_sleep%' FROM pg_stat_activity WHERE pid = $1",
        identity,
    )


async def test_a_service_that_dies_in_mid_request_and_comes_back(postgres):
    with Passage(postgres) as way:
        url = postgres.at(way.address)
        connection = await asyncpg.connect(url)
        way.hold()
        asking = asyncio.create_task(connection.fetchval("SELECT 1"))
        await asyncio.to_thread(way.cut_in_mid_request)
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
            await asking
        assert connection.is_closed()
        with pytest.raises(OSError):
            await asyncpg.connect(url)
        way.open()
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT 2") == 2
        await connection.close()


# On any loop: asyncpg does not wait for the end of a connection whose login was refused.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
async def test_a_wrong_database_is_refused(postgres, name):
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(postgres.url, database=name)

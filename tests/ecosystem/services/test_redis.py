"""`redis.asyncio` on Epicycle: pool, pipeline, publish and subscribe, blocking pop, streams, restarts."""

# Imports follow what decides whether they are there.
# ruff: noqa: E402
import asyncio
import contextlib

import pytest
from on_epicycle import until

redis_asyncio = pytest.importorskip(
    "redis.asyncio", reason="redis: pip install -r requirements/ecosystem.txt"
)

from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import AuthenticationError, ResponseError, WatchError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

# A server that starts again takes a moment: up to ten seconds of it.
PATIENT = Retry(ConstantBackoff(0.05), 200)


@contextlib.asynccontextmanager
async def client_of(url, *keys, **options):
    """A client; the `keys` are gone afterwards."""
    async with redis_asyncio.Redis.from_url(url, decode_responses=True, **options) as client:
        try:
            yield client
        finally:
            if keys:
                await client.delete(*keys)


async def test_a_pool_shares_its_connections(redis, name):
    pool = redis_asyncio.BlockingConnectionPool.from_url(redis.url, max_connections=4, decode_responses=True)
    async with redis_asyncio.Redis(connection_pool=pool) as client:
        counted = await asyncio.gather(*(client.incr(name) for _ in range(200)))
        identities = await asyncio.gather(*(client.client_id() for _ in range(40)))
        await client.delete(name)
    await pool.aclose()
    assert sorted(counted) == list(range(1, 201))
    assert 1 <= len(set(identities)) <= 4


async def test_a_value_of_megabytes_comes_back_whole(redis, name):
    value = "0123456789abcdef" * 500_000
    async with client_of(redis.url, name) as client:
        await client.set(name, value)
        assert await client.get(name) == value


async def test_a_pipeline_answers_in_order_and_a_transaction_is_whole(redis, name):
    async with client_of(redis.url, name) as client:
        async with client.pipeline(transaction=False) as pipe:
            for number in range(1000):
                pipe.rpush(name, number)
            assert await pipe.execute() == list(range(1, 1001))
        async with client.pipeline(transaction=True) as pipe:
            pipe.delete(name).set(name, "text").lpush(name, "no list").set(name, "after")
            answers = await pipe.execute(raise_on_error=False)
        assert answers[:2] == [1, True] and isinstance(answers[2], ResponseError) and answers[3] is True


async def test_a_watched_key_that_changes_stops_the_transaction(redis, name):
    async with client_of(redis.url, name) as client, client.pipeline() as pipe:
        await client.set(name, 1)
        await pipe.watch(name)
        seen = int(await pipe.get(name))
        await client.set(name, 10)
        pipe.multi()
        pipe.set(name, seen + 1)
        with pytest.raises(WatchError):
            await pipe.execute()
        assert await client.get(name) == "10"


async def test_what_is_published_reaches_every_subscriber(redis, name):
    async with client_of(redis.url) as client, client.pubsub() as exact, client.pubsub() as pattern:
        await exact.subscribe(name)
        await pattern.psubscribe(f"{name}*")
        for listener in (exact, pattern):
            assert (await anext(listener.listen()))["type"].endswith("subscribe")

        async def collect(listener, count):
            return [message["data"] async for message in _first(listener.listen(), count)]

        async with asyncio.TaskGroup() as group:
            heard = [group.create_task(collect(listener, 100)) for listener in (exact, pattern)]
            for number in range(100):
                assert await client.publish(name, number) == 2
    assert [task.result() for task in heard] == [[str(n) for n in range(100)]] * 2


async def _first(source, count):
    async for item in source:
        yield item
        count -= 1
        if not count:
            return


async def test_a_blocking_pop_waits_and_others_do_not_wait_for_it(redis, name):
    async with client_of(redis.url, name) as client:
        waiting = [asyncio.create_task(client.blpop([name], timeout=30)) for _ in range(3)]
        # Each on a connection of its own, parked in the server.
        await until(lambda: _blocked_on(client, 3))
        assert await client.ping()
        for number in range(3):
            await client.rpush(name, number)
        assert sorted(value for _, value in await asyncio.gather(*waiting)) == ["0", "1", "2"]
        assert await client.blpop([name], timeout=0.05) is None


async def _blocked_on(client, count):
    return (
        sum("b" in entry["flags"] and entry["cmd"] == "blpop" for entry in await client.client_list())
        >= count
    )


async def test_a_cancelled_blocking_pop_takes_nothing(redis, name):
    async with client_of(redis.url, name) as client:
        waiting = asyncio.create_task(client.blpop([name], timeout=30))
        await until(lambda: _blocked_on(client, 1))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: _none_blocked_on(client))
        await client.rpush(name, "kept")
        assert await client.lrange(name, 0, -1) == ["kept"]


async def _none_blocked_on(client):
    return not await _blocked_on(client, 1)


async def test_a_group_of_consumers_shares_a_stream(redis, name):
    async with client_of(redis.url, name) as client:
        await client.xgroup_create(name, "group", mkstream=True)

        async def consume(consumer):
            done = []
            while entries := await client.xreadgroup("group", consumer, {name: ">"}, count=5, block=30_000):
                for _, messages in entries.items() if isinstance(entries, dict) else entries:
                    for identity, fields in _flat(messages):
                        await client.xack(name, "group", identity)
                        if fields.get("end"):
                            return done
                        done.append(int(fields["number"]))

        async with asyncio.TaskGroup() as group:
            consumers = [group.create_task(consume(f"consumer-{n}")) for n in range(3)]
            for number in range(60):
                await client.xadd(name, {"number": number})
            for _ in consumers:
                await client.xadd(name, {"end": 1})
                # One each: who has read its end reads no other.
                await until(lambda: _pending_is_zero(client, name))
        assert sorted(number for task in consumers for number in task.result()) == list(range(60))
        assert (await client.xpending(name, "group"))["pending"] == 0


def _flat(messages):
    """Entries as pairs, whether the protocol in use nests them once more or not."""
    return messages[0] if messages and isinstance(messages[0], list) else messages


async def _pending_is_zero(client, name):
    groups = await client.xinfo_groups(name)
    return not groups[0]["pending"] and not groups[0]["lag"]


async def test_two_databases_and_two_servers_at_once(redis, private, name):
    other = private("redis")
    first_database, second_database = f"redis://{other.address}/0", f"redis://{other.address}/1"
    async with (
        client_of(redis.url, name) as one,
        client_of(first_database) as two,
        client_of(second_database) as three,
    ):
        clients = [one, two, three]

        async def write_and_read(number, client):
            for step in range(100):
                await client.rpush(name, f"{number}:{step}")
            return await client.lrange(name, 0, -1)

        read = await asyncio.gather(*(write_and_read(n, client) for n, client in enumerate(clients)))
    assert read == [[f"{number}:{step}" for step in range(100)] for number in range(3)]


async def test_a_client_finds_a_server_that_was_killed_and_started_again(private):
    server = private("redis")
    async with client_of(f"redis://{server.address}", retry=PATIENT) as client:
        await client.set("before", 1)
        server.kill()
        back = asyncio.create_task(client.set("after", 2))
        await asyncio.to_thread(server.start)
        assert await back is True
        # It kept nothing, so this is another server process.
        assert await client.keys() == ["after"]


async def test_a_subscriber_resubscribes_after_a_restart(private):
    server = private("redis")
    async with client_of(f"redis://{server.address}", retry=PATIENT) as client, client.pubsub() as subscriber:
        await subscriber.subscribe("news")
        assert (await anext(subscriber.listen()))["type"] == "subscribe"
        hearing = asyncio.create_task(_next_message(subscriber))
        server.kill()
        await asyncio.to_thread(server.start)
        await until(lambda: _has_subscriber(client))
        await client.publish("news", "again")
        assert await hearing == "again"


async def _next_message(subscriber):
    async for message in subscriber.listen():
        if message["type"] == "message":
            return message["data"]


async def _has_subscriber(client):
    return dict(await client.pubsub_numsub("news"))["news"] == 1


async def test_a_server_that_dies_in_mid_request_is_an_error_in_the_request(private):
    server = private("redis")
    async with client_of(f"redis://{server.address}", retry=None) as client:
        waiting = asyncio.create_task(client.blpop(["never"], timeout=0))
        await until(lambda: _blocked_on(client, 1))
        server.kill()
        with pytest.raises(RedisConnectionError):
            await waiting


async def test_a_server_that_stands_still_is_a_timeout(private):
    server = private("redis")
    async with client_of(f"redis://{server.address}", socket_timeout=0.2, retry=None) as client:
        await client.ping()
        server.pause()
        with pytest.raises(RedisTimeoutError):
            await client.ping()
        server.resume()
        assert await client.ping()


async def test_a_wrong_password_is_refused(private):
    server = private("redis", password="right")
    async with client_of(f"redis://:wrong@{server.address}") as client:
        with pytest.raises(AuthenticationError):
            await client.ping()
    async with client_of(f"redis://:right@{server.address}") as client:
        assert await client.ping()

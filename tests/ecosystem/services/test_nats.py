"""`nats-py` on Epicycle: subjects, queue groups, request and reply, JetStream, a server that comes back."""

# Imports follow what decides whether they are there.
# ruff: noqa: E402
import asyncio
import contextlib

import pytest

nats_client = pytest.importorskip("nats", reason="nats-py: pip install -r requirements/ecosystem.txt")

from nats.errors import Error, NoRespondersError, NoServersError
from nats.errors import TimeoutError as NatsTimeoutError


@contextlib.asynccontextmanager
async def client_of(url, **options):
    client = await nats_client.connect(url, **({"allow_reconnect": False} | options))
    try:
        yield client
    finally:
        if not client.is_closed:
            await client.close()


async def test_a_wildcard_hears_all_in_order(nats, name):
    async with client_of(nats.url) as client:
        subscription = await client.subscribe(f"{name}.*")
        for number in range(500):
            await client.publish(f"{name}.{number % 3}", b"%d" % number)
        heard = [int((await subscription.next_msg(timeout=30)).data) for _ in range(500)]
    assert heard == list(range(500))


async def test_a_queue_group_shares_the_messages(nats, name):
    async with client_of(nats.url) as client, client_of(nats.url) as other:
        taken, done = [], asyncio.Event()

        async def take(message):
            taken.append(int(message.data))
            if len(taken) == 200:
                done.set()

        for each in (client, client, other):
            await each.subscribe(name, queue="workers", cb=take)
            await each.flush()
        for number in range(200):
            await client.publish(name, b"%d" % number)
        await done.wait()
    assert sorted(taken) == list(range(200))


async def test_requests_overlap_and_nobody_there_is_an_error(nats, name):
    async with client_of(nats.url) as server, client_of(nats.url) as client:

        async def answer(message):
            await message.respond(message.data * 2)

        await server.subscribe(name, cb=answer)
        await server.flush()
        replies = await asyncio.gather(*(client.request(name, b"%d" % n, timeout=30) for n in range(100)))
        assert [reply.data for reply in replies] == [b"%d" % n * 2 for n in range(100)]
        with pytest.raises(NoRespondersError):
            await client.request(f"{name}.nobody", b"", timeout=30)


async def test_a_stream_keeps_messages_until_they_are_acknowledged(private):
    server = private("nats", "-js")
    async with client_of(server.address) as client:
        stream = client.jetstream()
        await stream.add_stream(name="work", subjects=["work.*"], storage="memory")
        for number in range(20):
            assert (await stream.publish("work.item", b"%d" % number)).seq == number + 1
        pulling = await stream.pull_subscribe("work.item", durable="worker")
        first = await pulling.fetch(5, timeout=30)
        await first[0].nak()
        for message in first[1:]:
            await message.ack_sync()
        again = []
        while len(again) < 16:
            for message in await pulling.fetch(16, timeout=30):
                again.append(int(message.data))
                await message.ack_sync()
        assert sorted(again) == [0, *range(5, 20)]
        with pytest.raises(NatsTimeoutError):
            await pulling.fetch(1, timeout=0.1)


async def test_a_client_comes_back_with_its_subscriptions_after_a_restart(private):
    server = private("nats")
    gone, back = asyncio.Event(), asyncio.Event()

    async def on_disconnect():
        gone.set()

    async def on_reconnect():
        back.set()

    async def on_error(error):
        pass

    options = {"allow_reconnect": True, "reconnect_time_wait": 0.05, "max_reconnect_attempts": -1}
    async with client_of(
        server.address,
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
        error_cb=on_error,
        **options,
    ) as client:
        subscription = await client.subscribe("news")
        await client.publish("news", b"before")
        assert (await subscription.next_msg(timeout=30)).data == b"before"
        server.kill()
        await gone.wait()
        await asyncio.to_thread(server.start)
        await back.wait()
        await client.publish("news", b"after")
        assert (await subscription.next_msg(timeout=30)).data == b"after"


async def test_a_server_that_dies_closes_a_client_that_may_not_reconnect(private):
    server = private("nats")
    closed = asyncio.Event()

    async def on_close():
        closed.set()

    async def on_error(error):
        pass

    async with client_of(server.address, closed_cb=on_close, error_cb=on_error) as client:
        server.kill()
        await closed.wait()
        with pytest.raises(Error):
            await client.publish("news", b"nobody")


# On any loop: nats-py does not close the connection of a login that was refused.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
async def test_a_wrong_password_is_refused(private):
    server = private("nats", "--user", "reader", "--pass", "right")

    async def on_error(error):
        pass

    with pytest.raises((Error, NoServersError), match="(?i)authorization"):
        async with client_of(f"nats://reader:wrong@{server.address}", error_cb=on_error):
            pass
    async with client_of(f"nats://reader:right@{server.address}") as client:
        await client.flush()

"""The older `aioamqp` on Epicycle: its last release is of 2022, and runs unchanged, without `--legacy`."""

# Imports follow what decides whether they are there.
# ruff: noqa: E402
import asyncio
import contextlib

import pytest
from passage import Passage

aioamqp = pytest.importorskip("aioamqp", reason="aioamqp: pip install -r requirements/ecosystem.txt")

from aioamqp.exceptions import AioamqpException, AmqpClosedConnection


@contextlib.asynccontextmanager
async def channel_of(url):
    transport, protocol = await aioamqp.from_url(url)
    try:
        yield await protocol.channel()
    finally:
        await protocol.close()
        transport.close()


async def consume(channel, name):
    received = asyncio.Queue()

    async def take(channel, body, envelope, properties):
        received.put_nowait((body, envelope))

    await channel.basic_consume(take, queue_name=name)
    return received


async def test_messages_come_in_order_and_are_acknowledged(rabbitmq, name):
    async with channel_of(rabbitmq.url) as channel:
        await channel.queue_declare(name, exclusive=True)
        for number in range(100):
            await channel.publish(b"%d" % number, "", name)
        received = await consume(channel, name)
        for number in range(100):
            body, envelope = await received.get()
            assert int(body) == number
            await channel.basic_client_ack(envelope.delivery_tag)


async def test_every_publication_is_confirmed(rabbitmq, name):
    async with channel_of(rabbitmq.url) as channel:
        await channel.queue_declare(name, exclusive=True)
        await channel.confirm_select()
        for number in range(50):
            await channel.publish(b"%d" % number, "", name)
        declared = await channel.queue_declare(name, passive=True)
        assert declared["message_count"] == 50


async def test_no_more_than_the_prefetch_is_in_hand(rabbitmq, name):
    async with channel_of(rabbitmq.url) as channel:
        await channel.queue_declare(name, exclusive=True)
        await channel.basic_qos(prefetch_count=3)
        for number in range(12):
            await channel.publish(b"%d" % number, "", name)
        received = await consume(channel, name)
        for number in range(12):
            body, envelope = await received.get()
            assert int(body) == number
            assert received.qsize() <= 2
            await channel.basic_client_ack(envelope.delivery_tag)


async def test_a_lost_connection_is_told_and_a_new_one_works(rabbitmq, name):
    lost = asyncio.get_running_loop().create_future()

    async def on_error(error):
        if not lost.done():
            lost.set_result(error)

    with Passage(rabbitmq) as way:
        transport, protocol = await aioamqp.from_url(rabbitmq.at(way.address), on_error=on_error)
        await protocol.channel()
        way.shut()
        assert isinstance(await lost, AmqpClosedConnection)
        await protocol.wait_closed()
        transport.close()
        with pytest.raises(OSError):
            await aioamqp.from_url(rabbitmq.at(way.address))
        way.open()
        async with channel_of(rabbitmq.at(way.address)) as channel:
            await channel.queue_declare(name, exclusive=True)


async def test_a_wrong_password_is_refused(rabbitmq):
    with pytest.raises(AioamqpException):
        await aioamqp.from_url(rabbitmq.with_password("wrong"))

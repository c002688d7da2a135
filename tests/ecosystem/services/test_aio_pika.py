"""`aio-pika` on Epicycle against RabbitMQ: confirms, acknowledgements, prefetch, a robust connection."""

# Imports follow what decides whether they are there.
# ruff: noqa: E402
import asyncio
import contextlib

import pytest
from on_epicycle import until
from passage import Passage

aio_pika = pytest.importorskip("aio_pika", reason="aio-pika: pip install -r requirements/ecosystem.txt")

from aio_pika import DeliveryMode, Message
from aio_pika.exceptions import AMQPConnectionError, AMQPError, DeliveryError, ProbableAuthenticationError


@contextlib.asynccontextmanager
async def queue_of(service, name, **options):
    """A channel, and a queue of that name which ends with the connection."""
    connection = await aio_pika.connect(service.url)
    async with connection, connection.channel(**options) as channel:
        yield channel, await channel.declare_queue(name, exclusive=True)


async def test_messages_come_in_order_and_are_acknowledged(rabbitmq, name):
    async with queue_of(rabbitmq, name) as (channel, queue):
        for number in range(200):
            await channel.default_exchange.publish(Message(b"%d" % number), routing_key=name)
        bodies = []
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    bodies.append(int(message.body))
                if len(bodies) == 200:
                    break
        await until(lambda: _is_empty(channel, name))
    assert bodies == list(range(200))


async def _is_empty(channel, name):
    return (await channel.declare_queue(name, passive=True)).declaration_result.message_count == 0


async def test_every_publication_is_confirmed_and_a_lost_one_is_an_error(rabbitmq, name):
    async with queue_of(rabbitmq, name, publisher_confirms=True, on_return_raises=True) as (channel, _):
        message = Message(b"kept", delivery_mode=DeliveryMode.PERSISTENT)
        confirmed = await asyncio.gather(
            *(channel.default_exchange.publish(message, routing_key=name) for _ in range(100))
        )
        assert {type(answer).__name__ for answer in confirmed} == {"Ack"}
        with pytest.raises(DeliveryError):
            await channel.default_exchange.publish(message, routing_key=f"{name}_nowhere", mandatory=True)


async def test_no_more_than_the_prefetch_is_in_hand(rabbitmq, name):
    async with queue_of(rabbitmq, name) as (channel, queue):
        await channel.set_qos(prefetch_count=3)
        for number in range(12):
            await channel.default_exchange.publish(Message(b"%d" % number), routing_key=name)
        in_hand = asyncio.Queue()
        await queue.consume(in_hand.put)
        for number in range(12):
            # Nine of them have passed the broker's window only as earlier ones were acknowledged.
            message = await in_hand.get()
            assert int(message.body) == number
            assert in_hand.qsize() <= 2
            await message.ack()


async def test_a_rejected_message_comes_again_and_then_is_dead(rabbitmq, name):
    async with queue_of(rabbitmq, f"{name}_dead") as (channel, dead):
        queue = await channel.declare_queue(
            name,
            exclusive=True,
            arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{name}_dead"},
        )
        await channel.default_exchange.publish(Message(b"poison"), routing_key=name)
        first = await _take(queue)
        assert not first.redelivered
        await first.reject(requeue=True)
        second = await _take(queue)
        assert second.redelivered and second.body == b"poison"
        await second.reject(requeue=False)
        buried = await _take(dead)
        await buried.ack()
        assert buried.body == b"poison"


async def _take(queue):
    """The next message, waiting for it, and no further one."""
    async with queue.iterator() as messages:
        return await anext(messages)


async def test_a_fanout_reaches_every_queue(rabbitmq, name):
    async with queue_of(rabbitmq, f"{name}_0") as (channel, first):
        exchange = await channel.declare_exchange(name, aio_pika.ExchangeType.FANOUT, auto_delete=True)
        queues = [first, *[await channel.declare_queue(f"{name}_{n}", exclusive=True) for n in (1, 2)]]
        for queue in queues:
            await queue.bind(exchange)
        await exchange.publish(Message(b"to all"), routing_key="")
        for queue in queues:
            message = await queue.get(timeout=30)
            await message.ack()
            assert message.body == b"to all"


async def test_a_message_of_megabytes_comes_whole(rabbitmq, name):
    body = bytes(range(256)) * 4096 * 4
    async with queue_of(rabbitmq, name) as (channel, queue):
        await channel.default_exchange.publish(Message(body), routing_key=name)
        message = await queue.get(timeout=30)
        await message.ack()
        assert message.body == body


async def test_a_robust_connection_comes_back_with_its_consumer(rabbitmq, name):
    with Passage(rabbitmq) as way:
        connection = await aio_pika.connect_robust(rabbitmq.at(way.address), reconnect_interval=0.05)
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=1)
            queue = await channel.declare_queue(name, auto_delete=True)
            back = asyncio.Event()
            connection.reconnect_callbacks.add(lambda *_: back.set())
            received = asyncio.Queue()

            async def take(message):
                async with message.process():
                    received.put_nowait(message.body)

            await queue.consume(take)
            await channel.default_exchange.publish(Message(b"before"), routing_key=name)
            assert await received.get() == b"before"
            way.shut()
            await until(lambda: _closed(connection))
            way.open()
            await back.wait()
            await channel.default_exchange.publish(Message(b"after"), routing_key=name)
            assert await received.get() == b"after"
            await queue.delete(if_unused=False, if_empty=False)
    assert way.accepted >= 2


async def _closed(connection):
    return not connection.connected.is_set()


async def test_a_connection_that_dies_in_mid_request_fails_the_request(rabbitmq, name):
    with Passage(rabbitmq) as way:
        connection = await aio_pika.connect(rabbitmq.at(way.address))
        channel = await connection.channel()
        way.hold()
        asking = asyncio.create_task(channel.declare_queue(name, exclusive=True))
        await asyncio.to_thread(way.cut_in_mid_request)
        with pytest.raises((AMQPError, asyncio.CancelledError)):
            await asking
        await connection.close()
        with pytest.raises(AMQPConnectionError):
            await aio_pika.connect(rabbitmq.at(way.address))


async def test_a_wrong_password_is_refused(rabbitmq):
    with pytest.raises(ProbableAuthenticationError):
        await aio_pika.connect(rabbitmq.with_password("wrong"))

"""`aiomqtt` on Epicycle: it drives paho-mqtt through `add_reader`, `add_writer` and `call_soon_threadsafe`."""

import asyncio

import pytest
from passage import Passage

aiomqtt = pytest.importorskip("aiomqtt", reason="aiomqtt: pip install -r requirements/ecosystem.txt")


def client_of(service, **options):
    """A client of a `Service`, a `PrivateServer` or a `Passage`."""
    return aiomqtt.Client(getattr(service, "host", "127.0.0.1"), service.port, timeout=30, **options)


async def take(client, count):
    received = []
    async for message in client.messages:
        received.append(message.payload)
        if len(received) == count:
            return received


@pytest.mark.parametrize("quality", [0, 1, 2])
async def test_a_subscriber_hears_all_in_order(mqtt, name, quality):
    async with client_of(mqtt) as listener, client_of(mqtt) as speaker:
        await listener.subscribe(f"{name}/+", qos=quality)
        hearing = asyncio.create_task(take(listener, 60))
        for number in range(60):
            await speaker.publish(f"{name}/{number % 3}", b"%d" % number, qos=quality)
        assert await hearing == [b"%d" % number for number in range(60)]


async def test_a_retained_message_greets_the_next_subscriber(mqtt, name):
    async with client_of(mqtt) as client:
        await client.publish(name, b"kept", qos=1, retain=True)
    async with client_of(mqtt) as client:
        await client.subscribe(name)
        assert await take(client, 1) == [b"kept"]
        await client.publish(name, b"", qos=1, retain=True)


async def test_a_will_is_published_for_a_client_that_is_cut_off(mqtt, name):
    async with client_of(mqtt) as listener:
        await listener.subscribe(name, qos=1)
        with Passage(mqtt) as way:
            will = aiomqtt.Will(name, b"gone", qos=1)
            with pytest.raises(aiomqtt.MqttError):
                async with client_of(way, will=will) as dying:
                    hearing = asyncio.create_task(take(dying, 1))
                    way.cut()
                    await hearing
        assert await take(listener, 1) == [b"gone"]


async def test_a_payload_of_megabytes_comes_whole(mqtt, name):
    payload = bytes(range(256)) * 4096 * 4
    async with client_of(mqtt) as listener, client_of(mqtt) as speaker:
        await listener.subscribe(name, qos=1)
        await speaker.publish(name, payload, qos=1)
        assert await take(listener, 1) == [payload]


async def test_a_broker_that_dies_is_an_error_and_the_next_client_finds_it_again(private):
    broker = private("mosquitto")
    with pytest.raises(aiomqtt.MqttError):
        async with client_of(broker) as client:
            await client.subscribe("news")
            hearing = asyncio.create_task(take(client, 1))
            broker.kill()
            await hearing
    with pytest.raises(aiomqtt.MqttError):
        async with client_of(broker):
            pass
    await asyncio.to_thread(broker.start)
    async with client_of(broker) as client:
        await client.subscribe("news", qos=1)
        await client.publish("news", b"again", qos=1)
        assert await take(client, 1) == [b"again"]


async def test_a_wrong_password_is_refused(private):
    broker = private("mosquitto", password="right")
    with pytest.raises(aiomqtt.MqttError):
        async with client_of(broker, username="reader", password="wrong"):
            pass
    async with client_of(broker, username="reader", password="right") as client:
        await client.publish("news", b"welcome", qos=1)


async def test_a_cancelled_listener_leaves_the_client_usable(mqtt, name):
    async with client_of(mqtt) as client:
        await client.subscribe(name, qos=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await take(client, 1)
        await client.publish(name, b"still here", qos=1)
        assert await take(client, 1) == [b"still here"]

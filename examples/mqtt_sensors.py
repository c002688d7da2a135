"""Sensors over MQTT: readings with quality of service 1, a retained state, and a will for who is cut off.

epicycle run examples/mqtt_sensors.py --sensors 5 --readings 20
"""

import argparse
import asyncio
import os
import time
from collections import Counter
from urllib.parse import unquote

import aiomqtt
from reaching import address, reach, run, service_arguments


def client_of(url: str, will: aiomqtt.Will | None = None) -> aiomqtt.Client:
    where = address(url, "mqtt")
    return aiomqtt.Client(
        where.hostname or "",
        where.port or 1883,
        username=unquote(where.username) if where.username else None,
        password=unquote(where.password) if where.password else None,
        will=will,
        timeout=10,
    )


def is_down(error: Exception) -> bool:
    """Whether the broker may be there later; a refused login stays refused."""
    code = getattr(error, "rc", None)
    return isinstance(error, aiomqtt.MqttError) and not getattr(code, "is_failure", False)


async def sense(args: argparse.Namespace, topic: str, sensor: int) -> None:
    """Publish readings, and at the end a state that a later visitor still finds."""
    mine = f"{topic}/{sensor}"
    task = asyncio.current_task()
    assert task is not None
    async with client_of(args.url, will=aiomqtt.Will(f"{mine}/state", b"lost", qos=1)) as client:
        for number in range(args.readings):
            await client.publish(f"{mine}/reading", f"{sensor * 100 + number}", qos=1)
            # Before Python 3.12 `wait_for`, by which the library waits, returns what came at the moment of a
            # cancellation and forgets that one.
            if task.cancelling():
                raise asyncio.CancelledError
        await client.publish(f"{mine}/state", b"done", qos=1, retain=True)


async def collect(client: aiomqtt.Client, sensors: int) -> tuple[Counter[str], Counter[str]]:
    """Readings and states by sensor, until every sensor has said its state."""
    readings: Counter[str] = Counter()
    states: Counter[str] = Counter()
    async for message in client.messages:
        *_, sensor, kind = str(message.topic).split("/")
        if kind == "reading":
            readings[sensor] += 1
            if readings.total() % 50 == 1:
                print(f"{readings.total()} readings", flush=True)
        else:
            states[bytes(message.payload).decode()] += 1
            if states.total() == sensors:
                break
    return readings, states


async def main(args: argparse.Namespace) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    where = address(args.url, "mqtt")
    topic = f"mqtt_sensors/{os.getpid()}"
    client = client_of(args.url)
    what = f"the MQTT broker at {where.hostname}:{where.port or 1883}"
    await reach(what, client.__aenter__, args.patience, is_down)
    try:
        await client.subscribe(f"{topic}/#", qos=1)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            collecting = group.create_task(collect(client, args.sensors))
            for sensor in range(args.sensors):
                group.create_task(sense(args, topic, sensor))
        readings, states = collecting.result()
        print(f"{readings.total()} readings of {len(readings)} sensors, {time.perf_counter() - began:.2f} s")
        print("states:", ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
        for sensor in range(args.sensors):
            # An empty message takes back what was retained.
            await client.publish(f"{topic}/{sensor}/state", b"", qos=1, retain=True)
    finally:
        await client.__aexit__(None, None, None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sensors and a collector over MQTT.")
    service_arguments(parser, "EPICYCLE_MQTT_URL", "mqtt://127.0.0.1:1883")
    parser.add_argument("--sensors", type=int, default=4, help="how many (default: 4)")
    parser.add_argument("--readings", type=int, default=50, help="of each (default: 50)")
    args = parser.parse_args()
    run("mqtt_sensors", args, main(args), aiomqtt.MqttError, OSError)

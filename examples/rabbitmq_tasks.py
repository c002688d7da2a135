"""Tasks over RabbitMQ: confirmed publications, acknowledgements after the work, a prefetch that shares fairly.

A task that fails comes again; one that fails again is dead and counted.

    epicycle run examples/rabbitmq_tasks.py --tasks 200 --workers 4
"""

import argparse
import asyncio
import os
import time
from typing import Any

import aio_pika
from aio_pika.exceptions import AMQPError, ProbableAuthenticationError
from reaching import ServiceError, address, reach, run, service_arguments, unless_lost


async def main(args: argparse.Namespace) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    where = address(args.url, "amqp", "amqps")

    def is_down(error: Exception) -> bool:
        down = isinstance(error, (OSError, AMQPError))
        return down and not isinstance(error, ProbableAuthenticationError)

    what = f"RabbitMQ at {where.hostname}:{where.port or 5672}"
    connection: Any = await reach(what, lambda: aio_pika.connect(args.url), args.patience, is_down)
    lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def on_close(_: Any, error: BaseException | None) -> None:
        if not lost.done():
            lost.set_result(ServiceError("lost the service", error or "the connection was closed"))

    connection.close_callbacks.add(on_close)
    async with connection:
        # A consumer hears nothing of a connection that ends.
        await unless_lost(hand_out_and_work(connection, args), lost)


async def hand_out_and_work(connection: Any, args: argparse.Namespace) -> None:
    name = f"rabbitmq_tasks_{os.getpid()}"
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    await channel.declare_queue(name, exclusive=True)
    done: dict[int, int] = {}
    again = dead = 0
    finished = asyncio.Event()

    async def work(message: Any, worker: int) -> None:
        nonlocal again, dead
        number = int(message.body)
        if number % 50 == 13 and not message.redelivered:
            again += 1
            await message.reject(requeue=True)
            return
        if number % 50 == 26:
            dead += 1
            await message.reject(requeue=False)
        else:
            await message.ack()
            done[worker] = done.get(worker, 0) + 1
        if sum(done.values()) + dead == args.tasks:
            finished.set()

    for worker in range(args.workers):
        # A channel each: the prefetch is the worker's own.
        own = await connection.channel()
        await own.set_qos(prefetch_count=args.prefetch)
        queue = await own.get_queue(name)
        await queue.consume(lambda message, worker=worker: work(message, worker))

    began = time.perf_counter()
    for number in range(args.tasks):
        message = aio_pika.Message(b"%d" % number)
        await channel.default_exchange.publish(message, routing_key=name, mandatory=True)
        if number % 100 == 0:
            print(f"confirmed {number + 1}", flush=True)
    await finished.wait()
    print(f"shares: {', '.join(str(done.get(worker, 0)) for worker in range(args.workers))}")
    print(
        f"{sum(done.values())} done, {again} came again, {dead} dead, {time.perf_counter() - began:.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Workers that share tasks over RabbitMQ.")
    service_arguments(parser, "EPICYCLE_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/")
    parser.add_argument("--tasks", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--workers", type=int, default=4, help="how many (default: 4)")
    parser.add_argument("--prefetch", type=int, default=5, help="messages in a worker's hands (default: 5)")
    args = parser.parse_args()
    run("rabbitmq_tasks", args, main(args), AMQPError, OSError)

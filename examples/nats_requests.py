"""Requests over NATS: a group of servers behind one subject, and a client with many questions at once.

epicycle run examples/nats_requests.py --requests 1000 --servers 3
"""

import argparse
import asyncio
import os
import time
from collections import Counter
from typing import Any

import nats
from nats.errors import Error
from reaching import ServiceError, address, reach, run, service_arguments, unless_lost


async def main(args: argparse.Namespace) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    where = address(args.url, "nats", "tls")
    subject = f"nats_requests.{os.getpid()}"
    lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    told: list[Exception] = []

    async def on_error(error: Exception) -> None:
        # nats-py would log it; what `connect` raises says less.
        told.append(error)

    async def on_closed() -> None:
        if not lost.done():
            lost.set_result(
                ServiceError("lost the service", told[-1] if told else "the connection was closed")
            )

    async def connect() -> Any:
        try:
            return await nats.connect(
                args.url,
                allow_reconnect=False,
                # Without a limit the first connect tries for ever, whatever `allow_reconnect` says.
                max_reconnect_attempts=1,
                reconnect_time_wait=0.05,
                connect_timeout=5,
                error_cb=on_error,
                closed_cb=on_closed,
            )
        except Error as error:
            raise (told[-1] if told else error) from error

    def is_down(error: Exception) -> bool:
        return isinstance(error, OSError)

    what = f"NATS at {where.hostname}:{where.port or 4222}"
    client = await reach(what, connect, args.patience, is_down)
    try:
        # A reply that never comes is only a time-out; that the connection has ended is known here at once.
        await unless_lost(ask(client, subject, args), lost)
    finally:
        if not client.is_closed:
            await client.close()


async def ask(client: Any, subject: str, args: argparse.Namespace) -> None:
    shares: Counter[int] = Counter()

    async def serve(server: int) -> None:
        async def answer(message: Any) -> None:
            shares[server] += 1
            await message.respond(b"%d" % (int(message.data) ** 2))

        await client.subscribe(subject, queue="servers", cb=answer)

    for server in range(args.servers):
        await serve(server)
    await client.flush()

    began = time.perf_counter()
    total = 0
    for first in range(0, args.requests, 100):
        numbers = range(first, min(first + 100, args.requests))
        replies = await asyncio.gather(*(client.request(subject, b"%d" % n, timeout=30) for n in numbers))
        total += sum(int(reply.data) for reply in replies)
        print(f"{numbers.stop} answers", flush=True)
    print(f"shares: {', '.join(str(shares[server]) for server in range(args.servers))}")
    print(f"{args.requests} requests, sum {total}, {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A client and a group of servers over NATS.")
    service_arguments(parser, "EPICYCLE_NATS_URL", "nats://127.0.0.1:4222")
    parser.add_argument("--requests", type=int, default=500, help="how many (default: 500)")
    parser.add_argument("--servers", type=int, default=3, help="how many (default: 3)")
    args = parser.parse_args()
    run("nats_requests", args, main(args), Error, OSError)

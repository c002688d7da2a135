"""Jobs over Redis: a list with blocking pops, a pipeline, publish and subscribe, and a stream of results.

Workers take jobs from a list and write their results to a stream, which may be in another database or on
another server; a listener hears on a channel how far they are.

    epicycle run examples/redis_jobs.py --jobs 1000 --results-url redis://127.0.0.1:6379/1
"""

import argparse
import asyncio
import contextlib
import os
import time
from collections.abc import Coroutine
from typing import Any

from reaching import ServiceError, address, reach, run, service_arguments
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError


async def opened(url: str, patience: float) -> "Redis":
    """A client whose server answers."""
    where = address(url, "redis", "rediss")
    try:
        client = Redis.from_url(url, decode_responses=True)
    except ValueError as error:
        raise ServiceError(f"'{url}'", error) from error

    def is_down(error: Exception) -> bool:
        return isinstance(error, RedisError) and not isinstance(error, AuthenticationError)

    try:
        await reach(f"Redis at {where.hostname}:{where.port or 6379}", client.ping, patience, is_down)
    except BaseException:
        await client.aclose()
        raise
    return client


async def work(jobs: "Redis", results: "Redis", key: str) -> int:
    """Square numbers until there is no job left; how many they were."""
    done = 0
    while True:
        _, number = await jobs.blpop([f"{key}:jobs"])
        if number == "stop":
            return done
        async with results.pipeline() as pipe:
            pipe.xadd(f"{key}:results", {"number": number, "square": int(number) ** 2})
            await pipe.execute()
        done += 1
        await jobs.publish(f"{key}:progress", number)


async def listen(jobs: "Redis", key: str, count: int, ready: asyncio.Event) -> None:
    """Hear of `count` jobs; say so now and then."""
    async with jobs.pubsub(ignore_subscribe_messages=False) as subscriber:
        await subscriber.subscribe(f"{key}:progress")
        heard = 0
        async for message in subscriber.listen():
            if message["type"] == "subscribe":
                ready.set()
                continue
            heard += 1
            if heard % 100 == 0 or heard == count:
                print(f"heard of {heard} jobs", flush=True)
            if heard == count:
                return


async def feed(jobs: "Redis", key: str, count: int, workers: int) -> None:
    """Put all jobs into the list by one pipeline, and behind them a stop for each worker."""
    async with jobs.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.rpush(f"{key}:jobs", number)
        for _ in range(workers):
            pipe.rpush(f"{key}:jobs", "stop")
        await pipe.execute()


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """What a task group does, but cancels until it is heard: redis-py 8.1 loses some cancellations, on any loop."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        while left := [task for task in tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.1)
        for task in tasks:
            if not task.cancelled():
                task.exception()


async def main(args: argparse.Namespace) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    key = f"redis_jobs:{os.getpid()}"
    async with (
        await opened(args.url, args.patience) as jobs,
        await opened(args.results_url or args.url, args.patience) as results,
    ):
        began = time.perf_counter()
        ready = asyncio.Event()

        async def everything() -> list[Any]:
            await ready.wait()
            return await together(
                feed(jobs, key, args.jobs, args.workers),
                *(work(jobs, results, key) for _ in range(args.workers)),
            )

        try:
            _, (_, *shares) = await together(listen(jobs, key, args.jobs, ready), everything())
            entries = await results.xrange(f"{key}:results")
            total = sum(int(fields["square"]) for _, fields in entries)
            print(f"shares: {', '.join(map(str, shares))}")
            print(f"{len(entries)} results, sum {total}, {time.perf_counter() - began:.2f} s")
        finally:
            await forget(jobs, f"{key}:jobs")
            await forget(results, f"{key}:results")


async def forget(client: "Redis", key: str) -> None:
    """Delete a key where the server still lets us."""
    with contextlib.suppress(RedisError):
        await client.delete(key)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Workers that share jobs over Redis.")
    service_arguments(parser, "EPICYCLE_REDIS_URL", "redis://127.0.0.1:6379/0")
    parser.add_argument(
        "--results-url", help="another database or server for the results (default: the same)"
    )
    parser.add_argument("--jobs", type=int, default=500, help="how many (default: 500)")
    parser.add_argument("--workers", type=int, default=4, help="how many (default: 4)")
    args = parser.parse_args()
    run("redis_jobs", args, main(args), RedisError, OSError)

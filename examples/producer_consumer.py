"""Producers and consumers that share a bounded `asyncio.Queue`.

The queue is small, so a producer that is ahead waits in `put`: that is the back-pressure. `join` returns
once every item has been marked done, and only then are the consumers, which never end by themselves,
cancelled.

    epicycle run examples/producer_consumer.py --producers 3 --consumers 2 --items 5
"""

import argparse
import asyncio
import sys
from collections import Counter


async def produce(name: str, queue: asyncio.Queue[str], items: int) -> None:
    for number in range(1, items + 1):
        await queue.put(f"{name}-item-{number}")
        print(f"{name} put item {number}")


async def consume(name: str, queue: asyncio.Queue[str], eaten: Counter[str]) -> None:
    while True:
        item = await queue.get()
        try:
            await asyncio.sleep(0.01)
            eaten[item] += 1
            print(f"{name} took {item}")
        finally:
            queue.task_done()


async def main(producers: int, consumers: int, items: int, size: int) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    queue: asyncio.Queue[str] = asyncio.Queue(maxsize=size)
    eaten: Counter[str] = Counter()

    workers = [asyncio.create_task(consume(f"consumer-{n}", queue, eaten)) for n in range(1, consumers + 1)]
    async with asyncio.TaskGroup() as group:
        for n in range(1, producers + 1):
            group.create_task(produce(f"producer-{n}", queue, items))
    await queue.join()
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)

    print(f"consumed {eaten.total()} items, {len(eaten)} different, {queue.qsize()} left")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Producers and consumers that share a queue.")
    parser.add_argument("--producers", type=positive, default=3)
    parser.add_argument("--consumers", type=positive, default=2)
    parser.add_argument("--items", type=positive, default=5, help="items of each producer (default: 5)")
    parser.add_argument("--size", type=positive, default=2, help="places in the queue (default: 2)")
    args = parser.parse_args()
    try:
        asyncio.run(main(args.producers, args.consumers, args.items, args.size))
    except KeyboardInterrupt:
        sys.exit(130)

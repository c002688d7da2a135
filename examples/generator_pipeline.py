"""Producers and consumers that take turns through generators with `send`.

First with no loop at all: a plain generator consumes what `send` hands it and answers with what it yields.
Then the same consumer as an asynchronous generator driven with `asend` by two producers on the loop, each
with its own.

    epicycle run examples/generator_pipeline.py
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Generator


def consumer() -> Generator[str, int, None]:
    answer = "ready"
    try:
        while True:
            number = yield answer
            answer = f"{number} ok"
    finally:
        print("plain consumer closed")


def produce(receiver: Generator[str, int, None], count: int) -> None:
    print(f"plain consumer is {next(receiver)}")
    for number in range(1, count + 1):
        print(f"plain producer sent {number}, heard {receiver.send(number)}")
    receiver.close()


async def async_consumer(name: str) -> AsyncGenerator[str, int]:
    answer = f"{name} ready"
    try:
        while True:
            number = yield answer
            await asyncio.sleep(0.01)
            answer = f"{number} ok"
    finally:
        print(f"{name} consumer closed")


async def async_produce(name: str, count: int) -> int:
    """Send 1 to `count`; return how many answers came."""
    receiver = async_consumer(name)
    print(await anext(receiver))
    answers = [await receiver.asend(number) for number in range(1, count + 1)]
    await receiver.aclose()
    print(f"{name} producer heard {', '.join(answers)}")
    return len(answers)


async def main() -> None:
    print("loop:", type(asyncio.get_running_loop()))
    heard = await asyncio.gather(async_produce("left", 3), async_produce("right", 4))
    print(f"answers: {sum(heard)}")


if __name__ == "__main__":
    produce(consumer(), 5)
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)

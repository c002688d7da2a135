"""How coroutines came to be what they are: from `yield`, `send` and `yield from` to `async` and `await`.

Each chapter computes a running average of the same numbers, in the way of its day.

    epicycle run examples/coroutine_history.py
"""

import asyncio
import sys
import types
from collections import deque
from collections.abc import Awaitable, Generator, Iterator
from typing import Any

NUMBERS = (10.0, 20.0, 60.0)


def averages(numbers: tuple[float, ...]) -> Iterator[float]:
    """2001, PEP 255: `yield` hands values out, and that is all it does."""
    total = 0.0
    for count, number in enumerate(numbers, start=1):
        total += number
        yield total / count


def averager() -> Generator[float, float, str]:
    """2005, PEP 342: `yield` is an expression, and `send` and `throw` reach into the generator."""
    total, count, average = 0.0, 0, 0.0
    while True:
        try:
            total += yield average
        except LookupError:
            return f"{count} numbers, average {average:g}"
        count += 1
        average = total / count


def delegate(results: list[str]) -> Generator[float, float, None]:
    """2009, PEP 380: `yield from` passes `send` and `throw` through, and gives what was returned."""
    results.append((yield from averager()))


class Trampoline:
    """What people wrote before asyncio: a loop that takes turns among generators, in a dozen lines."""

    def __init__(self) -> None:
        self.ready: deque[tuple[str, Generator[None, None, str]]] = deque()

    def spawn(self, name: str, steps: int) -> None:
        def job() -> Generator[None, None, str]:
            for step in range(1, steps + 1):
                print(f"  {name} step {step}")
                yield
            return f"{name} finished"

        self.ready.append((name, job()))

    def run(self) -> None:
        while self.ready:
            name, job = self.ready.popleft()
            try:
                next(job)
            except StopIteration as end:
                print(f"  {end.value}")
            else:
                self.ready.append((name, job))


@types.coroutine
def generator_based(number: float) -> Generator[Any, Any, float]:
    """2012, PEP 3156: asyncio's coroutines were generators, and waited with `yield from`."""
    yield from asyncio.sleep(0.001).__await__()
    return number


class Answer:
    """2015, PEP 492: anything with `__await__` can be awaited."""

    def __init__(self, number: float) -> None:
        self.number = number

    def __await__(self) -> Generator[Any, Any, float]:
        yield from asyncio.sleep(0.001).__await__()
        return self.number


async def native(number: float) -> float:
    """2015, PEP 492: `async def` and `await`; a coroutine is no longer a generator."""
    await asyncio.sleep(0.001)
    return number


async def average_of(*sources: Awaitable[float]) -> float:
    numbers = [await source for source in sources]
    return sum(numbers) / len(numbers)


async def main() -> None:
    print("5. async and await, over all three kinds")
    print("  loop:", type(asyncio.get_running_loop()))
    average = await average_of(generator_based(NUMBERS[0]), Answer(NUMBERS[1]), native(NUMBERS[2]))
    print(f"  average {average:g}")


if __name__ == "__main__":
    print("1. yield")
    print(" ", [f"{value:g}" for value in averages(NUMBERS)])

    print("2. send")
    receiver = averager()
    next(receiver)
    print(" ", [f"{receiver.send(number):g}" for number in NUMBERS])
    try:
        receiver.throw(LookupError())
    except StopIteration as end:
        print("  returned:", end.value)

    print("3. yield from")
    results: list[str] = []
    outer = delegate(results)
    next(outer)
    print(" ", [f"{outer.send(number):g}" for number in NUMBERS])
    try:
        outer.throw(LookupError())
    except StopIteration:
        print("  passed through:", results[0])

    print("4. a loop of one's own")
    trampoline = Trampoline()
    trampoline.spawn("left", 2)
    trampoline.spawn("right", 1)
    trampoline.run()

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)

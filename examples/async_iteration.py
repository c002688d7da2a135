"""Asynchronous iterators, generators, comprehensions and context managers.

Run it: `epicycle run examples/async_iteration.py`
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Self

kept: list[AsyncGenerator[int, None]] = []


class Countdown:
    """An asynchronous iterator written by hand: counts from `start` down to 1."""

    def __init__(self, start: int) -> None:
        self.left = start

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> int:
        if self.left == 0:
            raise StopAsyncIteration
        await asyncio.sleep(0.001)
        self.left -= 1
        return self.left + 1


async def ticks(count: int) -> AsyncGenerator[int, None]:
    """The same idea as a generator; it tidies up when it is closed early, too."""
    try:
        for number in range(count):
            await asyncio.sleep(0.001)
            yield number
    finally:
        await asyncio.sleep(0)
        print("  ticks closed")


class Connection:
    """An asynchronous context manager written by hand."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __aenter__(self) -> Self:
        await asyncio.sleep(0)
        print(f"  {self.name} open")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.sleep(0)
        print(f"  {self.name} closed" + (f" after {error!r}" if error else ""))


@contextlib.asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[str]:
    """The same idea as a generator."""
    print(f"  begin on {connection.name}")
    try:
        yield f"transaction on {connection.name}"
    except BaseException:
        print("  rolled back")
        raise
    print("  committed")


async def show_iteration() -> None:
    print("iterators and generators")
    print("  countdown:", [number async for number in Countdown(3)])
    async for number in ticks(2):
        print(f"  tick {number}")
    async with contextlib.aclosing(ticks(1000)) as endless:
        async for number in endless:
            if number == 1:
                break
    print("  left early at", number)


async def show_comprehensions() -> None:
    print("comprehensions")
    print("  list:", [number * number async for number in ticks(4) if number % 2])
    print("  set:", sorted({number % 2 async for number in Countdown(5)}))
    print("  dict:", {number: chr(96 + number) async for number in Countdown(3)})
    print("  await inside:", [await asyncio.sleep(0.001, result=letter) for letter in "abc"])
    lazy = (number + 10 async for number in Countdown(2))
    print("  generator expression:", await anext(lazy), await anext(lazy), await anext(lazy, "end"))


async def show_context_managers() -> None:
    print("context managers")
    async with Connection("first") as first, transaction(first) as name:
        print(f"  inside {name}")
    try:
        async with Connection("second") as second, transaction(second):
            raise LookupError("no such row")
    except LookupError as error:
        print(f"  caught {error}")
    async with contextlib.AsyncExitStack() as stack:
        names = [(await stack.enter_async_context(Connection(f"stacked {n}"))).name for n in (1, 2)]
        print("  holding", names)


async def main() -> None:
    print("loop:", type(asyncio.get_running_loop()))
    await show_iteration()
    await show_comprehensions()
    await show_context_managers()

    # An iterator abandoned half way is closed by the loop when it shuts down.
    abandoned = ticks(1000)
    print("abandoned at", await anext(abandoned))
    kept.append(abandoned)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)

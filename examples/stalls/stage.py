"""What the programs of this folder share: a heartbeat that shows what it costs when the loop does not get on.

    epicycle run --watch examples/stalls/sleep.py            # what blocks the loop is said on standard error
    epicycle top sleep                                       # in another terminal: the same, live
    epicycle run --watch examples/stalls/sleep.py --cured    # how it ought to be written

Each program does what it should not do once a second, for ever or `--rounds N` times, and prints how late the
heartbeat was. Ctrl-C ends it.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

PAUSE = 1.0
BEAT = 0.05


class Heartbeat:
    """A task beside the others, like a client that waits for its answer; `late` is by how much it was late at worst."""

    def __init__(self) -> None:
        self.late = 0.0

    async def beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT
            await asyncio.sleep(BEAT)
            self.late = max(self.late, loop.time() - due)


def letters_for(search: Callable[[int], object]) -> int:
    """How many letters a search needs that doubles its time with each, to take one to two seconds on this machine."""
    letters = 16
    while True:
        began = time.perf_counter()
        search(letters)
        if time.perf_counter() - began > 1 / 16:
            return letters + 4
        letters += 1


async def perform(act: Callable[[], Awaitable[object]], rounds: int | None) -> None:
    heartbeat = Heartbeat()
    beating = asyncio.create_task(heartbeat.beat(), name="heartbeat")
    number = 0
    while rounds is None or number < rounds:
        number += 1
        await asyncio.sleep(PAUSE)
        heartbeat.late = 0.0
        # A task of its own, so that it has a name wherever tasks are listed.
        await asyncio.create_task(act(), name=f"round {number}")  # type: ignore[arg-type]
        await asyncio.sleep(2 * BEAT)
        print(f"round {number}: the heartbeat was {heartbeat.late:.2f} s late", flush=True)
    beating.cancel()


def play(trouble: Callable[[], Awaitable[object]], cure: Callable[[], Awaitable[object]]) -> None:
    """Run the trouble again and again, or with `--cured` what does the same without it."""
    parser = argparse.ArgumentParser(description=(sys.modules["__main__"].__doc__ or "").partition("\n")[0])
    parser.add_argument("--cured", action="store_true", help="do it as it should be done")
    parser.add_argument("--rounds", type=int, metavar="N", help="end after N times")
    args = parser.parse_args()
    try:
        asyncio.run(perform(cure if args.cured else trouble, args.rounds))
    except KeyboardInterrupt:
        sys.exit(130)

"""`time.sleep` in a coroutine: nothing else runs meanwhile.

The watcher says `a blocking system call: clock_nanosleep` and names the line in `poll`, while it sleeps.
"""

import asyncio
import time

from stage import play


async def poll() -> None:
    time.sleep(2)


async def poll_cured() -> None:
    await asyncio.sleep(2)


if __name__ == "__main__":
    play(poll, poll_cured)

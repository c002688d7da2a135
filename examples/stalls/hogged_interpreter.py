"""Native code in another thread that keeps the interpreter to itself: a thread is no cure for everything.

The loop's own code is innocent: where it stands is where it could not get the interpreter back. The watcher says `the
interpreter is held elsewhere`, and by which thread.
"""

import asyncio
import re
from concurrent.futures import ProcessPoolExecutor

from stage import letters_for, play

BACKTRACKS = re.compile(r"(a+)+$")


def search(letters: int) -> bool:
    return BACKTRACKS.match("a" * letters + "b") is not None


async def search_in_thread() -> None:
    await asyncio.to_thread(search, LETTERS)


async def search_in_process() -> None:
    with ProcessPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, search, LETTERS)


if __name__ == "__main__":
    LETTERS = letters_for(search)
    play(search_in_thread, search_in_process)

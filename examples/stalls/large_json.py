"""`json.loads` of some 60 megabytes: correct, fast, and much too long for one step of a loop.

A thread does not help, because the parser keeps the interpreter to itself; `hogged_interpreter.py` shows that. The cure
is a process that does all of the work and returns no more than what is asked for.
"""

import asyncio
import json
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor

from stage import play

VALUES = 1000
TIMES = 3000


def make_file() -> str:
    handle, path = tempfile.mkstemp(suffix=".json")
    with open(handle, "w", encoding="ascii") as file:
        values = ", ".join(repr(number / 7) for number in range(VALUES))
        file.write("[" + ", ".join([values] * TIMES) + "]")
    return path


def total(path: str) -> float:
    with open(path, encoding="ascii") as file:
        text = file.read()
    values: list[float] = json.loads(text)
    return sum(values)


async def load() -> None:
    total(PATH)


async def load_cured() -> None:
    with ProcessPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, total, PATH)


if __name__ == "__main__":
    PATH = make_file()
    try:
        play(load, load_cured)
    finally:
        os.unlink(PATH)

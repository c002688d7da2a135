"""A queue between threads and coroutines: `janus` gives each side the kind of end that it can use.

Threads read files, which blocks, and put what they read; coroutines take it and count the words. The queue is bounded,
so that reading never gets far ahead: `put` holds a thread, and never the loop.

    epicycle run examples/thread_queues.py README.md CHANGELOG.md
"""

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import Path

import janus

Lines = janus.Queue[tuple[Path, list[str]] | None]


def read(path: Path, queue: janus.SyncQueue[tuple[Path, list[str]] | None]) -> None:
    """Put the lines of a file, a hundred at a time; runs in a thread."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        while some := [line for _, line in zip(range(100), lines, strict=False)]:
            queue.put((path, some))


async def count(queue: janus.AsyncQueue[tuple[Path, list[str]] | None], words: Counter[Path]) -> None:
    while (item := await queue.get()) is not None:
        path, lines = item
        words[path] += sum(len(line.split()) for line in lines)


async def count_all(paths: list[Path], consumers: int) -> int:
    """Count the words of all files and print them; return how many could not be read."""
    print("loop:", type(asyncio.get_running_loop()))
    queue: Lines = janus.Queue(maxsize=2)
    words: Counter[Path] = Counter()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(consumers):
                group.create_task(count(queue.async_q, words))
            readers = (asyncio.to_thread(read, path, queue.sync_q) for path in paths)
            outcomes = await asyncio.gather(*readers, return_exceptions=True)
            for _ in range(consumers):
                await queue.async_q.put(None)
    finally:
        # A thread that waits for room would wait for ever once nobody takes anything any more.
        await queue.aclose()

    failures = 0
    for path, outcome in zip(paths, outcomes, strict=True):
        if isinstance(outcome, OSError):
            failures += 1
            print(f"thread_queues: {path}: {outcome.strerror}", file=sys.stderr)
        elif outcome is not None:
            raise outcome
        else:
            print(f"{path}: {words[path]} words")
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Count the words of files, read by threads and counted by coroutines."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--consumers", type=int, default=2, help="coroutines that count (default: 2)")
    args = parser.parse_args()
    if args.consumers < 1:
        parser.error("argument --consumers: must be at least 1")
    try:
        failures = asyncio.run(count_all(args.files, args.consumers))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

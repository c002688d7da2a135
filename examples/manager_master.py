"""The master of a small computing farm over `multiprocessing.managers`: workers square its numbers.

The manager keeps the queues in a process of its own and serves them over TCP to whoever knows the key. Its
calls block, so coroutines make them in threads. The master waits for its workers, so start them in other
terminals:

    epicycle run examples/manager_master.py --workers 2
    epicycle run examples/manager_worker.py 127.0.0.1:PORT one
    epicycle run examples/manager_worker.py 127.0.0.1:PORT two

The key comes from the environment variable FARM_KEY, on both sides; without it, it is "epicycle".
"""

import argparse
import asyncio
import os
import queue
import socket
import sys
from functools import cache
from multiprocessing.managers import BaseManager
from typing import Any, cast


@cache
def shared_queue(name: str) -> "queue.Queue[Any]":
    """Return the one queue of that name; runs in the manager's process, and first for the master."""
    return queue.Queue()


class Farm(BaseManager):
    pass


Farm.register("shared_queue", shared_queue)


async def take(box: Any, seconds: float) -> Any:
    """Take one thing from a queue of the farm; `TimeoutError` when there is none for `seconds`.

    Waits in short steps, so that no thread outlives a cancelled coroutine for long.
    """
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await asyncio.to_thread(box.get, timeout=0.5)
            except queue.Empty:
                continue


async def direct(farm: Farm, workers: int, tasks: int, patience: float) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    arrivals, todo, done = [
        await asyncio.to_thread(farm.shared_queue, box)  # type: ignore[attr-defined]
        for box in ("arrivals", "todo", "done")
    ]
    host, port = cast(tuple[str, int], farm.address)
    print(f"listening on {host}:{port}", flush=True)

    names = sorted([await take(arrivals, patience) for _ in range(workers)])
    print("workers:", ", ".join(names), flush=True)

    async def hand_out() -> None:
        for number in range(1, tasks + 1):
            await asyncio.to_thread(todo.put, number)
        for _ in range(workers):
            await asyncio.to_thread(todo.put, None)

    async def collect() -> None:
        for _ in range(tasks):
            name, number, square = await take(done, patience)
            print(f"{number} * {number} = {square} (worker {name})", flush=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(hand_out())
        group.create_task(collect())

    # Each worker says good-bye once it needs the manager no more.
    for _ in range(workers):
        await take(arrivals, patience)
    print("all done")


def main() -> None:
    parser = argparse.ArgumentParser(description="Hand out numbers to workers and print their squares.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, lets the system choose")
    parser.add_argument("--workers", type=int, default=2, help="how many to wait for (default: 2)")
    parser.add_argument("--tasks", type=int, default=10, help="numbers to hand out (default: 10)")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds to wait for workers (default: 60)"
    )
    args = parser.parse_args()

    # Tried here first: the manager's process would answer a port in use with a traceback.
    try:
        socket.create_server((args.host, args.port)).close()
    except (OSError, OverflowError) as error:
        sys.exit(f"manager_master: cannot listen on {args.host} port {args.port}: {error}")

    outcome: int | str = 0
    key = os.environ.get("FARM_KEY", "epicycle").encode()
    with Farm(address=(args.host, args.port), authkey=key) as farm:
        try:
            asyncio.run(direct(farm, args.workers, args.tasks, args.patience))
        except* TimeoutError:
            outcome = f"manager_master: heard of no worker for {args.patience:g} s"
        except* KeyboardInterrupt:
            outcome = 130
    sys.exit(outcome)


if __name__ == "__main__":
    main()

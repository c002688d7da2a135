"""A worker of the farm that `manager_master.py` runs: takes numbers, sends their squares back.

    epicycle run examples/manager_worker.py 127.0.0.1:PORT NAME

The key comes from the environment variable FARM_KEY, on both sides; without it, it is "epicycle".
"""

import argparse
import asyncio
import os
import queue
import sys
from multiprocessing import AuthenticationError
from multiprocessing.managers import BaseManager
from typing import Any


class Farm(BaseManager):
    pass


Farm.register("shared_queue")


def parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


async def take(box: Any) -> Any:
    """Take one thing from a queue of the farm.

    Waits in short steps, so that no thread outlives a cancelled coroutine for long.
    """
    while True:
        try:
            return await asyncio.to_thread(box.get, timeout=0.5)
        except queue.Empty:
            continue


async def work(farm: Farm, name: str) -> None:
    await asyncio.to_thread(farm.connect)
    arrivals, todo, done = [
        await asyncio.to_thread(farm.shared_queue, box)  # type: ignore[attr-defined]
        for box in ("arrivals", "todo", "done")
    ]
    print("loop:", type(asyncio.get_running_loop()), flush=True)
    await asyncio.to_thread(arrivals.put, name)
    count = 0
    while (number := await take(todo)) is not None:
        await asyncio.sleep(0.02)
        await asyncio.to_thread(done.put, (name, number, number * number))
        count += 1
    await asyncio.to_thread(arrivals.put, name)
    print(f"worker {name} did {count}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Work for a manager_master.")
    parser.add_argument("address", metavar="HOST:PORT", type=parse_address)
    parser.add_argument("name")
    args = parser.parse_args()
    host, port = args.address
    farm = Farm(address=args.address, authkey=os.environ.get("FARM_KEY", "epicycle").encode())
    try:
        asyncio.run(work(farm, args.name))
    except AuthenticationError:
        sys.exit(f"manager_worker: {host}:{port} refused the key")
    except (OSError, OverflowError, EOFError) as error:
        sys.exit(f"manager_worker: lost or could not reach {host}:{port}: {error or type(error).__name__}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

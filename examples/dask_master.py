"""A master that hands jobs to Dask's workers from coroutines, with no executor in between: `await client.submit(...)`.

Each job squares a number; a coroutine function as a job runs on the worker's own loop. Results are printed as they
come in. A worker that dies in the middle of a job costs time and no result: another one does the job.

    epicycle run examples/dask_cluster.py --workers 2
    epicycle run examples/dask_master.py tcp://127.0.0.1:PORT --tasks 10
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from concurrent.futures import CancelledError

from distributed import Client, as_completed


def square(number: int, seconds: float) -> tuple[int, int, int]:
    """A job that takes its time; returns which process did it."""
    time.sleep(seconds)
    return number, number * number, os.getpid()


async def loop_of_worker() -> str:
    """A coroutine as a job: which loop the worker runs on."""
    return str(type(asyncio.get_running_loop()))


async def direct(args: argparse.Namespace) -> None:
    print("loop:", type(asyncio.get_running_loop()), flush=True)
    async with Client(args.address, asynchronous=True, timeout=args.patience) as client:
        async with asyncio.timeout(args.patience):
            await client.wait_for_workers(1)
        print("a worker's loop:", await client.submit(loop_of_worker, pure=False), flush=True)

        jobs = [client.submit(square, n, args.seconds, pure=False) for n in range(1, args.tasks + 1)]
        async for job in as_completed(jobs):
            number, result, process = await job
            print(f"{number} * {number} = {result} (process {process})", flush=True)

        # What a job gives may stay with the workers, and be given to the next one there.
        total = client.submit(lambda results: sum(result for _, result, _ in results), jobs, pure=False)
        print("sum:", await total)


def address(text: str) -> str:
    if not text.startswith(("tcp://", "tls://")) or not text.rpartition(":")[2].isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not an address like tcp://host:port")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description="Hand jobs to Dask's workers and print what they give.")
    parser.add_argument("address", type=address, metavar="tcp://HOST:PORT", help="where the scheduler is")
    parser.add_argument("--tasks", type=int, default=10, help="numbers to square (default: 10)")
    parser.add_argument("--seconds", type=float, default=0.1, help="that each job takes (default: 0.1)")
    parser.add_argument(
        "--patience", type=float, default=10.0, help="seconds to wait for scheduler and workers"
    )
    args = parser.parse_args()
    # Of a lost connection Dask tells in several tracebacks; here it is an exception, and gets a line.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        asyncio.run(direct(args))
    except TimeoutError:
        sys.exit(f"dask_master: no worker at {args.address} within {args.patience:g} s")
    except OSError as error:
        sys.exit(f"dask_master: cannot reach {args.address}: {error}")
    except (CancelledError, asyncio.CancelledError):
        sys.exit(f"dask_master: the scheduler at {args.address} has gone, and the work with it")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

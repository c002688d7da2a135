"""The same jobs in threads, in processes, or on other machines with Dask: only the executor is another one.

A range of numbers is cut into pieces, and whoever is there counts the primes in each. On one machine:

    epicycle run examples/count_primes.py processes

Beyond it, with a scheduler and workers that `dask_cluster.py` starts, or that run anywhere:

    epicycle run examples/dask_cluster.py --workers 2
    epicycle run examples/count_primes.py tcp://127.0.0.1:PORT
"""

import argparse
import asyncio
import contextlib
import itertools
import logging
import os
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)


def primes_between(first: int, last: int) -> tuple[int, str]:
    """How many there are of `first <= p < last`, and who counted them."""
    count = sum(n > 1 and all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(first, last))
    return count, f"process {os.getpid()} on {socket.gethostname()}"


@contextlib.asynccontextmanager
async def executor_for(where: str, workers: int, patience: float) -> AsyncIterator[Executor]:
    """Threads, processes, or whatever workers the Dask scheduler at the address `where` has."""
    async with contextlib.AsyncExitStack() as stack:
        executor: Executor
        if where == "threads":
            executor = ThreadPoolExecutor(workers)
        elif where == "processes":
            executor = ProcessPoolExecutor(workers)
        else:
            from distributed import Client

            # Of a lost connection Dask tells in several tracebacks; here it is an exception, and gets a line.
            for name in ("distributed", "distributed.client"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            client = await stack.enter_async_context(
                Client(where, asynchronous=True, timeout=patience, set_as_default=False)
            )
            # Not pure: a function called twice with the same arguments is to run twice.
            executor = client.get_executor(pure=False)
        yield executor
        # It waits for what still runs, and Dask's needs the loop for that: so not here, but in a thread.
        await asyncio.to_thread(executor.shutdown)


async def count(args: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    print("loop:", type(loop), flush=True)
    bounds = [args.limit * piece // args.pieces for piece in range(args.pieces + 1)]
    async with executor_for(args.where, args.workers, args.patience) as executor:
        counted = await asyncio.gather(
            *(
                loop.run_in_executor(executor, primes_between, first, last)
                for first, last in itertools.pairwise(bounds)
            )
        )
    for who, pieces in sorted(Counter(who for _, who in counted).items()):
        print(f"{who}: {pieces} pieces")
    print(f"primes below {args.limit}: {sum(primes for primes, _ in counted)}")


def place(text: str) -> str:
    if text in ("threads", "processes"):
        return text
    if not text.startswith(("tcp://", "tls://")) or not text.rpartition(":")[2].isdigit():
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither threads nor processes nor an address like tcp://host:port"
        )
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Count primes in threads, in processes or on a Dask cluster."
    )
    parser.add_argument("where", type=place, metavar="threads|processes|tcp://HOST:PORT")
    parser.add_argument(
        "--limit", type=int, default=200_000, help="count the primes below this (default: 200000)"
    )
    parser.add_argument("--pieces", type=int, default=20, help="jobs to cut the range into (default: 20)")
    parser.add_argument("--workers", type=int, default=2, help="threads or processes (default: 2)")
    parser.add_argument(
        "--patience", type=float, default=10.0, help="seconds to wait for a scheduler (default: 10)"
    )
    args = parser.parse_args()
    try:
        asyncio.run(count(args))
    except ImportError as error:
        sys.exit(f"count_primes: an address needs Dask: pip install distributed ({error})")
    except BrokenExecutor:
        sys.exit("count_primes: a process of the pool has died, and its work with it")
    except (CancelledError, asyncio.CancelledError):
        sys.exit(f"count_primes: the scheduler at {args.where} has gone, and the work with it")
    except OSError as error:
        sys.exit(f"count_primes: cannot reach {args.where}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

"""A Dask scheduler and its workers, all of them on the loop of this program: a small cluster on one machine.

The scheduler runs here, each worker in a process of its own that is started as this one was. A worker that dies is
named; what it was at goes to the others. On more machines, start each of them by itself:

    epicycle run -m distributed.cli.dask_scheduler --host ADDRESS
    epicycle run -m distributed.cli.dask_worker tcp://ADDRESS:8786

Ctrl-C ends the workers, then the scheduler.

    epicycle run examples/dask_cluster.py --workers 2
"""

import argparse
import asyncio
import contextlib
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator

from distributed import Scheduler

# Whether `epicycle run` started this program decides what starts the workers.
LAUNCHER = ["-m", "epicycle", "run", "-m"] if "epicycle" in sys.modules else ["-m"]
# Seconds that a worker has to end by itself.
PATIENCE = 10
OPTIONS = ["--nthreads", "1", "--memory-limit", "0", "--no-nanny", "--no-dashboard"]


async def start_worker(address: str, host: str, name: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *LAUNCHER,
        "distributed.cli.dask_worker",
        address,
        *OPTIONS,
        *("--host", host, "--dashboard-address", f"{host}:0", "--name", name),
        stdin=DEVNULL,
        stderr=PIPE,
        # Ctrl-C in a terminal is for this program, which ends its workers itself.
        start_new_session=True,
    )


async def watch(name: str, worker: Process) -> None:
    """Wait for a worker's end and say so, with the last thing it said itself."""
    assert worker.stderr is not None
    last = ""
    while line := await worker.stderr.readline():
        last = line.decode(errors="replace").strip() or last
    print(f"worker {name} ended with status {await worker.wait()}: {last}", flush=True)


async def stop(worker: Process) -> None:
    if worker.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            worker.terminate()
            try:
                async with asyncio.timeout(PATIENCE):
                    await worker.wait()
            except TimeoutError:
                # It is in the middle of a job that does not end.
                worker.kill()
        await worker.wait()


async def serve(args: argparse.Namespace) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    async with contextlib.AsyncExitStack() as stack:
        scheduler = await stack.enter_async_context(listening(args.host, args.port))
        print(f"scheduler at {scheduler.address}", flush=True)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for number in range(1, args.workers + 1):
            worker = await start_worker(scheduler.address, args.host, str(number))
            stack.push_async_callback(stop, worker)
            group.create_task(watch(str(number), worker))
            print(f"worker {number} is process {worker.pid}", flush=True)
        await scheduler.finished()


@contextlib.asynccontextmanager
async def listening(host: str, port: int) -> AsyncIterator[Scheduler]:
    """A scheduler that listens there; raises OSError where it cannot."""
    scheduler = Scheduler(host=host, port=port, dashboard=False, dashboard_address=f"{host}:0")
    try:
        await scheduler
    except RuntimeError as error:
        raise error.__cause__ if isinstance(error.__cause__, OSError) else error from None
    try:
        yield scheduler
    finally:
        await scheduler.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="A Dask scheduler and its workers on one machine.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, lets the system choose")
    parser.add_argument("--workers", type=int, default=2, help="how many (default: 2)")
    args = parser.parse_args()
    if not 0 <= args.port <= 65535 or args.workers < 0:
        parser.error("a port is at most 65535, and there are no fewer than 0 workers")
    # What the scheduler tells of its own running is more than a reader of this program's lines wants.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        asyncio.run(serve(args))
    except OSError as error:
        sys.exit(f"dask_cluster: cannot listen on {args.host} port {args.port}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

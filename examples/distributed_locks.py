"""A distributed lock three ways, compared: GET_LOCK in MariaDB, an expiring key in Redis, a lease in ZooKeeper.

Processes contend for the lock around a ledger. It counts that never two are in at once; then a holder is killed and
another is frozen for longer than its lease, and it is measured when the next comes in, and whether the ledger turns
away what the frozen one writes when it thaws. The exit status is 1 if a lock has not kept what it promises.

    epicycle run examples/distributed_locks.py --processes 4 --rounds 25 --chart locks.png
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from locks import WAYS
from locks.ledger import Ledger, Worker
from locks.picture import draw, table
from locks.worker import work
from reaching import ServiceError, run

ADDRESSES = {
    "mariadb": ("EPICYCLE_MYSQL_URL", "mysql://root@127.0.0.1:3306/test"),
    "redis": ("EPICYCLE_REDIS_URL", "redis://127.0.0.1:6379/0"),
    "zookeeper": ("EPICYCLE_ZOOKEEPER_HOSTS", "127.0.0.1:2181"),
    "none": ("", ""),
}


class Farm:
    """The ledger's server, and the worker processes of one way."""

    def __init__(self, way: str, args: argparse.Namespace) -> None:
        self.ledger = Ledger()
        self.way = way
        self.address = getattr(args, f"{way}_address")
        self.name = f"epicycle_lock_{os.getpid()}_{way}"
        self.args = args
        self.arrivals: asyncio.Queue[tuple[Any, Any]] = asyncio.Queue()
        self.processes: list[Any] = []
        self.count = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Farm"]:
        server = await asyncio.start_server(lambda *ends: self.arrivals.put(ends), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for process in self.processes:
                process.kill()
                await asyncio.to_thread(process.join)

    async def worker(self) -> tuple[Worker, Any]:
        """A new worker, ready to take the lock, and its process."""
        process = multiprocessing.get_context("spawn").Process(
            target=work,
            args=(self.way, self.address, self.name, self.args.lease, self.port, self.args.patience),
            daemon=True,
        )
        process.start()
        self.processes.append(process)
        arrival = asyncio.create_task(self.arrivals.get())
        try:
            while not arrival.done():
                await asyncio.wait([arrival], timeout=0.5)
                if not arrival.done() and not process.is_alive():
                    raise ServiceError(self.way, "a worker process did not start")
        finally:
            arrival.cancel()
        self.count += 1
        worker = Worker(self.ledger, self.count, *arrival.result())
        loop = await worker.answer()
        if self.count == 1:
            print(f"{self.way}: the workers' loop is {loop}", flush=True)
        return worker, process


async def measure(way: str, args: argparse.Namespace) -> dict[str, Any]:
    """All that the table says of one way."""
    async with Farm(way, args).open() as farm:
        ledger = farm.ledger
        workers = [await farm.worker() for _ in range(max(args.processes, 3))]
        first, second, third = workers[:3]
        alone = await first[0].ask("rounds", args.rounds)

        began = time.perf_counter()
        outcomes = await asyncio.gather(
            *(worker.ask("rounds", args.rounds) for worker, _ in workers[: args.processes])
        )
        seconds = time.perf_counter() - began
        waits = [wait for outcome in outcomes for wait in outcome["waits"]]
        overlaps = ledger.overlaps

        died, _ = await replaced(ledger, first, second, signal.SIGKILL)
        froze, late = await replaced(ledger, second, third, signal.SIGSTOP)
        # It has lost its lock, and some ways their connection: it is not asked to give it back.
        second[1].kill()
        await third[0].ask("leave")
        await third[0].ask("forget")
    return {
        "way": way,
        "alone": alone["waits"],
        "rate": len(waits) / seconds,
        "waits": waits,
        "cpu": sum(outcome["cpu"] for outcome in outcomes) / len(waits),
        "overlaps": overlaps,
        "died": died,
        "froze": froze,
        "late": late,
    }


async def replaced(ledger: Ledger, holder: Any, heir: Any, what: signal.Signals) -> tuple[float, bool]:
    """Let a signal befall the holder: seconds until the heir is in, and whether the holder may write after that."""
    worker, process = holder
    # An heir of the scenario before holds it already.
    if worker.number not in ledger.inside:
        await worker.ask("take")
    os.kill(process.pid, what)
    # It is in there no more, whatever it believes.
    ledger.leave(worker.number)
    began = time.monotonic()
    await heir[0].ask("take")
    seconds = ledger.entered_at - began
    if what is signal.SIGKILL:
        return seconds, False
    worker.tell(do="write", args=[])
    os.kill(process.pid, signal.SIGCONT)
    return seconds, bool(await worker.answer())


def broken(result: dict[str, Any]) -> list[str]:
    """The promises that were not kept."""
    complaints = []
    if result["overlaps"]:
        complaints.append(f"{result['overlaps']} times two held it at once")
    if result["late"]:
        complaints.append("a holder wrote after its lease")
    return complaints


async def main(args: argparse.Namespace) -> None:
    print("loop:", type(asyncio.get_running_loop()))
    results = []
    for way in args.ways:
        results.append(await measure(way, args))
    print(table(results), flush=True)
    if args.chart:
        try:
            await asyncio.to_thread(draw, results, args.lease, args.processes, args.chart)
        except (OSError, ValueError, ImportError) as error:
            raise ServiceError(f"cannot draw {args.chart}", error) from error
        print(f"chart: {args.chart}")
    complaints = [f"{result['way']}: {text}" for result in results for text in broken(result)]
    if complaints:
        raise ServiceError("not kept", "; ".join(complaints))


def ways(text: str) -> list[str]:
    chosen = text.split(",")
    for way in chosen:
        if way not in WAYS:
            raise argparse.ArgumentTypeError(f"'{way}' is none of {', '.join(WAYS)}")
    return chosen


def at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number above 0")
    return int(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare a distributed lock in three services.")
    parser.add_argument(
        "--ways", type=ways, default="mariadb,redis,zookeeper", help="of mariadb, redis, zookeeper, none"
    )
    parser.add_argument("--processes", type=at_least_one, default=4, help="that contend (default: 4)")
    parser.add_argument("--rounds", type=at_least_one, default=25, help="of each process (default: 25)")
    parser.add_argument("--lease", type=float, default=2.0, help="seconds (default: 2)")
    parser.add_argument("--chart", metavar="FILE", help="draw the results, as PNG or SVG")
    for way, (variable, default) in ADDRESSES.items():
        shown = f"default: ${variable}, else {default}" if variable else argparse.SUPPRESS
        parser.add_argument(f"--{way}-address", default=os.environ.get(variable) or default, help=shown)
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds to wait for a service (default: 0)"
    )
    parser.add_argument("--verbose", action="store_true", help="show what the libraries log")
    args = parser.parse_args()
    if not 0.2 <= args.lease <= 3600:
        sys.exit("distributed_locks: --lease is between 0.2 and 3600 seconds")
    run("distributed_locks", args, main(args), OSError)

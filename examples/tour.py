"""A first visit: `hello_server.py` in one process, five hundred clients at once in this one, and a table.

Every visitor asks for a page of its own, which takes the server half a second, over a connection of its
own, and looks whether the answer is the one it asked for. The exit status is 1 when any was not.

    epicycle run examples/tour.py --clients 500
"""

import argparse
import asyncio
import contextlib
import platform
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

import epicycle

SERVER = Path(__file__).with_name("hello_server.py")
SECONDS_PER_ANSWER = 0.5
SECONDS_TO_START = 30.0
SECONDS_TO_STOP = 10.0
FILES_BESIDES_CLIENTS = 100


@dataclass
class Server:
    url: str
    loop: str
    pid: int


@dataclass
class Visits:
    loop: str
    seconds: float
    answered: list[float]
    failed: Counter[str]


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """Run the server in a process group of its own, so that Ctrl-C reaches it through us alone."""
    command = [sys.executable, "-m", "epicycle", "run", str(SERVER), "--delay", str(SECONDS_PER_ANSWER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        assert process.stdout is not None
        too_long = threading.Timer(SECONDS_TO_START, process.kill)
        too_long.start()
        try:
            told = dict(
                line.rstrip("\n").split(maxsplit=1)
                for line in (process.stdout.readline() for _ in range(2))
                if line
            )
            if "listening" not in told:
                sys.exit(f"tour: the server did not start: {' '.join(command)}")
            too_long.cancel()
            yield Server(told["listening"].removeprefix("on "), told["loop:"], process.pid)
        finally:
            too_long.cancel()
            process.send_signal(signal.SIGINT)
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()


async def visit_all(server: Server, clients: int) -> Visits:
    answered: list[float] = []
    failed: Counter[str] = Counter()

    async def visit(session: aiohttp.ClientSession, name: str) -> None:
        began = time.perf_counter()
        try:
            async with session.get(f"{server.url}hello/{name}") as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failed[type(error).__name__] += 1
            return
        if response.status == 200 and f"Hello, {name}!" in text:
            answered.append(time.perf_counter() - began)
        else:
            failed[f"wrong answer, status {response.status}"] += 1

    print(f"{clients} clients visit {server.url} (process {server.pid}) at once\n", flush=True)
    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(visit(session, f"visitor-{number}"))
        seconds = time.perf_counter() - began
    return Visits(str(type(asyncio.get_running_loop())), seconds, answered, failed)


def table(server: Server, visits: Visits, clients: int) -> str:
    times = sorted(visits.answered)
    rows = {
        "Epicycle": epicycle.__version__,
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "loop of the server": server.loop,
        "loop of the clients": visits.loop,
        "requests at once": str(clients),
        "answered": str(len(times)),
        "failed": str(visits.failed.total()),
        "median answer": f"{statistics.median(times):.3f} s" if times else "none",
        "slowest answer": f"{times[-1]:.3f} s" if times else "none",
        "total": f"{visits.seconds:.3f} s (one after another: {clients * SECONDS_PER_ANSWER:g} s)",
    }
    rows.update({f"failed with {kind}": str(count) for kind, count in visits.failed.items()})
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def allow_open_files(wanted: int) -> None:
    """Raise this process's limit of open files, which the server inherits, to `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            sys.exit(
                f"tour: {wanted} open files are needed, and the system allows {hard}: try fewer --clients"
            )


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description="Visit a server with many clients at once.")
    parser.add_argument("--clients", type=positive, default=500, help="how many at once (default: 500)")
    clients = parser.parse_args().clients

    allow_open_files(clients + FILES_BESIDES_CLIENTS)
    # Told to end, it ends as by Ctrl-C, and so stops the server as well.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with running_server() as server:
            visits = asyncio.run(visit_all(server, clients))
    except KeyboardInterrupt:
        sys.exit(130)
    print(table(server, visits, clients))
    sys.exit(1 if visits.failed else 0)


if __name__ == "__main__":
    main()

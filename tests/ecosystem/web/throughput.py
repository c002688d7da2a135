"""How many requests the same small servers answer on asyncio, uvloop and Epicycle, one after another and interleaved.

    .venv/bin/python tests/ecosystem/web/throughput.py --seconds 5 --rounds 3

Not a test. For each round, each program runs once on each loop, in a fresh process, so that a change of the machine's
mood meets all loops alike; the table has the median of the rounds with its spread, and the processor time of the server
for each answer. The load comes from `wrk` where that is installed, else from a client in Python, which is slower than
the fastest of the servers and says so. A loop or a program that is not installed is left out, with a line that says so.
With two processors or more, server and load get processors of their own.
"""

import argparse
import asyncio
import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

SECONDS_TO_START = 30.0
LOOPS = {
    "asyncio": "asyncio:SelectorEventLoop",
    "uvloop": "uvloop:new_event_loop",
    "epicycle": "epicycle:new_event_loop",
}

# Each program serves on the socket whose descriptor it is given, on the loop that it is given, until SIGTERM.
PRELUDE = """
import asyncio, importlib, signal, socket, sys

listener = socket.socket(fileno=int(sys.argv[1]))
module, _, name = sys.argv[2].partition(":")
loop_factory = getattr(importlib.import_module(module), name)
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")]})
        await send({"type": "http.response.body", "body": b"Hello, world\\n"})
"""
UVICORN = """
import uvicorn
config = uvicorn.Config(app, loop=sys.argv[2], http=HTTP, log_level="error", access_log=False, lifespan="off")
uvicorn.Server(config).run(sockets=[listener])
"""
UNTIL_SIGTERM = """
async def until_told():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()

with asyncio.Runner(loop_factory=loop_factory) as runner:
    runner.run(main())
"""
PROGRAMS = {
    "aiohttp": """
from aiohttp import web

async def hello(request):
    return web.Response(text="Hello, world\\n")

async def main():
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    await until_told()
    await runner.cleanup()
"""
    + UNTIL_SIGTERM,
    "uvicorn, httptools": 'HTTP = "httptools"' + ASGI + UVICORN,
    "uvicorn, h11": 'HTTP = "h11"' + ASGI + UVICORN,
    "FastAPI, uvicorn": """
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

HTTP = "httptools"
app = FastAPI()

@app.get("/", response_class=PlainTextResponse)
async def hello():
    return "Hello, world\\n"
"""
    + UVICORN,
    "hypercorn": ASGI
    + """
from hypercorn.asyncio import serve
from hypercorn.config import Config

async def main():
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.loglevel = "ERROR"
    config.graceful_timeout = 1.0
    await serve(app, config, shutdown_trigger=until_told)
"""
    + UNTIL_SIGTERM,
    "streams": """
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: 13\\r\\n\\r\\nHello, world\\n"

async def answer(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    async with await asyncio.start_server(answer, sock=listener, backlog=1024):
        await until_told()
"""
    + UNTIL_SIGTERM,
}
# What a program is made of, by the names of PyPI; the first gives the version in the table.
PACKAGES = {
    "aiohttp": ["aiohttp"],
    "uvicorn, httptools": ["uvicorn", "httptools"],
    "uvicorn, h11": ["uvicorn", "h11"],
    "FastAPI, uvicorn": ["fastapi", "uvicorn", "httptools"],
    "hypercorn": ["hypercorn"],
    "streams": [],
}


def version_of(program: str) -> str:
    packages = PACKAGES[program]
    return importlib.metadata.version(packages[0]) if packages else platform.python_version()


def missing(packages: list[str]) -> list[str]:
    return [package for package in packages if importlib.util.find_spec(package) is None]


@contextlib.contextmanager
def serving(program: str, loop: str, processor: int | None) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The started server, and its port, once it has answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-c", PRELUDE + PROGRAMS[program], str(listener.fileno()), LOOPS[loop]]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()])
    try:
        if processor is not None:
            os.sched_setaffinity(process.pid, {processor})
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS_TO_START) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            answer = sock.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200"):
                sys.exit(f"throughput: {program} on {loop} answers {answer[:60]!r}")
        yield process, port
    except OSError as error:
        sys.exit(f"throughput: {program} on {loop} does not answer: {error}")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def processor_time(pid: int) -> float:
    """Seconds that the process has used of a processor, its own and the system's on its behalf."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load_with_wrk(port: int, connections: int, seconds: float, processor: int | None) -> int:
    """The number of answers, counted by wrk."""
    pin = ["taskset", "-c", str(processor)] if processor is not None and shutil.which("taskset") else []
    command = [
        *pin,
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        f"http://127.0.0.1:{port}/",
    ]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    complaint = re.search(r"Non-2xx.*|Socket errors: (?!connect 0, read 0, write 0, timeout 0).*", report)
    if complaint:
        print(f"throughput: wrk: {complaint[0]}", file=sys.stderr)
    return int(re.search(r"(\d+) requests in", report)[1])  # type: ignore[index]


def load_with_python(port: int, connections: int, seconds: float, processor: int | None) -> int:
    """The number of answers, counted by a client of bare protocols on Epicycle's loop."""
    import epicycle

    request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
    count = 0

    class Asker(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            self.received = b""
            transport.write(request)  # type: ignore[attr-defined]

        def data_received(self, data: bytes) -> None:
            nonlocal count
            self.received += data
            if self.received.endswith(b"Hello, world\n"):
                self.received = b""
                count += 1
                self.transport.write(request)  # type: ignore[attr-defined]

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(Asker, "127.0.0.1", port)
        await asyncio.sleep(seconds)

    before = os.sched_getaffinity(0)
    if processor is not None:
        os.sched_setaffinity(0, {processor})
    try:
        epicycle.run(ask())
    finally:
        os.sched_setaffinity(0, before)
    return count


def measure(
    program: str, loop: str, load: Callable[..., int], args: argparse.Namespace, processors: list[int | None]
) -> tuple[float, float]:
    """Answers a second, and microseconds of the server's processor for each."""
    with serving(program, loop, processors[0]) as (process, port):
        load(port, args.connections, min(1.0, args.seconds), processors[1])
        used, began = processor_time(process.pid), time.monotonic()
        answers = load(port, args.connections, args.seconds, processors[1])
        seconds, used = time.monotonic() - began, processor_time(process.pid) - used
    if not answers:
        sys.exit(f"throughput: {program} on {loop} answered nothing")
    return answers / seconds, 1e6 * used / answers


def table(results: dict[tuple[str, str], list[tuple[float, float]]]) -> str:
    head = "| program | version | loop | answers/s | spread | processor, µs/answer | against asyncio |"
    lines = [head, "| --- | --- | --- | ---: | ---: | ---: | ---: |"]
    for (program, loop), rounds in results.items():
        rate = statistics.median(rate for rate, _ in rounds)
        cost = statistics.median(cost for _, cost in rounds)
        spread = (max(rate for rate, _ in rounds) - min(rate for rate, _ in rounds)) / rate
        base = results.get((program, "asyncio"))
        against = f"{rate / statistics.median(r for r, _ in base):.2f}" if base else ""
        lines.append(
            f"| {program} | {version_of(program)} | {loop} | {rate:.0f} | {100 * spread:.0f} % | {cost:.1f} "
            f"| {against} |"
        )
    return "\n".join(lines)


def positive(kind: type) -> Callable[[str], float]:
    def parsed(text: str) -> float:
        number = kind(text)
        if not number > 0:
            raise argparse.ArgumentTypeError("must be more than 0")
        return number

    return parsed


def main() -> None:
    parser = argparse.ArgumentParser(description="Requests a second of small servers, on each loop.")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS), metavar="PROGRAM")
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=list(LOOPS), metavar="LOOP")
    parser.add_argument(
        "--seconds", type=positive(float), default=3.0, help="of each measurement (default: 3)"
    )
    parser.add_argument("--rounds", type=positive(int), default=3, help="default: 3")
    parser.add_argument("--connections", type=positive(int), default=64, help="default: 64")
    args = parser.parse_args()

    loops = [loop for loop in args.loops if not missing([loop])]
    programs = [program for program in args.programs if not missing(PACKAGES[program])]
    for absent in (*set(args.loops).difference(loops), *set(args.programs).difference(programs)):
        print(f"throughput: {absent} is left out, as it is not installed", file=sys.stderr)
    load = load_with_wrk if shutil.which("wrk") else load_with_python
    available = sorted(os.sched_getaffinity(0))
    processors: list[int | None] = [available[0], available[1]] if len(available) > 1 else [None, None]

    results: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    try:
        for number in range(args.rounds):
            for program in programs:
                # Each round begins with another loop, so that none is always the one after a pause.
                for loop in loops[number % len(loops) :] + loops[: number % len(loops)]:
                    results[program, loop].append(measure(program, loop, load, args, processors))
                    print(
                        f"round {number + 1}: {program} on {loop}: {results[program, loop][-1][0]:.0f}/s",
                        flush=True,
                    )
    except KeyboardInterrupt:
        sys.exit(130)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in loops if name != "asyncio")
    print(
        f"\n{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, {versions};"
    )
    print(
        f"load: {'wrk' if load is load_with_wrk else 'a client in Python'}, {args.connections} connections, "
        f"{args.rounds} rounds of {args.seconds:g} s, interleaved; median of the rounds\n"
    )
    ordered = {(program, loop): results[program, loop] for program in programs for loop in loops}
    print(table(ordered))


if __name__ == "__main__":
    main()

"""One service on all cores: a process for each, all of them listening on the same port with SO_REUSEPORT.

    epicycle run examples/all_cores.py --workers 4 --seconds 2
    epicycle run examples/all_cores.py --workers 4 --start-method spawn --port 8080 --seconds 0

The kernel deals new connections out to the workers. The program keeps --clients connections busy for --seconds and
prints how many answers each worker gave; with --seconds 0 it serves until Ctrl-C. A worker that dies is replaced. Each
connection is asked line by line: the answer to a line is the same line, with the worker's process before it.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
from collections import Counter
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

BACKLOG = 1024
SECONDS_TO_STOP = 10.0


def reusing_port(host: str, port: int) -> socket.socket:
    """A socket bound to the port that other processes may be bound to as well; it does not listen yet."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    name = str(os.getpid()).encode()
    try:
        while line := await reader.readline():
            writer.write(name + b" " + line)
            await writer.drain()
    except ConnectionError:
        pass  # The client is gone, and with it whoever would want to know.
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def serve(host: str, port: int, ready: multiprocessing.connection.Connection) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    sock = reusing_port(host, port)
    async with await asyncio.start_server(answer, sock=sock, backlog=BACKLOG):
        ready.send(str(type(asyncio.get_running_loop())))
        await ended.wait()


def work(host: str, port: int, ready: multiprocessing.connection.Connection) -> None:
    """A worker process, from its start to its end by SIGTERM."""
    # Ctrl-C reaches the whole group: it is the first process that ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve(host, port, ready))


class WorkerFailed(Exception):
    """A worker ended before it listened."""


class Workers:
    """As many processes as wanted; who ends is replaced, as long as `keep` runs."""

    def __init__(self, context: BaseContext, count: int, host: str, port: int) -> None:
        self.context, self.count, self.host, self.port = context, count, host, port
        self.processes: list[BaseProcess] = []

    async def start_one(self) -> None:
        """Start a worker and wait, without holding up the loop, until it listens."""
        loop = asyncio.get_running_loop()
        receiving, sending = self.context.Pipe(duplex=False)
        with receiving, sending:
            process = self.context.Process(target=work, args=(self.host, self.port, sending))
            process.start()
            self.processes.append(process)
            # Only the worker may hold the sending end: then its death ends the wait.
            sending.close()
            readable = loop.create_future()
            loop.add_reader(receiving.fileno(), lambda: readable.done() or readable.set_result(None))
            try:
                await readable
            finally:
                loop.remove_reader(receiving.fileno())
            try:
                kind = receiving.recv()
            except EOFError:
                raise WorkerFailed(f"worker {process.pid} did not start") from None
        print(f"worker {process.pid} on {kind}", flush=True)

    async def start(self) -> None:
        for _ in range(self.count):
            await self.start_one()

    async def keep(self) -> None:
        """Replace every worker that ends."""
        while True:
            ended = await self.first_to_end()
            print(f"worker {ended.pid} ended with {ended.exitcode}: replaced", flush=True)
            self.processes.remove(ended)
            ended.close()
            await self.start_one()

    async def first_to_end(self) -> BaseProcess:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[BaseProcess] = loop.create_future()

        def note(process: BaseProcess) -> None:
            process.join()
            if not future.done():
                future.set_result(process)

        watched = list(self.processes)
        for process in watched:
            loop.add_reader(process.sentinel, note, process)
        try:
            return await future
        finally:
            for process in watched:
                loop.remove_reader(process.sentinel)

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join(SECONDS_TO_STOP)
            if process.exitcode is None:
                process.kill()
                process.join()


async def keep_asking(host: str, port: int, answers: Counter[int]) -> None:
    """Ask the worker behind one connection again and again; should it die, whoever is behind the next."""
    while True:
        with contextlib.suppress(ConnectionError):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                while True:
                    writer.write(b"hello\n")
                    line = await reader.readline()
                    if not line:
                        break
                    answers[int(line.split()[0])] += 1
            finally:
                writer.close()


async def measure(host: str, port: int, clients: int, seconds: float) -> Counter[int]:
    answers: Counter[int] = Counter()
    tasks = [asyncio.create_task(keep_asking(host, port, answers)) for _ in range(clients)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return answers


async def run(args: argparse.Namespace, host: str, port: int) -> None:
    context = multiprocessing.get_context(args.start_method)
    workers = Workers(context, args.workers, host, port)
    try:
        await workers.start()
        print(f"listening on {host} port {port}", flush=True)
        keeping = asyncio.create_task(workers.keep())
        try:
            if not args.seconds:
                await keeping
            answers = await measure(host, port, args.clients, args.seconds)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    finally:
        workers.stop()
    print(f"{'worker':>10}  {'answers/s':>9}")
    for pid, count in sorted(answers.items()):
        print(f"{pid:>10}  {count / args.seconds:9.0f}")
    print(f"{'together':>10}  {answers.total() / args.seconds:9.0f}")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Serve with a process for each core, and count what each answers."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, lets the system choose")
    parser.add_argument("--workers", type=positive, default=os.cpu_count(), help="default: one for each core")
    parser.add_argument("--clients", type=positive, default=32, help="connections that ask (default: 32)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="to measure; 0 serves until Ctrl-C (default: 2)"
    )
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods())
    args = parser.parse_args()

    # Held, and not listened on: the port is ours for as long as we replace workers on it.
    try:
        held = reusing_port(args.host, args.port)
    except (OSError, OverflowError) as error:
        sys.exit(f"all_cores: cannot listen on {args.host} port {args.port}: {error}")
    with held:
        try:
            asyncio.run(run(args, *held.getsockname()[:2]))
        except WorkerFailed as error:
            sys.exit(f"all_cores: {error}")
        except KeyboardInterrupt:
            sys.exit(130)


if __name__ == "__main__":
    main()

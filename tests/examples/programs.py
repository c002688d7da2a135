"""Starts the programs of `examples/` with `epicycle run`, and what else their tests need to talk to."""

import asyncio
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from toolkit import child_environment

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
PATIENCE = 60.0


class Program:
    """A started program whose output is gathered line by line; it never outlives the `with` block.

    It gets a session of its own, so that Ctrl-C reaches it and its children, and nobody else.
    """

    def __init__(self, command, **environment):
        self.command = [str(part) for part in command]
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=child_environment() | {"PYTHONUNBUFFERED": "1"} | environment,
        )
        # What has come so far; `output` and `errors` are the whole.
        self.printed = {"stdout": "", "stderr": ""}
        self.open_pipes = set(self.printed)
        self.changed = threading.Condition()
        self.readers = [
            threading.Thread(target=self._gather, args=(name, getattr(self.process, name)), daemon=True)
            for name in self.printed
        ]
        for reader in self.readers:
            reader.start()

    def _gather(self, name, pipe):
        with pipe:
            for line in pipe:
                with self.changed:
                    self.printed[name] += line
                    self.changed.notify_all()
        with self.changed:
            self.open_pipes.remove(name)
            self.changed.notify_all()

    @property
    def output(self):
        """All of its standard output."""
        return self._whole("stdout")

    @property
    def errors(self):
        return self._whole("stderr")

    def _whole(self, name):
        # Nothing orders what one pipe has brought against a line on the other: `wait_for` what a running program says.
        assert name not in self.open_pipes, f"{name} may go on: `finish` first"
        return self.printed[name]

    def wait_for(self, pattern):
        """Wait until a line of either output matches `pattern`; the match's first group."""

        def found():
            return next(
                filter(None, (re.search(pattern, text, re.M) for text in self.printed.values())), None
            )

        with self.changed:
            self.changed.wait_for(lambda: found() or not self.open_pipes, PATIENCE)
            match = found()
        assert match, f"{pattern!r} was never printed\n{self.report()}"
        return match[1]

    def interrupt(self):
        """What Ctrl-C in a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def finish(self):
        """Wait for the end; the exit status."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end\n{self.report()}") from None
        for reader in self.readers:
            reader.join(PATIENCE)
        return status

    def report(self):
        return f"{' '.join(self.command)}\nstatus {self.process.poll()}\n" + "\n".join(self.printed.values())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                os.killpg(self.process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(10)
        for reader in self.readers:
            reader.join(10)


def start(example, *arguments, **environment):
    """Start an example with `epicycle run`."""
    command = [sys.executable, "-m", "epicycle", "run", EXAMPLES / example, *arguments]
    return Program(command, **environment)


def run(example, *arguments, status=0, **environment):
    """Run an example with `epicycle run` to its end, which must have that status; what it printed."""
    with start(example, *arguments, **environment) as program:
        assert program.finish() == status, program.report()
        return program


def lines_after_loop(program):
    """The lines an example printed after the one that names its loop, which must be Epicycle's."""
    first, *rest = program.output.splitlines()
    assert_epicycle(first)
    return rest


def assert_epicycle(text):
    assert re.search(r"epicycle[\w.]*\.\w*Loop", text), text


def one_line(program):
    """The single line of an error message: no traceback, no second complaint."""
    lines = program.errors.splitlines()
    assert len(lines) == 1, program.report()
    return lines[0]


class Meeting:
    """Answers nobody until `expected` requests have come: who asks for all at once is answered."""

    def __init__(self, expected):
        self.barrier = threading.Barrier(expected)

    def answer(self, path):
        self.barrier.wait(PATIENCE)
        return f"met at {path}"


@contextlib.contextmanager
def web_hosts(addresses, answer):
    """A web server on each of `addresses`, on ports the system picks; their host and port as in a URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = answer(self.path).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    hosts = []
    with contextlib.ExitStack() as stack:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            kind = type("Host", (ThreadingHTTPServer,), {"address_family": family, "daemon_threads": True})
            server = stack.enter_context(kind((address, 0), Handler))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            port = server.server_port
            hosts.append(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
        yield hosts


async def ask(host, port, path):
    """The status and the body of one request over a connection of its own."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()
    finally:
        writer.close()
        await writer.wait_closed()


def ask_at_once(host, port, paths):
    """Ask for all `paths` at once, on asyncio's own loop; the answers in order, and the seconds it took."""

    async def everything():
        async with asyncio.timeout(PATIENCE):
            return await asyncio.gather(*(ask(host, port, path) for path in paths))

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        began = time.monotonic()
        answers = runner.run(everything())
        return answers, time.monotonic() - began

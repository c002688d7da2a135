"""What the behaviour tests share: bounded waits, recording protocols, socket pairs, counts of descriptors."""

import asyncio
import contextlib
import gc
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

from epicycle.loop import EventLoop

FACTORIES = {"asyncio": asyncio.SelectorEventLoop, "epicycle": EventLoop}

# A script run in another process starts with one of these lines and calls `new_loop()`.
PRELUDES = {
    "asyncio": "from asyncio import SelectorEventLoop as new_loop\n",
    "epicycle": "from epicycle.loop import EventLoop as new_loop\n",
}


def finish(loop, awaitable, timeout=10.0):
    """Run `awaitable` on `loop` to its result, or raise TimeoutError after `timeout` seconds."""

    async def bounded():
        async with asyncio.timeout(timeout):
            return await awaitable

    return loop.run_until_complete(bounded())


def turn(loop, times=1):
    """Let the loop go round `times` times: each runs what is ready, and what is due."""
    for _ in range(times):
        loop.stop()
        loop.run_forever()


def run_bounded(loop, timeout=10.0):
    """`run_forever` that fails rather than hangs."""
    late = []

    def give_up():
        late.append(True)
        loop.stop()

    handle = loop.call_later(timeout, give_up)
    try:
        loop.run_forever()
    finally:
        handle.cancel()
    assert not late, f"the loop did not stop within {timeout} seconds"


async def until(condition, timeout=10.0):
    """Go round the loop until `condition()` is true."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0)


async def quiet(turns=20):
    """Go round the loop so often that it has seen all that was ready: what has not happened then was not going to."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def cancelled(task):
    """Cancel `task` and wait for its end, which must be the cancellation."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled(), task


def outcome(function, *args, **kwargs):
    """What a call did, in a form that can be compared: its value, or the error's type and text."""
    try:
        return ("returned", function(*args, **kwargs))
    except Exception as error:
        return ("raised", type(error), str(error))


def open_descriptors():
    """Every open descriptor of this process with what it leads to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def new_descriptors(before, patience=2.0):
    """What is open now and was not in `before`.

    Threads of an executor may still be on their way out, so a descriptor gets a moment to go away.
    """
    deadline = time.monotonic() + patience
    while True:
        now = open_descriptors()
        new = {fd: target for fd, target in now.items() if before.get(fd) != target}
        if not new or time.monotonic() > deadline:
            return new
        gc.collect()


def pending_tasks():
    """Tasks of any loop that are not done and that something still holds."""
    return [o for o in gc.get_objects() if issubclass(type(o), asyncio.Task) and not o.done()]


def parked_thread(target, *args):
    """A started thread that has run `target` when joined; an error in it is raised by `join_all`."""
    box = []

    def body():
        try:
            target(*args)
        except BaseException as error:
            box.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.box = box
    thread.start()
    return thread


def join_all(*threads, timeout=20.0):
    for thread in threads:
        thread.join(timeout)
        assert not thread.is_alive(), f"{thread.name} did not end"
        for error in thread.box:
            raise error


def listener(host="127.0.0.1", backlog=100):
    """A listening TCP socket on a port the system picks."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind((host, 0))
    sock.listen(backlog)
    return sock


@contextlib.contextmanager
def refusing(host="127.0.0.1"):
    """The address of a port that nobody listens on, and that nobody else can take meanwhile."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((host, 0))
        yield sock.getsockname()[:2]


@contextlib.contextmanager
def full_listener():
    """A listening address whose queue is full: a further connect stays on its way."""
    with listener(backlog=0) as server, contextlib.ExitStack() as stack:
        address = server.getsockname()
        while True:
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.05)
            try:
                filler.connect(address)
            except TimeoutError:
                break
        yield address


@contextlib.contextmanager
def tcp_pair(blocking=False):
    """Two connected TCP sockets."""
    with listener() as server:
        first = socket.create_connection(server.getsockname())
        second, _ = server.accept()
    with first, second:
        first.setblocking(blocking)
        second.setblocking(blocking)
        yield first, second


class Recorder(asyncio.Protocol):
    """A protocol that notes every call it gets, in order."""

    def __init__(self):
        self.events = []
        self.data = bytearray()
        self.transport = None
        self.lost = None
        self.is_lost = False

    def connection_made(self, transport):
        self.events.append("made")
        self.transport = transport

    def data_received(self, data):
        self.events.append("data")
        self.data += data

    def eof_received(self):
        self.events.append("eof")

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, exc):
        self.events.append("lost")
        self.lost = exc
        self.is_lost = True

    def order(self):
        """The events with runs of the same one folded, since TCP may cut data anywhere."""
        return [e for i, e in enumerate(self.events) if i == 0 or self.events[i - 1] != e]


class Filler(asyncio.BufferedProtocol):
    """A buffered protocol that notes every call it gets, in order."""

    def __init__(self, size=65536):
        self.buffer = bytearray(size)
        self.events = []
        self.data = bytearray()
        self.transport = None
        self.lost = None
        self.is_lost = False

    def connection_made(self, transport):
        self.events.append("made")
        self.transport = transport

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        self.events.append("data")
        self.data += self.buffer[:nbytes]

    def eof_received(self):
        self.events.append("eof")

    def connection_lost(self, exc):
        self.events.append("lost")
        self.lost = exc
        self.is_lost = True


async def dropped(protocol, transport):
    """Abort a connection that has not ended by itself, and wait until its protocol knows."""
    # Before 3.14, asyncio's abort() fails on a connection that has sent its last and is gone.
    if not getattr(protocol, "is_lost", False):
        transport.abort()
    await until(lambda: getattr(protocol, "is_lost", True))


@contextlib.asynccontextmanager
async def attached(protocol):
    """A transport for `protocol` on one end of a connection, and the plain socket of the other end."""
    loop = asyncio.get_running_loop()
    with tcp_pair() as (mine, peer):
        mine_owned = mine.dup()
        mine.close()
        mine_owned.setblocking(False)
        transport, _ = await loop.create_connection(lambda: protocol, sock=mine_owned)
        try:
            yield transport, peer
        finally:
            await dropped(protocol, transport)


@contextlib.asynccontextmanager
async def serving(factory=Recorder, host="127.0.0.1", port=0, **options):
    """A server, its port, and the protocols of its connections; all closed at the end."""
    loop = asyncio.get_running_loop()
    protocols = []

    def remembered():
        protocol = factory()
        protocols.append(protocol)
        return protocol

    where = () if "sock" in options else (host, port)
    server = await loop.create_server(remembered, *where, **options)
    try:
        yield server, server.sockets[0].getsockname()[1], protocols
    finally:
        # A connection taken from the system's queue may still be on its way to its protocol, and asyncio loses
        # those that are when it closes.
        for _ in range(5):
            await asyncio.sleep(0)
        server.close()
        for protocol in protocols:
            if getattr(protocol, "transport", None) is not None:
                await dropped(protocol, protocol.transport)
        await server.wait_closed()


async def accepted(protocols, count=1):
    """Wait until `count` of a server's protocols have their connection; return the last of them."""
    await until(lambda: sum(protocol.transport is not None for protocol in protocols) >= count)
    return protocols[count - 1]


@contextlib.asynccontextmanager
async def connected(client=Recorder, server=Recorder, **options):
    """A client's and a server's protocol, joined by a connection."""
    loop = asyncio.get_running_loop()
    async with serving(server) as (_, port, protocols):
        transport, protocol = await loop.create_connection(client, "127.0.0.1", port, **options)
        accepted_protocol = await accepted(protocols)
        try:
            yield protocol, accepted_protocol
        finally:
            await dropped(protocol, transport)


def script(loop_name, code, *, arguments=(), timeout=30.0, check=True):
    """Run `code` in a new interpreter, where `new_loop()` makes the loop under test."""
    done = subprocess.run(
        [sys.executable, *arguments, "-c", PRELUDES[loop_name] + code],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=child_environment(),
    )
    if check:
        assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@contextlib.contextmanager
def running_script(loop_name, code, *, arguments=()):
    """Start `code` in a new interpreter, and wait until it has said `ready`."""
    with subprocess.Popen(
        [sys.executable, "-u", *arguments, "-c", PRELUDES[loop_name] + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
    ) as process:
        try:
            line = process.stdout.readline().strip()
            assert line == "ready", f"{line}\n{process.stderr.read()}"
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_until_parked(process, timeout=10.0):
    """Wait until the only thread of `process` sleeps in the kernel."""
    deadline = time.monotonic() + timeout
    while pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() < deadline, "the process never sleeps"


def child_environment():
    """This process's environment, with the modules that this process finds."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}

"""Connecting, accepting, sending datagrams and files by hand, cancelled anywhere, end the same on both loops."""

import asyncio
import concurrent.futures
import contextlib
import io
import os
import pathlib
import random
import select
import socket
import struct
import tempfile

import pytest

from differential.conversations import trace_of
from toolkit import full_listener, listener, refusing, tcp_pair

CONTENT = bytes(range(256)) * 4


class Scene:
    """Sockets in some state, the calls on them, and what may happen to them from outside.

    `calls` and `events` are methods by name.  A call returns a coroutine; it may be made again when the last is over.
    """

    calls = ()
    events = ()

    def __init__(self, loop, stack):
        self.loop = loop
        self.stack = stack
        self.socks = []
        self.prepare()

    def own(self, sock):
        sock.setblocking(False)
        self.socks.append(self.stack.enter_context(sock))
        return sock

    def describe(self, result):
        return repr(result)


class Accepting(Scene):
    calls = ("accept",)
    events = ("knock", "knock_and_leave", "close")

    def prepare(self):
        self.server = self.own(listener())
        self.address = self.server.getsockname()

    def accept(self, number):
        return self.loop.sock_accept(self.server)

    def knock(self):
        with contextlib.suppress(ConnectionRefusedError):
            self.stack.enter_context(socket.create_connection(self.address))

    def knock_and_leave(self):
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(self.address).close()

    def close(self):
        # With a call in progress, what becomes of it is a documented difference.
        if not self.waits:
            self.server.close()

    def describe(self, result):
        sock, address = result
        with sock:
            return "accepted", address[0], sock.gettimeout()


class Connecting(Scene):
    calls = ("connect", "connect_refused", "connect_full")
    events = ("renew",)

    def prepare(self):
        self.server = self.stack.enter_context(listener())
        self.full = self.stack.enter_context(full_listener())
        self.refusing = self.stack.enter_context(refusing())
        self.renew()

    def renew(self):
        """Another socket, the last being connected or spoilt."""
        self.sock = self.own(socket.socket())

    def connect(self, number):
        return self.loop.sock_connect(self.sock, self.server.getsockname())

    def connect_refused(self, number):
        return self.loop.sock_connect(self.sock, self.refusing)

    def connect_full(self, number):
        return self.loop.sock_connect(self.sock, self.full)


class SendingDatagrams(Scene):
    calls = ("send", "send_much", "send_no_bytes", "send_nowhere")
    events = ("receive", "receive_all", "leave")

    def prepare(self):
        # A Unix socket has room for few datagrams, and sending waits.
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.path = f"{folder}/peer"
        self.peer = self.own(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.peer.bind(self.path)
        self.sock = self.own(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))

    def send(self, number):
        return self.loop.sock_sendto(self.sock, b"d" * number, self.path)

    async def send_much(self, number):
        for _ in range(number * 3):
            await self.loop.sock_sendto(self.sock, b"much", self.path)
        return "all sent"

    def send_no_bytes(self, number):
        return self.loop.sock_sendto(self.sock, "text", self.path)

    def send_nowhere(self, number):
        return self.loop.sock_sendto(self.sock, b"data", self.path + ".not")

    def receive(self):
        with contextlib.suppress(BlockingIOError, OSError):
            self.peer.recv(100)

    def receive_all(self):
        with contextlib.suppress(BlockingIOError, OSError):
            while True:
                self.peer.recv(100)

    def leave(self):
        # A sender that waits is woken or not as the kernel likes.
        if not self.waits:
            self.peer.close()


class AtOnce(concurrent.futures.ThreadPoolExecutor):
    """Does what it is asked for before it answers, so that nothing depends on a thread's speed."""

    def submit(self, function, /, *args, **kwargs):
        future = concurrent.futures.Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class SendingFiles(Scene):
    calls = ("send", "send_part", "send_much", "send_by_hand", "send_text")
    events = ("receive_all", "receive_all", "hang_up")

    def prepare(self):
        self.sock, self.peer = (self.own(sock) for sock in self.stack.enter_context(tcp_pair()))
        self.folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.small = self.file("small", CONTENT)
        # More than a script can send: how much of it fits into the sockets is the system's affair.
        self.large = self.file("large", b"")
        os.truncate(self.large.name, 500_000_000)
        self.text = self.stack.enter_context(io.TextIOWrapper(self.file("text", CONTENT)))
        # What is copied by hand is read there.
        self.loop.set_default_executor(AtOnce())

    def file(self, name, content):
        path = os.path.join(self.folder, name)
        pathlib.Path(path).write_bytes(content)
        return self.stack.enter_context(io.FileIO(path))

    def send(self, number):
        return self.loop.sock_sendfile(self.sock, self.small, number)

    def send_part(self, number):
        return self.loop.sock_sendfile(self.sock, self.small, number, number)

    def send_much(self, number):
        return self.loop.sock_sendfile(self.sock, self.large, number)

    def send_by_hand(self, number):
        return self.loop.sock_sendfile(self.sock, Unnumbered(self.small), number, number)

    def send_text(self, number):
        return self.loop.sock_sendfile(self.sock, self.text)

    def receive_all(self):
        with contextlib.suppress(BlockingIOError, OSError):
            while self.peer.recv(1 << 20):
                pass

    def hang_up(self):
        if self.peer.fileno() < 0:
            return
        # By a reset, of which our end knows before the script goes on.
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()
        poll = select.poll()
        poll.register(self.sock, 0)
        assert poll.poll(10_000)


class Unnumbered:
    """A file without a descriptor, which must be copied by hand."""

    def __init__(self, file):
        self.seek = file.seek
        self.read = file.read
        self.readinto = file.readinto


SCENES = [Accepting, Connecting, SendingDatagrams, SendingFiles]


def write_script(chance, scene):
    return [
        (
            chance.choice(("begin", "begin", "event", "event", "cancel", "turns")),
            chance.choice(scene.calls),
            chance.choice(scene.events),
            chance.randint(1, 30),
        )
        for _ in range(chance.randint(3, 14))
    ]


def described(task, scene):
    if task is None or not task.done():
        return "waits" if task else None
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    return neutral(error) if error is not None else scene.describe(task.result())


def neutral(error):
    """Without the numbers of ports and the names of folders."""
    if isinstance(error, OSError):
        return type(error).__name__, error.errno
    return type(error).__name__, str(error)


async def turns(count=6):
    for _ in range(count):
        await asyncio.sleep(0)


async def play(scene_kind, steps):
    loop = asyncio.get_running_loop()
    trace = []
    task = None
    with contextlib.ExitStack() as stack:
        scene = scene_kind(loop, stack)
        for kind, call, event, number in steps:
            scene.waits = task is not None
            if kind == "begin" and task is None:
                task = asyncio.ensure_future(getattr(scene, call)(number))
                await turns(number % 4)
            elif kind == "event":
                getattr(scene, event)()
            elif kind == "cancel" and task is not None:
                task.cancel()
                await turns(number % 3)
            await turns()
            trace.append((kind, call, event, described(task, scene)))
            if task is not None and task.done():
                task = None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            trace.append(described(task, scene))
        # Nobody watches the sockets any more, however the calls ended.
        trace += [(loop.remove_reader(s), loop.remove_writer(s)) for s in scene.socks if s.fileno() >= 0]
    return trace


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
@pytest.mark.parametrize("seed", range(40))
def test_traces_are_equal(seed, scene):
    steps = write_script(random.Random(f"{scene.__name__} {seed}"), scene)

    def playing():
        return play(scene, steps)

    assert trace_of("epicycle", playing) == trace_of("asyncio", playing), steps


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_scripts_do_something(scene):
    # A generator gone dull would make every comparison above pass.
    ends = set()
    for seed in range(40):
        steps = write_script(random.Random(f"{scene.__name__} {seed}"), scene)
        ends |= {
            end if end in ("cancelled", "waits") else "ended"
            for *_, end in trace_of("asyncio", lambda steps=steps: play(scene, steps))
            if isinstance(end, str | tuple)
        }
    assert ends == {"cancelled", "waits", "ended"}

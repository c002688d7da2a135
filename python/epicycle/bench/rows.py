"""The rows of the benchmark: what each is called, what one operation of it is, and how it is measured."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.util import find_spec

__all__ = ("ROWS", "Load", "Row", "named")


@dataclass(frozen=True)
class Load:
    """A server under load: the ``kind`` of server, and what the clients do to it.

    ``pattern`` is ``echo`` (each connection sends, waits for the reply, sends again) or ``connect`` (connect, one
    exchange, close); ``connections`` are open at once; ``size`` is a message's length in bytes.
    """

    kind: str
    pattern: str
    connections: int
    size: int


@dataclass(frozen=True)
class Row:
    """One row.

    ``operation`` says what is counted. ``load`` is None for a row inside one process. ``brief`` rows are those of
    ``epicycle bench``; the others have to be asked for.
    """

    name: str
    title: str
    operation: str
    load: Load | None = None
    brief: bool = True

    @property
    def by_cpu(self) -> bool:
        """Whether CPU time per operation decides who is ahead.

        So for every server: the load is Python too and about as fast as a good server, and a server that waits
        for its clients does fewer operations for their sake. One that never waits does 1/CPU of them.
        """
        return self.load is not None

    def missing(self) -> str:
        """What this system lacks for the row, or an empty string."""
        if self.load is not None and self.load.kind == "tls" and find_spec("_ssl") is None:
            return "this Python has no ssl module"
        if self.name == "process_start" and shutil.which("true") is None:
            return "there is no program 'true' to start"
        return ""


ROWS = (
    Row("call_soon_chain", "call_soon", "a callback schedules itself again: a turn of the loop for each"),
    Row(
        "call_soon_batch",
        "call_soon, many at once",
        "one of many callbacks scheduled at once and then run",
        brief=False,
    ),
    Row("timers", "Timers", "one of many call_later within a few ms, every other one cancelled"),
    Row("task_switch", "Task switch", "sleep(0) in one of a hundred tasks"),
    Row("spawn_await", "Task spawn", "a task made and awaited"),
    Row("future_wakeup", "Future wake-up", "a task wakes another through a new future"),
    Row(
        "queue_pingpong", "Queue ping-pong", "an item through an asyncio.Queue, to and fro between two tasks"
    ),
    Row("executor_roundtrip", "Executor round trip", "the loop waits for run_in_executor"),
    Row(
        "threadsafe_roundtrip",
        "call_soon_threadsafe",
        "another thread waits for run_coroutine_threadsafe(...).result()",
    ),
    Row(
        "threadsafe_flood",
        "call_soon_threadsafe, flood",
        "one of many callbacks that another thread schedules as fast as it can",
        brief=False,
    ),
    Row(
        "protocol_echo",
        "TCP echo, Protocol",
        "1 KiB to a Protocol and back, over 64 connections",
        Load("protocol", "echo", 64, 1024),
    ),
    Row(
        "streams_echo",
        "TCP echo, streams",
        "1 KiB to start_server's StreamReader and back, over 64 connections",
        Load("streams", "echo", 64, 1024),
    ),
    Row(
        "tls_echo",
        "TLS echo, Protocol",
        "1 KiB to a Protocol and back, over 64 TLS connections",
        Load("tls", "echo", 64, 1024),
    ),
    Row(
        "udp_echo",
        "UDP echo",
        "a datagram of 1 KiB to a DatagramProtocol and back, 64 peers",
        Load("udp", "echo", 64, 1024),
    ),
    Row(
        "unix_echo",
        "Unix socket echo",
        "1 KiB to a Protocol and back, over 64 Unix sockets",
        Load("unix", "echo", 64, 1024),
    ),
    Row(
        "sock_echo",
        "sock_recv, sock_sendall",
        "1 KiB to a task and back, over 64 connections without transports",
        Load("sock", "echo", 64, 1024),
        brief=False,
    ),
    Row(
        "protocol_echo_64k",
        "TCP 64 KiB, Protocol",
        "64 KiB to a Protocol and back, over 64 connections",
        Load("protocol", "echo", 64, 65536),
        brief=False,
    ),
    Row(
        "streams_echo_64k",
        "TCP 64 KiB, streams",
        "64 KiB to a StreamReader and back, over 64 connections",
        Load("streams", "echo", 64, 65536),
        brief=False,
    ),
    Row(
        "tls_echo_64k",
        "TLS 64 KiB, Protocol",
        "64 KiB to a Protocol and back, over 64 TLS connections",
        Load("tls", "echo", 64, 65536),
        brief=False,
    ),
    Row(
        "connect_close",
        "Connect and close",
        "connect, 1 KiB to and fro, close; 16 at a time",
        Load("protocol", "connect", 16, 1024),
    ),
    Row(
        "process_start", "Start a process", "create_subprocess_exec of 'true', waited for; one after another"
    ),
)


def named(name: str) -> Row:
    """The row of that name; raises KeyError."""
    return {row.name: row for row in ROWS}[name]

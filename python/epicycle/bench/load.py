"""The load of a network row: plain sockets over epoll, without any event loop. Prints a JSON object.

It has to be cheaper than what it measures. Whether it was is in the answer, as the shares of a core that client and
server used; the server's CPU time per operation does not depend on it.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import time
from collections.abc import Callable

from .gauges import Answer, cpu_seconds, latencies, peak_kib

__all__ = ("main",)

HOST = "127.0.0.1"
PATIENCE = 5.0  # seconds
# Warming up takes half as long as measuring, up to so many seconds.
WARM_UP = 0.3

# Fills the buffer with at most so many bytes and says how many; BlockingIOError means none yet, 0 the end.
Receive = Callable[[bytearray, int], int]
Send = Callable[[bytes | memoryview], int]
# Runs for so many seconds and returns how long every operation took, in seconds.
Pattern = Callable[[float], list[float]]


class Mismatch(Exception):
    """The server did not send back what it was sent."""


def connected(kind: str, address: str) -> socket.socket:
    """A connection to the server, blocking for now."""
    if kind == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect("\0" + address.removeprefix("@"))
    elif kind == "udp":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(PATIENCE)
        sock.connect((HOST, int(address)))
    else:
        sock = socket.create_connection((HOST, int(address)), PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if kind == "tls":
        # Nobody is to be trusted here, and the server's key is known to everybody.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        sock = context.wrap_socket(sock)
    return sock


def over_tls(sock: ssl.SSLSocket) -> tuple[Receive, Send]:
    """The two methods of a TLS socket with the manners of a plain one."""

    def receive(buffer: bytearray, most: int) -> int:
        # To the last record: what OpenSSL holds already, epoll knows nothing of.
        total = 0
        view = memoryview(buffer)
        try:
            while total < most:
                got = sock.recv_into(view[total:most])
                if not got:
                    return total
                total += got
        except ssl.SSLWantReadError:
            if not total:
                raise BlockingIOError from None
        return total

    def send(data: bytes | memoryview) -> int:
        try:
            return sock.send(data)
        except ssl.SSLWantWriteError:
            return 0

    return receive, send


def first_exchange(sock: socket.socket, message: bytes) -> None:
    """One message to and fro, compared whole; later ones only by their length and ends. Raises Mismatch."""
    sock.sendall(message)
    received = b""
    while len(received) < len(message):
        piece = sock.recv(len(message) - len(received))
        if not piece:
            raise Mismatch("the server closed a connection")
        received += piece
    if received != message:
        raise Mismatch("other bytes came back")


def echo(kind: str, address: str, connections: int, size: int) -> Pattern:
    """Each connection sends ``size`` bytes, waits for them, sends again."""
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    whole = memoryview(message)
    first_byte, last_byte = message[0], message[-1]
    buffer = bytearray(size)
    poller = select.epoll()
    sockets: dict[int, socket.socket] = {}
    methods: dict[int, tuple[Receive, Send]] = {}
    for _ in range(connections):
        sock = connected(kind, address)
        first_exchange(sock, message)
        sock.setblocking(False)
        sockets[sock.fileno()] = sock
        methods[sock.fileno()] = (
            over_tls(sock) if isinstance(sock, ssl.SSLSocket) else (sock.recv_into, sock.send)
        )
        poller.register(sock.fileno(), select.EPOLLIN)
    received = dict.fromkeys(sockets, 0)
    # What the socket would not take of a message: from where on.
    unsent: dict[int, int] = {}
    started = dict.fromkeys(sockets, 0.0)
    clock = time.perf_counter

    def send_rest(fd: int) -> None:
        unsent[fd] += methods[fd][1](whole[unsent[fd] :])
        if unsent[fd] == size:
            del unsent[fd]
            poller.modify(fd, select.EPOLLIN)

    def begin(fd: int) -> None:
        started[fd] = clock()
        sent = methods[fd][1](message)
        if sent != size:
            unsent[fd] = sent
            poller.modify(fd, select.EPOLLIN | select.EPOLLOUT)

    def run(seconds: float) -> list[float]:
        times: list[float] = []
        poll, note = poller.poll, times.append
        end = clock() + seconds
        while clock() < end or not times:
            events = poll(PATIENCE)
            if not events:
                raise Mismatch(f"no reply for {PATIENCE:g} s")
            for fd, _ in events:
                if fd in unsent:
                    send_rest(fd)
                receive, send = methods[fd]
                before = received[fd]
                try:
                    got = receive(buffer, size - before)
                except BlockingIOError:
                    continue
                if not got:
                    raise Mismatch("the server closed a connection")
                if not before and buffer[0] != first_byte:
                    raise Mismatch("other bytes came back")
                if before + got < size:
                    received[fd] = before + got
                    continue
                if buffer[got - 1] != last_byte:
                    raise Mismatch("other bytes came back")
                if before:
                    received[fd] = 0
                now = clock()
                note(now - started[fd])
                started[fd] = now
                sent = send(message)
                if sent != size:
                    unsent[fd] = sent
                    poller.modify(fd, select.EPOLLIN | select.EPOLLOUT)
        return times

    for fd in sockets:
        begin(fd)
    return run


def connect(kind: str, address: str, connections: int, size: int) -> Pattern:
    """Connect, one exchange of ``size`` bytes, close; ``connections`` at once, to keep the server busy."""
    message = bytes(size)
    where = (HOST, int(address))
    clock = time.perf_counter

    def run(seconds: float) -> list[float]:
        times: list[float] = []
        end = clock() + seconds
        while clock() < end or not times:
            sockets = [socket.socket() for _ in range(connections)]
            started = []
            for sock in sockets:
                sock.settimeout(PATIENCE)
                started.append(clock())
                sock.connect(where)
                sock.send(message)
            for sock, before in zip(sockets, started, strict=True):
                if len(sock.recv(size, socket.MSG_WAITALL)) != size:
                    raise Mismatch("the reply is too short")
                times.append(clock() - before)
                sock.close()
        return times

    return run


PATTERNS = {"echo": echo, "connect": connect}


def main(
    pattern: str, kind: str, address: str, pid: int, connections: int, size: int, seconds: float
) -> None:
    """Load the server of process ``pid`` for ``seconds`` after warming up, and print the answer."""
    run = PATTERNS[pattern](kind, address, connections, size)
    run(min(WARM_UP, seconds / 2))
    server, client, start = cpu_seconds(pid), time.process_time(), time.perf_counter()
    times = run(seconds)
    # A very short run may have met only replies that the server had sent before.
    while cpu_seconds(pid) == server:
        times += run(seconds)
    wall = time.perf_counter() - start
    client, server = time.process_time() - client, cpu_seconds(pid) - server
    answer: Answer = {
        "rate": len(times) / wall,
        "cpu_us": server / len(times) * 1e6,
        "busy": server / wall,
        "client_busy": client / wall,
        "peak_kib": peak_kib(pid),
    }
    print(json.dumps(answer | latencies(times)))

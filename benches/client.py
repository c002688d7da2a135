"""The load of a network row: `python client.py echo|connect PORT PID CONNECTIONS SIZE SECONDS` prints JSON.

Plain sockets over epoll, without any event loop: it has to be cheaper than what it measures. Whether it was
is in the answer, as the share of the time that client and server were busy. PID is the server's: its CPU time
is read from the process's own clock around the measured interval, with all its threads, to the nanosecond.
"""

import json
import select
import socket
import sys
import time
from collections.abc import Callable

WARM_UP = 0.3  # seconds
PATIENCE = 5  # seconds


class Mismatch(Exception):
    """The server did not send back what it was sent."""


def cpu_clock(pid: int) -> int:
    """The id of another process's CPU-time clock, as clock_getcpuclockid(3) makes it on Linux."""
    return ((~pid) << 3) | 2


def echo(port: int, connections: int, size: int) -> Callable[[float], int]:
    """Each connection sends `size` bytes, waits for them, sends again."""
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    buffer = bytearray(size)
    view = memoryview(buffer)
    poller = select.epoll()
    sockets = {}
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        sockets[sock.fileno()] = sock
        poller.register(sock.fileno(), select.EPOLLIN)
    methods = {fd: (sock.recv_into, sock.send) for fd, sock in sockets.items()}
    partial = dict.fromkeys(sockets, 0)
    for sock in sockets.values():
        sock.sendall(message)

    def run(seconds: float) -> int:
        exchanges = 0
        clock = time.monotonic
        end = clock() + seconds
        while clock() < end:
            events = poller.poll(PATIENCE)
            if not events:
                raise Mismatch(f"no reply for {PATIENCE} s")
            for fd, _ in events:
                receive, send = methods[fd]
                got = receive(buffer)
                if got != size:
                    if not got:
                        raise Mismatch("the server closed a connection")
                    # A reply in pieces: rare at these sizes, so it may be slower.
                    partial[fd] += got
                    if partial[fd] < size:
                        continue
                    partial[fd] = 0
                elif buffer[0] != message[0] or buffer[-1] != message[-1]:
                    raise Mismatch("other bytes came back")
                if send(message) != size:
                    raise Mismatch("the socket took only a part of a message")
                exchanges += 1
        return exchanges

    # Checked whole once; in the loop above only the ends.
    first = next(iter(sockets.values()))
    first.setblocking(True)
    received = 0
    while received < size:
        received += first.recv_into(view[received:])
    if bytes(buffer) != message:
        raise Mismatch("other bytes came back")
    first.sendall(message)
    first.setblocking(False)
    return run


def connect(port: int, connections: int, size: int) -> Callable[[float], int]:
    """Connect, one exchange of `size` bytes, close; `connections` at once, to keep the server busy."""
    message = bytes(size)
    address = ("127.0.0.1", port)

    def run(seconds: float) -> int:
        done = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sockets = [socket.socket() for _ in range(connections)]
            for sock in sockets:
                sock.connect(address)
                sock.send(message)
            for sock in sockets:
                if len(sock.recv(size, socket.MSG_WAITALL)) != size:
                    raise Mismatch("the reply is too short")
                sock.close()
            done += connections
        return done

    return run


def main() -> None:
    kind = {"echo": echo, "connect": connect}[sys.argv[1]]
    port, pid, connections, size = map(int, sys.argv[2:6])
    run = kind(port, connections, size)
    run(WARM_UP)
    clock = cpu_clock(pid)
    server, client, start = time.clock_gettime(clock), time.process_time(), time.perf_counter()
    operations = run(float(sys.argv[6]))
    wall = time.perf_counter() - start
    client, server = time.process_time() - client, time.clock_gettime(clock) - server
    answer = {
        "rate": operations / wall,
        "cpu_us": server / operations * 1e6,
        "busy": server / wall,
        "client_busy": client / wall,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

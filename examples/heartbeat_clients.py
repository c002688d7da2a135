"""The clients of `heartbeats.py`: thousands of WebSockets in one process, made of bare asyncio protocols.

    epicycle run examples/heartbeat_clients.py 127.0.0.1:8080 --clients 5000

Each answers pings and counts messages that begin with "tick"; at "die" it stops reading for good, but stays connected,
as one whose machine hangs. The first client is the slow one: it asks for /slow and reads little at a time. When its
standard input ends, one line of JSON says what they saw.
"""

import argparse
import asyncio
import base64
import json
import os
import socket
import statistics
import struct
import sys
import time

# Few: while the server opens connections, those that are open wait with their answers to its pings.
AT_ONCE = 32
SLOW_BYTES = 32 * 1024
SLOW_PAUSE = 0.1
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


def request(path: str, host: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Client(asyncio.Protocol):
    """One WebSocket: the handshake, frames of any length from the server, short ones to it."""

    def __init__(self, path: str, host: str) -> None:
        self.opening = request(path, host)
        self.is_open = asyncio.get_running_loop().create_future()
        self.buffer = bytearray()
        self.pings = self.ticks = 0
        self.lateness: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.opening)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.is_open.done():
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.transport.abort()
                return
            self.buffer = rest
            self.is_open.set_result(None)
        while self.take_frame():
            pass

    def take_frame(self) -> bool:
        """Take one frame off the buffer, if a whole one is there."""
        if len(self.buffer) < 2:
            return False
        length, start = self.buffer[1] & 0x7F, 2
        if length >= 126:
            form = "!H" if length == 126 else "!Q"
            start += struct.calcsize(form)
            if len(self.buffer) < start:
                return False
            (length,) = struct.unpack_from(form, self.buffer, 2)
        if len(self.buffer) < start + length:
            return False
        kind, payload = self.buffer[0] & 0x0F, bytes(self.buffer[start : start + length])
        del self.buffer[: start + length]
        self.frame_received(kind, payload)
        return True

    def frame_received(self, kind: int, payload: bytes) -> None:
        if kind == PING:
            self.pings += 1
            self.send(PONG, payload)
        elif kind == CLOSE:
            self.send(CLOSE, payload)
        elif payload == b"die":
            self.transport.pause_reading()
        elif payload.startswith(b"tick "):
            self.ticks += 1
            # Both processes read the same clock of the same machine.
            self.lateness.append(time.monotonic() - float(payload[5:]))

    def send(self, kind: int, payload: bytes) -> None:
        # A mask of zeros is a mask, and leaves the payload as it is.
        self.transport.write(bytes([0x80 | kind, 0x80 | len(payload)]) + bytes(4) + payload)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_open.done():
            self.is_open.set_exception(error or ConnectionResetError("the server closed the connection"))


class SlowClient(Client):
    """Reads little, and then pauses: what it asks for comes faster than it takes it."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.read = getattr(self, "read", 0) + len(data)
        if self.read >= SLOW_BYTES:
            self.read = 0
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(SLOW_PAUSE, self.go_on)

    def go_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()


async def connect_all(host: str, port: int, count: int) -> list[Client]:
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(AT_ONCE)

    async def connect(number: int) -> Client:
        async with gate:
            sock = socket.socket()
            sock.setblocking(False)
            if number == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BYTES)
            try:
                await loop.sock_connect(sock, (host, port))
            except BaseException:
                sock.close()
                raise
            kind, path = (SlowClient, "/slow") if number == 0 else (Client, "/")
            _, client = await loop.create_connection(lambda: kind(path, f"{host}:{port}"), sock=sock)
            await client.is_open
            return client

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(connect(number)) for number in range(count)]
    return [task.result() for task in tasks]


async def end_of_input() -> None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()
    transport.close()


async def swarm(host: str, port: int, count: int) -> None:
    slow, *others = clients = await connect_all(host, port, count)
    await end_of_input()
    lateness = [late for client in others for late in client.lateness] or [0.0]
    report = {
        "fewest pings": min(client.pings for client in clients),
        "most pings": max(client.pings for client in clients),
        "ticks": sum(client.ticks for client in others),
        "ticks of the slow one": slow.ticks,
        "median lateness": statistics.median(lateness),
        "greatest lateness": max(lateness),
    }
    print(json.dumps(report), flush=True)
    for client in clients:
        client.transport.abort()


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not like 127.0.0.1:8080")
    return host, int(port)


def main() -> None:
    parser = argparse.ArgumentParser(description="Be thousands of clients of heartbeats.py.")
    parser.add_argument("address", type=address, help="the server's host:port, the host as a number")
    parser.add_argument("--clients", type=int, default=1000, help="how many (default: 1000)")
    args = parser.parse_args()
    try:
        asyncio.run(swarm(*args.address, args.clients))
    except* OSError as errors:
        error = errors.exceptions[0]
        sys.exit(f"heartbeat_clients: cannot connect to {':'.join(map(str, args.address))}: {error}")
    except* KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

"""A WebSocket server that pings thousands of clients, finds the dead ones, and is not held up by a slow one.

    epicycle run examples/heartbeats.py --clients 5000
    epicycle run examples/heartbeats.py --clients 5000 --library aiohttp

The clients are those of `heartbeat_clients.py`, which this program starts in a process of its own. When all are there,
the server counts for some beats what they cost it. At each beat every client gets a message, through an outbox of its
own: who does not take what is in it loses the oldest, and delays nobody. One client asks for more than it reads to show
that. Then some clients are told to play dead, connected but mute, and the server's heartbeat has to find them.

The exit status is 1 where a dead client was not found, a live one was taken for dead, or a message went missing.
"""

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).with_name("heartbeat_clients.py")
FILES_BESIDES_CLIENTS = 100
BACKLOG = 1024
OUTBOX = 16
GROUP = 100
FLOOD = "x" * 32 * 1024
FLOOD_PAUSE = 0.02
# What the system holds back for a client is also ahead of the next ping to it, so it must not be much.
SEND_BUFFER = 32 * 1024
SECONDS_TO_CONNECT = 120.0
# A dead client is found within two beats: one until the next ping, and part of another for its answer.
PATIENCE_IN_BEATS = 0.6


@dataclass(eq=False)
class Peer:
    """A connected client: what is to be sent to it, and what became of it."""

    wants_flood: bool
    outbox: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(OUTBOX))
    lost_messages: int = 0
    told_to_die: float | None = None

    def post(self, message: str) -> None:
        """Put `message` into the outbox; never waits."""
        if self.outbox.full():
            self.outbox.get_nowait()
            self.lost_messages += 1
        self.outbox.put_nowait(message)

    async def send_outbox(self, send: Callable[[str], Awaitable[None]]) -> None:
        """Hand over one message after another; `send` takes as long as the client does."""
        while True:
            await send(await self.outbox.get())


class Room:
    """Everybody who is connected, whatever library the connection is made of."""

    def __init__(self) -> None:
        self.peers: set[Peer] = set()
        self.changed = asyncio.Condition()
        self.found_dead: list[float] = []
        self.taken_for_dead = 0
        self.open = True

    @contextlib.asynccontextmanager
    async def visit(self, path: str, send: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
        """Be in the room while the body of `async with` reads what the client sends, to the connection's end."""
        peer = Peer(wants_flood=path == "/slow")
        sender = asyncio.create_task(peer.send_outbox(send))
        await self.note(lambda: self.peers.add(peer))
        try:
            yield
        finally:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await sender
            await self.note(lambda: self._leave(peer))

    async def note(self, change: Callable[[], None]) -> None:
        """Make a change that `wait_until` may be waiting for."""
        async with self.changed:
            change()
            self.changed.notify_all()

    def _leave(self, peer: Peer) -> None:
        self.peers.discard(peer)
        if peer.told_to_die is not None:
            self.found_dead.append(time.monotonic() - peer.told_to_die)
        elif self.open:
            self.taken_for_dead += 1

    async def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self.changed:
                await self.changed.wait_for(condition)
        return condition()


def listener() -> socket.socket:
    """Where clients connect; the connections inherit the size of its send buffer."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return sock


@contextlib.asynccontextmanager
async def serve_with_websockets(room: Room, beat: float) -> AsyncIterator[int]:
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosed

    async def handler(connection: ServerConnection) -> None:
        async with room.visit(connection.request.path if connection.request else "/", connection.send):
            with contextlib.suppress(ConnectionClosed):
                async for _ in connection:
                    pass

    server = await serve(
        handler,
        sock=listener(),
        backlog=BACKLOG,
        compression=None,
        ping_interval=beat,
        ping_timeout=beat * PATIENCE_IN_BEATS,
        # The dead do not answer to a closing handshake either.
        close_timeout=beat / 20,
        open_timeout=SECONDS_TO_CONNECT,
    )
    try:
        yield next(iter(server.sockets)).getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def serve_with_aiohttp(room: Room, beat: float) -> AsyncIterator[int]:
    from aiohttp import web

    async def handler(request: web.Request) -> web.WebSocketResponse:
        # aiohttp waits half a heartbeat for the answer to a ping.
        websocket = web.WebSocketResponse(heartbeat=beat, compress=False, timeout=beat / 20)
        await websocket.prepare(request)
        async with room.visit(request.path, websocket.send_str):
            async for _ in websocket:
                pass
        return websocket

    app = web.Application()
    app.add_routes([web.get("/", handler), web.get("/slow", handler)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener(), backlog=BACKLOG).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


LIBRARIES = {"websockets": serve_with_websockets, "aiohttp": serve_with_aiohttp}


@contextlib.asynccontextmanager
async def swarm(port: int, clients: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The clients, in a process of their own and out of reach of the terminal's Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "epicycle", "run", CLIENTS, f"127.0.0.1:{port}", "--clients", str(clients)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        process_group=0,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def swarm_report(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """End the clients; what they saw."""
    output, _ = await process.communicate(b"")
    return json.loads(output.splitlines()[-1])


def memory() -> int:
    """What this process has in memory, in KiB."""
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])


async def tick(room: Room, beats: int, beat: float) -> None:
    """A message to everybody once in each beat; as much as goes in to who wants more.

    The messages are spread over the beat, lest the loop be busy with them for long: the answers to pings wait as well.
    """

    async def flood(peer: Peer) -> None:
        while True:
            peer.post(FLOOD)
            await asyncio.sleep(FLOOD_PAUSE)

    floods = [asyncio.create_task(flood(peer)) for peer in room.peers if peer.wants_flood]
    everybody = list(room.peers)
    groups = [everybody[start : start + GROUP] for start in range(0, len(everybody), GROUP)]
    began = time.monotonic()
    for turn in range(beats * len(groups)):
        message = f"tick {time.monotonic()}"
        for peer in groups[turn % len(groups)]:
            peer.post(message)
        await asyncio.sleep(began + (turn + 1) * beat / len(groups) - time.monotonic())
    for task in floods:
        task.cancel()
    await asyncio.gather(*floods, return_exceptions=True)


async def show(args: argparse.Namespace) -> bool:
    room = Room()
    empty = memory()
    rows: dict[str, str] = {
        "loop": str(type(asyncio.get_running_loop())),
        "library": f"{args.library} {importlib.import_module(args.library).__version__}",
    }
    async with LIBRARIES[args.library](room, args.beat) as port, swarm(port, args.clients) as process:
        print(f"{args.clients} clients visit port {port} (process {os.getpid()})", flush=True)
        ended = asyncio.ensure_future(process.wait())
        ended.add_done_callback(lambda _: asyncio.ensure_future(room.note(lambda: None)))
        began = time.monotonic()
        await room.wait_until(
            lambda: len(room.peers) == args.clients or room.taken_for_dead > 0 or ended.done(),
            SECONDS_TO_CONNECT,
        )
        if room.taken_for_dead:
            sys.exit("heartbeats: this machine is too busy to answer pings in time: try a longer --beat")
        if len(room.peers) != args.clients:
            sys.exit(f"heartbeats: only {len(room.peers)} of {args.clients} clients came")
        print(f"all connected after {time.monotonic() - began:.1f} s", flush=True)

        slow = [peer for peer in room.peers if peer.wants_flood]
        began, used = time.monotonic(), time.process_time()
        await tick(room, args.beats, args.beat)
        seconds, used = time.monotonic() - began, time.process_time() - used
        full = memory()
        rows["heartbeat"] = f"a ping to each every {args.beat:g} s, observed for {args.beats} beats"
        rows["processor of the server"] = f"{100 * used / seconds:.0f} % of a core"
        rows["memory of the server"] = f"{full} KiB, {(full - empty) / args.clients:.1f} KiB for each client"

        dying = [peer for peer in room.peers if not peer.wants_flood][: args.dead]
        for peer in dying:
            peer.told_to_die = time.monotonic()
            peer.post("die")
        await room.wait_until(lambda: len(room.found_dead) == len(dying), 5 * args.beat)
        room.open = False
        seen = await swarm_report(process)

    found = room.found_dead
    late = f", the last after {max(found) / args.beat:.2f} beats" if found else ""
    ticks_due = args.beats * (args.clients - 1)
    rows["pings answered"] = f"{seen['fewest pings']} to {seen['most pings']} by each client"
    rows["dead clients found"] = f"{len(found)} of {len(dying)}{late}"
    rows["live clients taken for dead"] = str(room.taken_for_dead)
    rows["slow client"] = f"lost {sum(peer.lost_messages for peer in slow)} messages of its own"
    rows["messages to the others"] = (
        f"{seen['ticks']} of {ticks_due}, late by {1000 * seen['median lateness']:.1f} ms (median), "
        f"{1000 * seen['greatest lateness']:.1f} ms (greatest)"
    )
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows.items()))
    return len(found) == len(dying) and not room.taken_for_dead and seen["ticks"] == ticks_due


def allow_open_files(wanted: int) -> None:
    """Raise this process's limit of open files, which the clients' process inherits, to `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            sys.exit(
                f"heartbeats: {wanted} open files are needed, and the system allows {hard}: try fewer --clients"
            )


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def seconds(text: str) -> float:
    number = float(text)
    if not 0.1 <= number <= 3600:
        raise argparse.ArgumentTypeError("must be 0.1 to 3600")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Ping thousands of WebSocket clients, and find the dead ones."
    )
    parser.add_argument("--library", choices=LIBRARIES, default="websockets")
    parser.add_argument("--clients", type=positive, default=1000, help="how many (default: 1000)")
    parser.add_argument("--dead", type=positive, default=20, help="how many of them die (default: 20)")
    parser.add_argument("--beat", type=seconds, default=2.0, help="seconds between two pings (default: 2)")
    parser.add_argument("--beats", type=positive, default=3, help="how many are observed (default: 3)")
    args = parser.parse_args()
    if args.dead >= args.clients:
        parser.error("argument --dead: must be fewer than --clients")

    allow_open_files(args.clients + FILES_BESIDES_CLIENTS)
    try:
        as_it_should_be = asyncio.run(show(args))
    except ModuleNotFoundError as error:
        sys.exit(f"heartbeats: the package {error.name} is not installed")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if as_it_should_be else 1)


if __name__ == "__main__":
    main()

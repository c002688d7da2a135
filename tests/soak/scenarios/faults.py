"""Peers and systems that misbehave: the loop goes on, memory stays bounded, nothing is lost."""

import asyncio
import contextlib
import errno
import gc
import pathlib
import random
import resource
import socket
import struct
import subprocess
import tempfile

from scenarios.setting import Skipped, children, contexts_for_tls, has_tls, resident
from toolkit import Recorder, new_descriptors, open_descriptors, serving, until

RESET = struct.pack("ii", 1, 0)
PATIENCE = 60.0


class Echo(Recorder):
    """Says what it hears; keeps nothing."""

    def data_received(self, data):
        self.transport.write(data)


def with_loop(scenario):
    """The check that runs `scenario(loop, setting, figures)` and finds no descriptor open afterwards."""

    def check(setting, figures):
        before = open_descriptors()
        with setting.loop() as loop:
            loop.run_until_complete(scenario(loop, setting, figures))
            loop.run_until_complete(loop.shutdown_default_executor())
        assert not new_descriptors(before), new_descriptors(before)

    return check


async def asked(port, number):
    """One question to an echo server, through streams."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"%d\n" % number)
        answer = await reader.readline()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return int(answer) == number


@with_loop
async def no_descriptors(loop, setting, figures):
    """The limit of descriptors is hit again and again while clients come: each is served in the end."""
    told = []
    loop.set_exception_handler(lambda loop, context: told.append(context))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    served = 0
    # Each takes the second that a loop waits before it tries to accept again.
    times = setting.times(30)
    async with serving(Echo, backlog=1000) as (_, port, _):
        try:
            for number in range(times):
                clients = []
                for _ in range(20):
                    client = socket.socket()
                    client.setblocking(False)
                    client.connect_ex(("127.0.0.1", port))
                    clients.append(client)
                # From here on nothing can be accepted.
                resource.setrlimit(resource.RLIMIT_NOFILE, (len(open_descriptors()) - 1, hard))
                reports = len(told)
                await until(lambda reports=reports: len(told) > reports)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for client in clients:
                    await loop.sock_sendall(client, b"%d" % number)
                for client in clients:
                    assert int(await loop.sock_recv(client, 100)) == number
                    served += 1
                    client.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    figures["times without"] = times
    figures["served"] = served
    figures["reports"] = len(told)
    codes = {context["exception"].errno for context in told}
    assert codes == {errno.EMFILE}, codes


@with_loop
async def resets(loop, setting, figures):
    """Storms of clients that connect and reset: before they are accepted, in the middle, after a request."""
    chance = random.Random(setting.seed)
    total = setting.times(20_000)
    kinds = dict.fromkeys(("at once", "after a request", "in the middle"), 0)
    async with serving(Echo, backlog=1000) as (_, port, protocols):
        for number in range(total):
            kind = chance.choice(list(kinds))
            kinds[kind] += 1
            client = socket.create_connection(("127.0.0.1", port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if kind != "at once":
                client.sendall(bytes(chance.choice((1, 1000, 60_000))))
            if kind == "in the middle":
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            client.close()
            if number % 50 == 0:
                assert await asked(port, number)
                await until(lambda: all(protocol.is_lost for protocol in protocols if protocol.transport))
                odd = [p.lost for p in protocols if not isinstance(p.lost, ConnectionError | None)]
                assert not odd, odd
                protocols.clear()
    figures["resets"] = total
    figures |= kinds


@with_loop
async def resets_of_clients(loop, setting, figures):
    """Servers that reset every connection: each client is told once, with an OSError or an end."""
    total = setting.times(5000)
    outcomes = {}
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listening:
        address = listening.getsockname()
        for number in range(total):
            transport, protocol = await loop.create_connection(Recorder, *address)
            server_side, _ = listening.accept()
            if number % 2:
                transport.write(bytes(1000))
            server_side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            server_side.close()
            if number % 3 == 0:
                transport.writelines([bytes(100), bytes(100_000)])
            await until(lambda protocol=protocol: protocol.is_lost)
            assert protocol.events.count("lost") == 1, protocol.events
            assert isinstance(protocol.lost, ConnectionError | None), protocol.lost
            name = type(protocol.lost).__name__
            outcomes[name] = outcomes.get(name, 0) + 1
    figures["connections"] = total
    figures |= outcomes


@with_loop
async def short_writes(loop, setting, figures):
    """The smallest send buffer that the system has: large writes arrive whole and in order."""
    total = setting.times(30)
    size = 3_000_000
    payload = random.Random(setting.seed).randbytes(size)

    class Heard(asyncio.Protocol):
        def __init__(self):
            self.position = 0
            self.wrong = None
            self.transport = None
            self.is_lost = False

        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            due = payload[self.position : self.position + len(data)]
            if data != due and self.wrong is None:
                self.wrong = self.position
            self.position += len(data)

        def connection_lost(self, error):
            self.is_lost = True

    async with serving(Heard) as (_, port, protocols):
        for number in range(total):
            transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            if number % 2:
                transport.write(payload)
            else:
                # As pieces, so that a short write ends inside one of them.
                step = 1 + number * 977
                transport.writelines([payload[at : at + step] for at in range(0, size, step)])
            transport.close()
            await until(
                lambda count=number: len(protocols) > count and protocols[-1].is_lost, timeout=PATIENCE
            )
            heard = protocols[-1]
            assert heard.wrong is None, f"byte {heard.wrong} is wrong"
            assert heard.position == size, f"{heard.position} of {size} bytes came"
            await until(lambda protocol=protocol: protocol.is_lost)
    figures["MB"] = total * size / 1e6


@with_loop
async def peers_that_never_read(loop, setting, figures):
    """Writers that heed flow control hold no more than the high-water mark, whoever reads."""
    count = max(2, setting.times(200))
    high = 256 * 1024
    piece = 16 * 1024

    async with serving(Echo, backlog=1000) as (_, port, protocols):
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
        await until(lambda: len(protocols) == count and all(protocol.transport for protocol in protocols))
        gc.collect()
        before = resident()
        most = 0
        for protocol in protocols:
            transport = protocol.transport
            transport.set_write_buffer_limits(high=high)
            while "pause" not in protocol.events:
                transport.write(random.randbytes(piece))
                # Let the kernel take what it can before the next piece.
                await asyncio.sleep(0)
            most = max(most, transport.get_write_buffer_size())
        grown = resident() - before
        figures["connections"] = count
        figures["most queued"] = most
        figures["kB resident each"] = grown // count // 1024
        assert most <= high + piece, most
        assert grown < count * (high + 4 * piece) + (8 << 20), grown
        # The loop still serves others, and all of it is let go when the peers go.
        assert await asked(port, 1)
        for client in clients:
            client.close()
        await until(lambda: all(protocol.is_lost for protocol in protocols), timeout=PATIENCE)


@with_loop
async def readers_that_pause(loop, setting, figures):
    """A stream whose reader does not read stops taking from the socket at twice its limit."""
    limit = 64 * 1024
    readers = []
    gate = asyncio.Event()

    async def slow(reader, writer):
        readers.append(reader)
        await gate.wait()
        size = 0
        while data := await reader.read(1 << 16):
            size += len(data)
        sizes.append(size)
        writer.close()

    sizes = []
    count = max(2, setting.times(50))
    server = await asyncio.start_server(slow, "127.0.0.1", 0, limit=limit)
    port = server.sockets[0].getsockname()[1]
    payload = bytes(8_000_000)

    async def pour():
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(payload)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.05)
        return writer

    writers = await asyncio.gather(*(pour() for _ in range(count)))
    held = max(len(reader._buffer) for reader in readers)
    figures["most held"] = held
    # One more read may already have been on its way.
    assert held <= 2 * limit + (256 * 1024), held
    gate.set()
    for writer in writers:
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    await until(lambda: len(sizes) == count, timeout=PATIENCE)
    assert set(sizes) == {len(payload)}, set(sizes)
    server.close()
    await server.wait_closed()
    figures["MB"] = count * len(payload) / 1e6


@with_loop
async def a_byte_at_a_time(loop, setting, figures):
    """Peers that send one byte, wait, and send the next: lines come whole, others are not held up."""
    count = max(2, setting.times(500))
    line = b"a line that comes one byte at a time\n"

    async def answer(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.readline():
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000)
    port = server.sockets[0].getsockname()[1]
    slow = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        slow.append(client)
    for at in range(len(line)):
        for client in slow:
            client.send(line[at : at + 1])
        assert await asked(port, at)
    for client in slow:
        assert await loop.sock_recv(client, 100) == line
        client.close()
    server.close()
    await server.wait_closed()
    figures["connections"] = count
    figures["bytes sent singly"] = count * len(line)


@with_loop
async def tls_slow_loris(loop, setting, figures):
    """Handshakes that begin and never end: each is cut off in time, real clients are served meanwhile."""
    count = max(3, setting.times(300))
    with tempfile.TemporaryDirectory() as folder:
        mine, theirs = contexts_for_tls(pathlib.Path(folder))
        if not await has_tls(loop, mine):
            raise Skipped("TLS")
    told = []
    loop.set_exception_handler(lambda loop, context: told.append(context))
    # A ClientHello that says it is longer than what ever comes.
    begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    limit = 1.0 if setting.share == 1 else 0.2
    async with serving(Echo, ssl=mine, ssl_handshake_timeout=limit, backlog=1000) as (_, port, protocols):
        gc.collect()
        descriptors, memory = len(open_descriptors()), resident()
        clients = []
        for number in range(count):
            client = socket.create_connection(("127.0.0.1", port))
            client.setblocking(False)
            client.send(begun[: number % len(begun)])
            clients.append(client)
        for number in range(max(2, count // 20)):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=theirs, server_hostname="localhost"
            )
            writer.write(b"%d\n" % number)
            assert int(await reader.readline()) == number
            writer.close()
            await writer.wait_closed()
        figures["kB each"] = (resident() - memory) // count // 1024

        async def cut_off(client):
            with contextlib.suppress(ConnectionError):
                while await loop.sock_recv(client, 1000):
                    pass
            client.close()

        await asyncio.wait_for(asyncio.gather(*(cut_off(client) for client in clients)), PATIENCE)
        await until(lambda: len(open_descriptors()) <= descriptors, timeout=PATIENCE)
        assert all(protocol.is_lost for protocol in protocols if protocol.transport)
    figures["handshakes cut off"] = count
    figures["reports"] = len(told)
    kinds = {type(context.get("exception")) for context in told}
    assert all(issubclass(kind, OSError) for kind in kinds), kinds


@with_loop
async def sigchld_storms(loop, setting, figures):
    """Many short children at once, ours and the loop's: each is reaped once, by its owner, with its status."""
    strangers = children()
    total = setting.times(600)
    at_once = 30
    done = 0
    try:
        process = await asyncio.create_subprocess_exec("/bin/true")
    except NotImplementedError:
        raise Skipped("subprocesses") from None
    assert await process.wait() == 0

    async def one(number):
        status = number % 100
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", f"exec 2>&-; echo {number}; exit {status}"), stdout=subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert int(out) == number and process.returncode == status, (out, process.returncode)

    while done < total:
        batch = [loop.create_task(one(done + number)) for number in range(min(at_once, total - done))]
        others = [subprocess.Popen(["/bin/sh", "-c", f"exit {number}"]) for number in range(5)]
        await asyncio.gather(*batch)
        assert [other.wait() for other in others] == list(range(5))
        done += len(batch)
    figures["children"] = done
    assert not children() - strangers, "a child is left"


CHECKS = {
    "no descriptors": no_descriptors,
    "resets": resets,
    "resets of clients": resets_of_clients,
    "short writes": short_writes,
    "peers that never read": peers_that_never_read,
    "readers that pause": readers_that_pause,
    "a byte at a time": a_byte_at_a_time,
    "TLS slow loris": tls_slow_loris,
    "SIGCHLD storms": sigchld_storms,
}

"""Connections that open and close at random, each with its own stream of bytes: none gets a byte of another."""

import asyncio
import contextlib
import functools
import gc
import json
import pathlib
import random
import subprocess
import sys
import tempfile

from scenarios.identities import ANSWER, ASK, Expected, MisplacedError, identity, message
from scenarios.parties import BufferedParty, Ledger, Party, answering_streams
from scenarios.setting import Skipped, contexts_for_tls, has_tls
from toolkit import child_environment, new_descriptors, open_descriptors, until

# Seconds that one connection may take before it counts as stuck.
PATIENCE = 60.0


class Talk:
    """Clients of one server, each of which lives one random life."""

    def __init__(self, ledger, chance, connect, open_streams=None):
        self.ledger = ledger
        self.chance = chance
        self.connect = connect
        self.open_streams = open_streams
        self.cancelled = 0
        self.lives = 0
        # What the other side must have heard, by identity.
        self.said = {}

    async def live(self, whose):
        """One connection, from opening to its end."""
        self.lives += 1
        chance = self.chance
        try:
            async with asyncio.timeout(PATIENCE):
                if chance.random() < 0.15:
                    await self.cancel_in_connect(whose)
                elif self.open_streams and chance.random() < 0.3:
                    await self.talk_through_streams(whose)
                else:
                    await self.talk(whose)
        except (MisplacedError, AssertionError, OSError) as error:
            self.ledger.problems.append(f"{whose.hex()}: {type(error).__name__}: {error}")

    def party(self, whose):
        return self.chance.choice((Party, BufferedParty))(self.ledger, ANSWER, whose)

    async def cancel_in_connect(self, whose):
        task = asyncio.ensure_future(self.connect(functools.partial(self.party, whose)))
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)
        task.cancel()
        try:
            transport, party = await task
        except asyncio.CancelledError:
            self.cancelled += 1
            return
        transport.abort()
        await party.until(lambda: party.is_lost)

    async def talk(self, whose):
        chance = self.chance
        transport, party = await self.connect(functools.partial(self.party, whose))
        count = chance.randrange(1, 12)
        for number in range(count):
            if party.is_lost:
                raise AssertionError(f"lost in the middle: {party.lost!r}")
            transport.write(message(whose, ASK, number))
            await self.rest(lambda number=number: party.is_lost or party.expected.messages > number, party)
        end = chance.choice(("half", "answered", "close", "abort"))
        if end == "half" and not transport.can_write_eof():
            end = "answered"
        if end == "half":
            transport.write_eof()
        elif end == "answered":
            await party.until(lambda: party.is_lost or party.expected.messages == count)
            transport.close()
        elif end == "close":
            transport.close()
        else:
            transport.abort()
        await party.until(lambda: party.is_lost)
        if end in ("half", "answered"):
            if party.lost or party.expected.messages != count or not party.expected.is_between:
                got = f"{party.expected.messages} answers to {count} messages"
                raise AssertionError(f"{got} at a clean end ({end}): {party.lost!r}")
            self.said[whose] = count

    async def talk_through_streams(self, whose):
        chance = self.chance
        reader, writer = await self.open_streams()
        expected = Expected(ANSWER, whose)
        count = chance.randrange(1, 12)
        for number in range(count):
            writer.write(message(whose, ASK, number))
            await writer.drain()
            while expected.messages <= number and chance.random() < 0.8:
                data = await reader.read(chance.choice((1, 100, 65536)))
                assert data, "the answers end too early"
                expected.feed(data)
        if chance.random() < 0.6 and writer.can_write_eof():
            writer.write_eof()
            while data := await reader.read(65536):
                expected.feed(data)
            got = f"{expected.messages} answers to {count} messages, through streams"
            assert expected.messages == count and expected.is_between, got
            self.said[whose] = count
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.ledger.took(expected)

    async def rest(self, answered, party):
        chance = self.chance.random()
        if chance < 0.3:
            await asyncio.sleep(0)
        elif chance < 0.6:
            await asyncio.sleep(self.chance.random() * 0.2)
        elif chance < 0.8:
            await party.until(answered)


async def keep_talking(talks, seconds, connections, numbers):
    """`connections` lives at once, one after the other, for so many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds

    async def work(number):
        while loop.time() < end:
            await talks[number % len(talks)].live(identity(next(numbers)))

    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(work(number))


def tell(figures, ledger, talks):
    figures["connections"] = sum(talk.lives for talk in talks)
    figures["cancelled in connect"] = sum(talk.cancelled for talk in talks)
    figures["most open at once"] = ledger.most_open
    figures["messages checked"] = ledger.messages
    figures["MB checked"] = round(ledger.size / 1e6, 1)


def judge(figures, ledger, talks):
    """Fail if anything was misplaced, or if a side heard less or more than was said at a clean end."""
    for talk in talks:
        for whose, count in talk.said.items():
            if ledger.heard.get(whose) != count:
                ledger.problems.append(f"{whose.hex()} said {count}, heard were {ledger.heard.get(whose)}")
    figures["wrong"] = len(ledger.problems)
    assert not ledger.problems, f"{len(ledger.problems)} problems, first: {ledger.problems[:5]}"


@contextlib.asynccontextmanager
async def talks_of_all_kinds(loop, ledger, chance, folder, skipped):
    """Servers of every kind on this loop, and the talks with them."""
    servers = []
    talks = []

    async def over_tcp(make):
        server = await make("127.0.0.1", 0, backlog=1000)
        port = server.sockets[0].getsockname()[1]
        servers.append(server)
        talks.append(
            Talk(
                ledger,
                chance,
                lambda factory: loop.create_connection(factory, "127.0.0.1", port),
                lambda: asyncio.open_connection("127.0.0.1", port),
            )
        )

    await over_tcp(functools.partial(loop.create_server, lambda: Party(ledger, ASK)))
    await over_tcp(functools.partial(loop.create_server, lambda: BufferedParty(ledger, ASK)))
    await over_tcp(functools.partial(asyncio.start_server, answering_streams(ledger)))
    try:
        path = str(folder / "socket")
        servers.append(await loop.create_unix_server(lambda: Party(ledger, ASK), path, backlog=1000))
        talks.append(Talk(ledger, chance, lambda factory: loop.create_unix_connection(factory, path)))
    except NotImplementedError:
        skipped.append("Unix sockets")
    try:
        mine, theirs = contexts_for_tls(folder)
        if not await has_tls(loop, mine):
            raise Skipped("TLS")
    except Skipped as reason:
        skipped.append(str(reason))
    else:
        server = await loop.create_server(
            lambda: Party(ledger, ASK), "127.0.0.1", 0, ssl=mine, backlog=1000, ssl_handshake_timeout=PATIENCE
        )
        port = server.sockets[0].getsockname()[1]
        servers.append(server)
        talks.append(
            Talk(
                ledger,
                chance,
                lambda factory: loop.create_connection(
                    factory, "127.0.0.1", port, ssl=theirs, server_hostname="localhost"
                ),
            )
        )
    try:
        yield talks
    finally:
        for server in servers:
            server.close()
        await until(lambda: not ledger.open, timeout=PATIENCE)
        for server in servers:
            await server.wait_closed()


def both_sides(setting, figures):
    """Servers and clients on the same loop: plain, buffered and stream protocols, Unix sockets, TLS."""
    gc.collect()
    before = open_descriptors()
    ledger = Ledger()
    chance = random.Random(setting.seed)
    skipped = []

    async def main():
        async with talks_of_all_kinds(loop, ledger, chance, pathlib.Path(folder), skipped) as talks:
            try:
                await keep_talking(talks, setting.seconds, setting.connections, iter(range(1, 1 << 40)))
            finally:
                tell(figures, ledger, talks)
        # What was accepted for nobody (its client had gone) is closed by now as well.
        await until(lambda: len(open_descriptors()) <= descriptors, timeout=PATIENCE)
        judge(figures, ledger, talks)

    with tempfile.TemporaryDirectory() as folder, setting.loop() as loop:
        loop.run_until_complete(asyncio.sleep(0))
        descriptors = len(open_descriptors())
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    if skipped:
        figures["without"] = ", ".join(skipped)
    figures["descriptors left"] = len(new_descriptors(before))
    assert not figures["descriptors left"], new_descriptors(before)


def start_peer(*arguments):
    path = pathlib.Path(__file__).with_name("peer.py")
    return subprocess.Popen(
        [sys.executable, str(path), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )


@contextlib.contextmanager
def peer(*arguments):
    """A peer process, which is killed if it has not ended by itself."""
    with start_peer(*arguments) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def blocking_clients(setting, figures):
    """The clients are threads with blocking sockets in another process."""
    before = open_descriptors()
    ledger = Ledger()
    threads = min(setting.connections, 100)

    async def main():
        server = await loop.create_server(lambda: Party(ledger, ASK), "127.0.0.1", 0, backlog=1000)
        port = server.sockets[0].getsockname()[1]
        with peer("clients", port, setting.seconds, threads, setting.seed) as process:
            line = await loop.run_in_executor(None, process.stdout.readline)
        server.close()
        await until(lambda: not ledger.open, timeout=PATIENCE)
        await server.wait_closed()
        return json.loads(line)

    with setting.loop() as loop:
        told = loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    figures["connections"] = ledger.opened
    figures["most open at once"] = ledger.most_open
    figures["messages checked"] = ledger.messages + told["messages"]
    figures["wrong"] = len(ledger.problems) + len(told["problems"])
    assert not figures["wrong"], (ledger.problems[:5], told["problems"][:5])
    assert not new_descriptors(before), new_descriptors(before)


def blocking_server(setting, figures):
    """The server is a process with a thread for each connection."""
    before = open_descriptors()
    ledger = Ledger()
    chance = random.Random(setting.seed)

    async def main():
        with peer("server") as process:
            port = int(await loop.run_in_executor(None, process.stdout.readline))
            talk = Talk(
                ledger,
                chance,
                lambda factory: loop.create_connection(factory, "127.0.0.1", port),
                lambda: asyncio.open_connection("127.0.0.1", port),
            )
            numbers = iter(range(1, 1 << 40))
            await keep_talking([talk], setting.seconds, min(setting.connections, 100), numbers)
            process.stdin.close()
            told = json.loads(await loop.run_in_executor(None, process.stdout.readline))
        figures["connections"] = talk.lives
        figures["cancelled in connect"] = talk.cancelled
        figures["messages checked"] = ledger.messages + told["messages"]
        figures["wrong"] = len(ledger.problems) + len(told["problems"])
        assert not figures["wrong"], (ledger.problems[:5], told["problems"][:5])

    with setting.loop() as loop:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    assert not new_descriptors(before), new_descriptors(before)


CHECKS = {
    "both sides": both_sides,
    "blocking clients": blocking_clients,
    "blocking server": blocking_server,
}

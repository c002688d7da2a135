"""References, objects and memory stay level: over a million calls, ten thousand connections, and many that idle."""

import asyncio
import gc
import json
import pathlib
import resource
import sys
import tempfile
import time

from scenarios.identity import peer
from scenarios.setting import Skipped, contexts_for_tls, counters, has_tls, resident, settled_objects
from toolkit import Recorder, dropped, new_descriptors, open_descriptors, serving, turn, until

BATCH = 1000
# What the allocators of Python and of the system may keep for themselves.
SLACK = 6 << 20


class Counts:
    """Memory, objects and references at one moment."""

    def __init__(self, things):
        self.objects = settled_objects()
        self.blocks = sys.getallocatedblocks()
        self.resident = resident()
        self.references = [sys.getrefcount(thing) for thing in things]


def stays_level(figures, work, times, things=()):
    """Run `work` so many times; after the first third nothing may grow."""
    for _ in range(max(1, times // 3)):
        work()
    before = Counts(things)
    count = max(1, times - times // 3)
    for _ in range(count):
        work()
    after = Counts(things)
    figures["objects grown by"] = after.objects - before.objects
    figures["blocks grown by"] = after.blocks - before.blocks
    figures["kB grown by"] = (after.resident - before.resident) // 1024
    lost = [b - a for a, b in zip(before.references, after.references, strict=True)]
    if things:
        figures["references grown by"] = max(lost, key=abs)
    # What is made once, and caches, may come and go; what is left each time counts in thousands.
    some = max(20, min(200, count // 2))
    assert abs(figures["objects grown by"]) < some, figures
    assert figures["blocks grown by"] < 10 * some, figures
    assert figures["kB grown by"] << 10 < SLACK, figures
    assert all(abs(grown) < some for grown in lost), lost


def argument_and_callback():
    """A callback and its argument, whose references are counted, with the shared objects that are counted too."""
    argument = object()

    def callback(*args, **kwargs):
        pass

    # From 3.12 on None and its like never die, and are not counted.
    shared = [None, True, False, int, Ellipsis] if sys.version_info < (3, 12) else []
    return callback, argument, [callback, argument, *shared]


def callbacks(setting, figures):
    """A million callbacks."""
    callback, argument, things = argument_and_callback()
    with setting.loop() as loop:

        def work():
            for _ in range(BATCH // 4):
                loop.call_soon(callback, argument)
                loop.call_soon_threadsafe(callback, argument)
                loop.call_soon(callback, argument, context=None)
                loop.call_soon(callback, argument).cancel()
            turn(loop)

        times = setting.times(1_000_000 // BATCH)
        stays_level(figures, work, times, things)
        left = counters(loop)
        assert not left.get("ready") and not left.get("timers"), left
    figures["callbacks"] = times * BATCH


def timers(setting, figures):
    """A million timers: due, due later, cancelled."""
    callback, argument, things = argument_and_callback()
    with setting.loop() as loop:

        def work():
            handles = []
            for _ in range(BATCH // 4):
                loop.call_later(-1, callback, argument)
                loop.call_at(loop.time(), callback, argument)
                handles.append(loop.call_later(3600, callback, argument))
                handles.append(loop.call_later(0.001, callback, argument))
            for handle in handles:
                handle.cancel()
            turn(loop)

        times = setting.times(1_000_000 // BATCH)
        stays_level(figures, work, times, things)
        turn(loop, 2)
        assert not counters(loop).get("ready"), counters(loop)
    figures["timers"] = times * BATCH


def tasks(setting, figures):
    """A million tasks: done, cancelled, failed, with timeouts, with futures."""
    _, argument, things = argument_and_callback()

    async def short(argument):
        await asyncio.sleep(0)
        return argument

    async def failing(argument):
        await asyncio.sleep(0)
        raise LookupError(argument)

    async def timed(argument):
        async with asyncio.timeout(3600):
            await asyncio.sleep(0)

    async def woken(argument):
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, argument)
        return await future

    async def batch():
        made = [
            asyncio.ensure_future(kind(argument)) for kind in (short, failing, timed, woken) * (BATCH // 5)
        ]
        made += [asyncio.ensure_future(asyncio.sleep(3600)) for _ in range(BATCH // 5)]
        await asyncio.sleep(0)
        for task in made[-BATCH // 5 :]:
            task.cancel()
        await asyncio.wait(made)
        for task in made:
            task.cancelled() or task.exception()

    with setting.loop() as loop:
        times = setting.times(1_000_000 // BATCH)
        stays_level(figures, lambda: loop.run_until_complete(batch()), times, things)
        assert not asyncio.all_tasks(loop)
    figures["tasks"] = times * BATCH


def messages(setting, figures):
    """A million messages over one connection."""

    class Echo(Recorder):
        def data_received(self, data):
            self.transport.write(data)

    class Player(Recorder):
        left = 0

        def data_received(self, data):
            self.left -= 1
            if self.left > 0:
                self.transport.write(data)

    async def open_one():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        return server, *await loop.create_connection(Player, *address)

    with setting.loop() as loop:
        server, transport, player = loop.run_until_complete(open_one())

        async def play():
            player.left = BATCH // 2
            transport.write(b"ball")
            await until(lambda: player.left <= 0)
            player.events.clear()

        times = setting.times(1_000_000 // BATCH)
        stays_level(figures, lambda: loop.run_until_complete(play()), times)
        loop.run_until_complete(dropped(player, transport))
        server.close()
        loop.run_until_complete(server.wait_closed())
        turn(loop, 3)
    figures["messages"] = times * BATCH


def connections(setting, figures):
    """Ten thousand connections that come and go."""
    before = open_descriptors()
    cycles_level(setting, figures, {}, {})
    assert not new_descriptors(before), new_descriptors(before)


def tls_connections(setting, figures):
    """Ten thousand TLS connections that come and go, and among them 2,500 whose handshake fails."""
    with tempfile.TemporaryDirectory() as folder:
        mine, theirs = contexts_for_tls(pathlib.Path(folder))
        with setting.loop() as loop:
            if not loop.run_until_complete(has_tls(loop, mine)):
                raise Skipped("TLS")
        client = {"ssl": theirs, "server_hostname": "localhost"}
        cycles_level(setting, figures, {"ssl": mine}, client, total=12_500, failing=5)


def cycles_level(setting, figures, server_options, client_options, total=10_000, failing=0):
    """Open and close, in batches, with a look at what is left."""
    size = 50

    with setting.loop() as loop:

        async def batch():
            async with serving(backlog=200, **server_options) as (_, port, protocols):
                for number in range(size):
                    options = dict(client_options)
                    if failing and number % failing == 0:
                        options["server_hostname"] = "another.name"
                    try:
                        transport, protocol = await loop.create_connection(
                            Recorder, "127.0.0.1", port, **options
                        )
                    except OSError:
                        assert failing and number % failing == 0
                        continue
                    transport.write(b"x")
                    await dropped(protocol, transport)
                await until(lambda: all(protocol.is_lost for protocol in protocols if protocol.transport))

        def work():
            loop.run_until_complete(batch())

        times = setting.times(total // size)
        stays_level(figures, work, times)
        turn(loop, 3)
        left = counters(loop).get("sources", 0)
    figures["connections"] = times * size
    if failing:
        figures["handshakes failed"] = times * size // failing
    assert left <= 2, f"{left} sources are left"


def idle(setting, figures):
    """Ten thousand connections that idle: what each costs, and that each still answers."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        idle_connections(setting, figures, setting.times(10_000))
    finally:
        # What was raised beyond the hard limit stays the hard limit.
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0], resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def idle_connections(setting, figures, wanted):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, wanted + 200),) * 2)
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # The other ends are in another process, with a limit of its own.
    count = min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    if count < wanted:
        figures["limited to"] = f"{count} by the limit of descriptors"
    alive = set()

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            alive.add(self)

        def data_received(self, data):
            self.transport.write(data)

        def connection_lost(self, error):
            alive.discard(self)

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1000)
        port = server.sockets[0].getsockname()[1]
        warm_up = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: alive)
        gc.collect()
        before = resident()
        with peer("idle", port, count) as process:
            assert int(await loop.run_in_executor(None, process.stdout.readline)) == count
            await until(lambda: len(alive) == count + 1, timeout=60)
            gc.collect()
            figures["bytes each"] = (resident() - before) // count
            spent = time.process_time()
            await asyncio.sleep(1.0 if setting.share == 1 else 0.05)
            figures["CPU ms of an idle second"] = round((time.process_time() - spent) * 1000, 1)
            process.stdin.close()
            told = json.loads(await loop.run_in_executor(None, process.stdout.readline))
            assert told == {"answers": count}, told
        await until(lambda: len(alive) == 1, timeout=60)
        warm_up[1].close()
        await warm_up[1].wait_closed()
        await until(lambda: not alive)
        server.close()
        await server.wait_closed()

    before = open_descriptors()
    with setting.loop() as loop:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    figures["connections"] = count
    assert not new_descriptors(before), new_descriptors(before)


CHECKS = {
    "callbacks": callbacks,
    "timers": timers,
    "tasks": tasks,
    "messages": messages,
    "connections": connections,
    "TLS connections": tls_connections,
    "idle connections": idle,
}

"""Memory stays level: callbacks, timers, tasks and connections leave nothing behind, however many there were."""

import asyncio
import gc
import pathlib
import resource
import socket
import sys

import pytest

from toolkit import Recorder, attached, connected, dropped, finish, serving, turn, until

MANY = 200_000


def resident():
    """Resident memory of this process, in bytes."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def grown(work, rounds=3):
    """By how many bytes resident memory grew in the last of some equal rounds."""
    for _ in range(rounds - 1):
        work()
        gc.collect()
    before = resident()
    work()
    gc.collect()
    return resident() - before


# What the allocators of Python and of the system may keep for themselves between two equal rounds.
SLACK = 6 << 20


def test_callbacks(loop):
    def work():
        for _ in range(MANY // 20):
            for _ in range(20):
                loop.call_soon(int)
            turn(loop)

    assert grown(work) < SLACK


def test_many_callbacks_of_one_turn_are_let_go(loop):
    def work():
        for _ in range(MANY):
            loop.call_soon(int)
        turn(loop)

    assert grown(work) < SLACK


def test_callbacks_from_outside(loop):
    def work():
        for _ in range(MANY // 100):
            for _ in range(100):
                loop.call_soon_threadsafe(int)
            turn(loop)

    assert grown(work) < SLACK


def test_timers_that_ran(loop):
    def work():
        for _ in range(MANY // 100):
            for _ in range(100):
                loop.call_later(-1, int)
            turn(loop)

    assert grown(work) < SLACK


def test_timers_that_were_cancelled(loop):
    # As a server does that sets a timeout for every request: all are cancelled long before they are due.
    def work():
        for _ in range(MANY // 100):
            for handle in [loop.call_later(3600, int) for _ in range(100)]:
                handle.cancel()
            turn(loop)

    assert grown(work, rounds=2) < SLACK


def test_timers_cancelled_among_others_that_stay(loop):
    kept = [loop.call_later(7200 + number, int) for number in range(50)]

    def work():
        for number in range(MANY // 100):
            for handle in [loop.call_later(3600 + number, int) for _ in range(100)]:
                handle.cancel()
            turn(loop)

    assert grown(work, rounds=2) < SLACK
    for handle in kept:
        handle.cancel()


def test_what_a_cancelled_timer_held_is_let_go_at_once(loop):
    class Thing:
        def __call__(self):
            pass

    count = sys.getrefcount(Thing)
    handles = [loop.call_later(3600, Thing()) for _ in range(1000)]
    assert sys.getrefcount(Thing) > count
    for handle in handles:
        handle.cancel()
    assert sys.getrefcount(Thing) == count


def test_tasks(loop):
    async def short():
        await asyncio.sleep(0)

    async def main():
        for _ in range(MANY // 40):
            await asyncio.gather(*(short() for _ in range(10)))

    assert grown(lambda: finish(loop, main(), timeout=60)) < SLACK


def test_tasks_that_are_cancelled(loop):
    async def main():
        for _ in range(MANY // 200):
            tasks = [loop.create_task(asyncio.sleep(3600)) for _ in range(10)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    assert grown(lambda: finish(loop, main(), timeout=60)) < SLACK


def test_timeouts_that_never_come(loop):
    async def main():
        for _ in range(MANY // 40):
            async with asyncio.timeout(3600):
                await asyncio.sleep(0)

    assert grown(lambda: finish(loop, main(), timeout=60)) < SLACK


def test_futures(loop):
    async def main():
        for _ in range(MANY // 20):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    assert grown(lambda: finish(loop, main(), timeout=60)) < SLACK


def test_descriptors_watched_and_not(loop):
    one, two = socket.socketpair()
    with one, two:

        def work():
            for _ in range(MANY // 20):
                loop.add_reader(one, int)
                loop.add_writer(one, int)
                loop.remove_reader(one)
                loop.remove_writer(one)

        assert grown(work) < SLACK


def test_messages(loop):
    class Echo(Recorder):
        def data_received(self, data):
            self.transport.write(data)

    class Player(Recorder):
        left = 0

        def data_received(self, data):
            if self.left:
                self.left -= 1
                self.transport.write(data)

    async def main():
        async with connected(client=Player, server=Echo) as (client, _):
            client.left = 5000
            client.transport.write(bytes(1000))
            await until(lambda: not client.left)

    assert grown(lambda: finish(loop, main(), timeout=60)) < SLACK


def test_connections(loop):
    async def main():
        async with serving() as (_, port, protocols):
            for _ in range(300):
                transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
                await dropped(protocol, transport)
            await until(lambda: len(protocols) == 300 and all(protocol.is_lost for protocol in protocols))

    assert grown(lambda: finish(loop, main(), timeout=60)) < SLACK


def test_a_large_buffer_is_let_go_when_it_is_sent(loop):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            transport.write(bytes(50_000_000))
            left = 50_000_000
            while left:
                left -= len(await loop.sock_recv(peer, 1 << 20))
            await until(lambda: not transport.get_write_buffer_size())
            gc.collect()
            return resident()

    finish(loop, main())
    gc.collect()
    before = resident()
    assert finish(loop, main()) - before < 20_000_000


def test_exceptions_of_callbacks(loop):
    loop.set_exception_handler(lambda loop, context: None)

    def fail():
        raise ValueError("odd")

    def work():
        for _ in range(MANY // 200):
            for _ in range(10):
                loop.call_soon(fail)
            turn(loop)

    assert grown(work) < SLACK


def test_loops(loop_factory):
    def work():
        for _ in range(300):
            loop = loop_factory()
            loop.call_later(3600, int)
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

    assert grown(work) < SLACK


SHARED = [None, True, False, int, Ellipsis]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from 3.12 on these never die, and are not counted")
def test_references_to_the_shared_objects_stay_level(loop):
    def work():
        for _ in range(100):
            loop.call_soon(int)
            loop.call_later(-1, int)
            loop.call_later(3600, int).cancel()
            loop.call_soon_threadsafe(int, context=None)
        turn(loop)
        loop.is_running(), loop.is_closed(), loop.get_debug()
        loop.remove_reader(0)
        finish(loop, asyncio.sleep(0))

    work()
    before = [sys.getrefcount(thing) for thing in SHARED]
    for _ in range(50):
        work()
    after = [sys.getrefcount(thing) for thing in SHARED]
    assert [b - a for a, b in zip(before, after, strict=True) if abs(b - a) > 50] == []


def test_references_to_arguments_stay_level(loop):
    argument = object()
    callback = lambda *args, **kwargs: None  # noqa: E731
    before = sys.getrefcount(argument), sys.getrefcount(callback)
    for _ in range(10):
        for _ in range(100):
            loop.call_soon(callback, argument)
            loop.call_later(-1, callback, argument)
            loop.call_soon(callback, argument).cancel()
            loop.call_later(3600, callback, argument).cancel()
            loop.call_soon_threadsafe(callback, argument)
        turn(loop, 2)
    assert (sys.getrefcount(argument), sys.getrefcount(callback)) == before


def test_references_to_what_is_read_and_written_stay_level(loop):
    payload = bytes(300_000)

    async def main():
        async with attached(Recorder()) as (transport, peer):
            before = sys.getrefcount(payload)
            for _ in range(20):
                transport.write(payload)
                transport.writelines([payload, memoryview(payload)])
                left = 900_000
                while left:
                    left -= len(await loop.sock_recv(peer, 1 << 20))
            await until(lambda: not transport.get_write_buffer_size())
            await asyncio.sleep(0)
            return sys.getrefcount(payload) - before

    assert finish(loop, main()) == 0

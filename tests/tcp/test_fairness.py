"""A busy connection does not keep others waiting, and a read that is cancelled loses nothing."""

import asyncio
import contextlib
import itertools
import socket
import threading

import pytest

from toolkit import Recorder, attached, cancelled, finish, tcp_pair, until

# How often the flooded connection has to be served before the test is content.
SERVED = 20


class Flooded(asyncio.Protocol):
    """Counts what it is handed, and keeps nothing of it."""

    def __init__(self):
        self.received = 0
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.received += 1

    def connection_lost(self, exc):
        self.lost.set_result(None)


@pytest.fixture
def flood():
    """Fills a socket from a thread of its own until the test is over; returns the loop's end of it."""
    over = threading.Event()
    one, two = socket.socketpair()
    two.settimeout(0.05)

    def fill():
        block = bytes(1 << 20)
        while not over.is_set():
            # Once the loop has ended its side there is nothing more to send to.
            with contextlib.suppress(TimeoutError, ConnectionError):
                two.send(block)

    thread = threading.Thread(target=fill)
    thread.start()
    yield one
    over.set()
    thread.join()
    one.close()
    two.close()


@pytest.mark.parametrize("by", ["call_soon", "call_later"])
def test_a_flood_delays_a_callback_by_no_more_than_a_turn(loop, flood, by):
    """Between two turns of a callback that asks for itself, the flooded connection is served once at most; a timer may
    miss a turn, because its time has only come after it was looked for."""
    counts = []

    async def main():
        over = loop.create_future()
        transport, protocol = await loop.create_connection(Flooded, sock=flood)

        def callback():
            counts.append(protocol.received)
            if counts[-1] - counts[0] >= SERVED:
                over.set_result(None)
            elif by == "call_soon":
                loop.call_soon(callback)
            else:
                loop.call_later(0, callback)

        await until(lambda: protocol.received)
        callback()
        await over
        transport.abort()
        await protocol.lost

    finish(loop, main())
    served = [after - before for before, after in itertools.pairwise(counts)]
    assert max(served) <= (1 if by == "call_soon" else 2)


def test_a_flood_does_not_keep_another_connection_waiting(loop, flood):
    async def main():
        transport, busy = await loop.create_connection(Flooded, sock=flood)
        quiet = Recorder()
        async with attached(quiet) as (_, peer):
            await until(lambda: busy.received)
            peer.send(b"x")
            # Both are ready, so the next look at the descriptors serves both.
            before = busy.received
            await until(lambda: quiet.data)
            served = busy.received - before
        transport.abort()
        await busy.lost
        return served

    assert finish(loop, main()) <= 2


@pytest.mark.parametrize("method", ["read", "readexactly", "readline", "readuntil"])
def test_a_read_that_is_cancelled_as_its_data_arrives_loses_nothing(loop, method):
    async def main():
        with tcp_pair() as (one, two):
            reader, writer = await asyncio.open_connection(sock=one)
            arguments = {"read": (100,), "readexactly": (5,), "readline": (), "readuntil": (b"\n",)}[method]
            task = loop.create_task(getattr(reader, method)(*arguments))
            await asyncio.sleep(0)
            # Its waiter is woken by the data, and in the same turn the task is called off.
            feed, reader_is_fed = reader._buffer, loop.create_future()

            def watch():
                if feed:
                    task.cancel()
                    reader_is_fed.set_result(None)
                else:
                    loop.call_soon(watch)

            two.send(b"data\n")
            watch()
            await reader_is_fed
            await cancelled(task)
            assert await reader.readline() == b"data\n"
            writer.close()
            await writer.wait_closed()

    finish(loop, main())

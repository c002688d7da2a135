"""Numbers of descriptors are used again at once: no event and no byte may reach the next holder of a number."""

import asyncio
import contextlib
import errno
import gc
import random
import socket

import pytest

from toolkit import Recorder, accepted, finish, serving, turn, until


def test_an_event_of_the_same_batch_does_not_reach_the_next_holder(loop):
    seen = []
    pairs = [socket.socketpair() for _ in range(2)]
    late = []

    def replace(mine, other):
        seen.append(mine)
        number = pairs[other][0].fileno()
        loop.remove_reader(pairs[other][0])
        for sock in pairs[other]:
            sock.close()
        pairs[other] = socket.socketpair()
        # The number of the closed one is the lowest that is free.
        assert pairs[other][0].fileno() == number
        loop.add_reader(pairs[other][0], late.append, "an event of another")
        loop.remove_reader(pairs[mine][0])

    for number in range(2):
        pairs[number][1].send(b"x")
        loop.add_reader(pairs[number][0], replace, number, 1 - number)
    turn(loop, 3)
    assert len(seen) == 1 and late == []
    for one, two in pairs:
        loop.remove_reader(one)
        one.close()
        two.close()


@pytest.mark.parametrize("seed", range(5))
def test_churn_of_readers_and_writers(loop, seed):
    chance = random.Random(seed)
    wrong = []
    live = {}
    names = iter(range(10**9))

    def open_one():
        one, two = socket.socketpair()
        one.setblocking(False)
        name = next(names)
        live[name] = (one, two)
        loop.add_reader(one, readable, name, one)
        if chance.random() < 0.3:
            loop.add_writer(one, writable, name, one)
        if chance.random() < 0.7:
            two.send(b"%d;" % name)

    def close_one(name):
        one, two = live.pop(name)
        loop.remove_reader(one)
        loop.remove_writer(one)
        one.close()
        two.close()

    def readable(name, sock):
        if live.get(name, (None,))[0] is not sock:
            wrong.append(("readable", name))
            return
        try:
            if set(sock.recv(1000).split(b";")) - {b"%d" % name, b""}:
                wrong.append(("data of another", name))
        except BlockingIOError:
            wrong.append(("nothing to read", name))
        change()

    def writable(name, sock):
        if live.get(name, (None,))[0] is not sock:
            wrong.append(("writable", name))
            return
        loop.remove_writer(sock)
        change()

    def change():
        for _ in range(chance.randrange(4)):
            if live and chance.random() < 0.5:
                close_one(chance.choice(list(live)))
            elif len(live) < 30:
                open_one()

    for _ in range(20):
        open_one()
    for _ in range(300):
        turn(loop)
        change()
        for name, (_, two) in live.items():
            if chance.random() < 0.2:
                two.send(b"%d;" % name)
    for name in list(live):
        close_one(name)
    assert wrong == []


def test_a_connection_that_takes_the_number_of_an_aborted_one(loop):
    async def main():
        async with serving() as (_, port, protocols):
            for number in range(50):
                first, one = await loop.create_connection(Recorder, "127.0.0.1", port)
                fd = first.get_extra_info("socket").fileno()
                server_side = await accepted(protocols, 2 * number + 1)
                server_side.transport.write(b"for the first")
                first.abort()
                await until(lambda one=one: one.is_lost)
                second, two = await loop.create_connection(Recorder, "127.0.0.1", port)
                assert second.get_extra_info("socket").fileno() == fd
                await asyncio.sleep(0)
                assert two.events == ["made"] and one.events[-1] == "lost"
                await accepted(protocols, 2 * number + 2)
                second.abort()
                await until(lambda two=two: two.is_lost)
            await until(lambda: all(protocol.is_lost for protocol in protocols))

    finish(loop, main())


def test_a_reader_after_a_transport_of_the_same_number(loop):
    async def main():
        seen = []
        one, two = socket.socketpair()
        with two:
            transport, protocol = await loop.create_connection(Recorder, sock=one)
            fd = transport.get_extra_info("socket").fileno()
            transport.abort()
            await until(lambda: protocol.is_lost)
            three, four = socket.socketpair()
            with three, four:
                assert fd in (three.fileno(), four.fileno())
                mine, peer = (three, four) if three.fileno() == fd else (four, three)
                loop.add_reader(mine, seen.append, "read")
                peer.send(b"x")
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert loop.remove_reader(mine) is True
        assert "read" in seen
        assert protocol.events == ["made", "lost"]

    finish(loop, main())


def test_a_write_after_somebody_closed_the_socket_reaches_nobody(loop):
    async def main():
        one, two = socket.socketpair()
        with two:
            transport, protocol = await loop.create_connection(Recorder, sock=one)
            number = one.fileno()
            one.close()
            pair = socket.socketpair()
            with pair[0], pair[1]:
                assert pair[0].fileno() == number
                pair[1].setblocking(False)
                transport.write(b"for nobody else")
                with pytest.raises(BlockingIOError):
                    pair[1].recv(100)
                await until(lambda: protocol.is_lost)
        assert protocol.lost.errno == errno.EBADF

    finish(loop, main())


def test_reading_is_not_resumed_on_a_socket_that_was_closed(loop, errors):
    async def main():
        one, two = socket.socketpair()
        with two:
            transport, protocol = await loop.create_connection(Recorder, sock=one)
            await asyncio.sleep(0)
            transport.pause_reading()
            number = one.fileno()
            one.close()
            pair = socket.socketpair()
            with pair[0], pair[1]:
                assert pair[0].fileno() == number
                pair[1].send(b"for somebody else")
                with contextlib.suppress(OSError):
                    transport.resume_reading()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                transport.abort()
                await until(lambda: protocol.is_lost)
                assert pair[0].recv(100) == b"for somebody else"
        assert not protocol.data

    finish(loop, main())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_finaliser_that_writes_to_an_abandoned_connection_reaches_nobody(loop):
    class Farewell:
        """Made after the transport, so that the collector finalises it after the transport."""

        def __init__(self, transport):
            self.transport = transport

        def __del__(self):
            pairs.append(socket.socketpair())
            pairs.append(socket.socketpair())
            with contextlib.suppress(Exception):
                self.transport.write(b"farewell")
            with contextlib.suppress(Exception):
                self.transport.close()

    class Protocol(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.farewell = Farewell(transport)
            made.append(True)

    async def main():
        server = await loop.create_server(Protocol, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            await until(lambda: made)
        server.close()

    made, pairs = [], []
    finish(loop, main())
    loop.close()
    gc.collect()
    assert len(pairs) == 2
    for sock in [sock for pair in pairs for sock in pair]:
        with sock:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                assert sock.recv(100) == b""

"""One who has received by `sock_recv` waits again: the kernel was asked for one report, and keeps the descriptor."""

import socket

import pytest

from toolkit import cancelled, finish, quiet, tcp_pair, until


async def received(loop, sock, peer, data):
    """What a receive brings that had to wait."""
    task = loop.create_task(loop.sock_recv(sock, 100))
    await quiet()
    assert not task.done()
    peer.send(data)
    return await task


def test_again_and_again(loop):
    async def main():
        with tcp_pair() as (one, two):
            return [await received(loop, one, two, b"%d" % number) for number in range(20)]

    assert finish(loop, main()) == [b"%d" % number for number in range(20)]


def test_a_callback_that_follows_is_called_as_long_as_there_is_something(loop):
    async def main():
        with tcp_pair() as (one, two):
            await received(loop, one, two, b"first")
            calls = []
            loop.add_reader(one, calls.append, 1)
            two.send(b"second")
            await until(lambda: len(calls) > 2)
            assert loop.remove_reader(one)
            one.recv(100)
            return await received(loop, one, two, b"third")

    assert finish(loop, main()) == b"third"


def test_a_receive_that_follows_a_callback(loop):
    async def main():
        with tcp_pair() as (one, two):
            loop.add_reader(one, print)
            loop.remove_reader(one)
            first = await received(loop, one, two, b"first")
            called = []
            loop.add_writer(one, called.append, 1)
            await until(lambda: len(called) > 2)
            second = await received(loop, one, two, b"second")
            count = len(called)
            await until(lambda: len(called) > count)
            loop.remove_writer(one)
            return first, second, await received(loop, one, two, b"third")

    assert finish(loop, main()) == (b"first", b"second", b"third")


def test_a_writer_that_comes_while_one_waits(loop):
    async def main():
        with tcp_pair() as (one, two):
            task = loop.create_task(loop.sock_recv(one, 100))
            await quiet()
            called = []
            loop.add_writer(one, called.append, 1)
            await until(lambda: len(called) > 2)
            two.send(b"data")
            data = await task
            loop.remove_writer(one)
            return data

    assert finish(loop, main()) == b"data"


def test_a_report_for_which_somebody_else_was_faster(loop):
    async def main():
        with tcp_pair() as (one, two):
            task = loop.create_task(loop.sock_recv(one, 100))
            await quiet()
            # Two reports in one turn: the callback that runs first takes the data.
            with one.dup() as other:
                other.setblocking(False)
                taken = []

                def take():
                    loop.remove_reader(other)
                    taken.append(other.recv(100))

                loop.add_reader(other, take)
                two.send(b"once")
                await until(lambda: taken or task.done())
                await quiet()
                if taken == [b"once"]:
                    assert not task.done()
                    two.send(b"twice")
                    assert await task == b"twice"
                else:
                    assert await task == b"once"
                loop.remove_reader(other)

    for _ in range(10):
        finish(loop, main())


def test_cancelling_between_the_report_and_the_receive(loop):
    async def main():
        with tcp_pair() as (one, two):
            for _ in range(5):
                task = loop.create_task(loop.sock_recv(one, 100))
                await quiet()
                two.send(b"kept")
                await cancelled(task)
                assert await loop.sock_recv(one, 100) == b"kept"
            return await received(loop, one, two, b"last")

    assert finish(loop, main()) == b"last"


def test_the_number_of_a_closed_socket_may_be_anothers(loop):
    async def main():
        for _ in range(5):
            with tcp_pair() as (one, two):
                number = one.fileno()
                await received(loop, one, two, b"data")
            with tcp_pair() as (one, two):
                assert number in (one.fileno(), two.fileno())
                assert await received(loop, one, two, b"one's") == b"one's"
                assert await received(loop, two, one, b"two's") == b"two's"

    finish(loop, main())


@pytest.mark.epicycle_only
def test_nothing_is_heard_of_a_closed_socket_that_somebody_shares(loop):
    """As a child process made by fork() does: a loop would wake for it for ever."""

    async def main():
        with tcp_pair() as (one, two):
            await received(loop, one, two, b"data")
            shared = socket.socket(fileno=socket.dup(one.fileno()))
            one.close()
            two.send(b"more")
            before = loop._counters()["stale_events"]
            # Something else is heard of, and the kernel asked in every turn.
            with tcp_pair() as (other, peer):
                loop.add_reader(other, int)
                peer.send(b"x")
                await quiet(200)
                loop.remove_reader(other)
            shared.close()
            return loop._counters()["stale_events"] - before

    assert finish(loop, main()) == 0

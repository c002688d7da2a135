"""The sock_* methods, begun, fed, cancelled and awaited in orders written by chance, end the same on both loops."""

import asyncio
import random
import socket

import pytest

from differential.conversations import trace_of
from toolkit import tcp_pair

CALLS = {
    "recv": lambda loop, sock, number: loop.sock_recv(sock, number),
    "recv_into": lambda loop, sock, number: loop.sock_recv_into(sock, bytearray(number)),
    "recvfrom": lambda loop, sock, number: loop.sock_recvfrom(sock, number),
    "recvfrom_into": lambda loop, sock, number: loop.sock_recvfrom_into(sock, bytearray(number)),
    "sendall": lambda loop, sock, number: loop.sock_sendall(sock, b"s" * number),
    "sendall_much": lambda loop, sock, number: loop.sock_sendall(sock, bytes(4_000_000)),
}
STEPS = ("begin", "begin", "feed", "feed", "cancel", "turns", "drain", "hang up")


def write_script(chance):
    kind = chance.choice(("tcp", "datagrams"))
    names = [name for name in CALLS if kind == "tcp" or name != "sendall_much"]
    steps = [
        (chance.choice(STEPS), chance.choice(names), chance.randint(1, 30))
        for _ in range(chance.randint(3, 14))
    ]
    return kind, steps


def described(task):
    if not task.done():
        return "waits"
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    return repr(error) if error is not None else repr(task.result())


async def turns(count=6):
    for _ in range(count):
        await asyncio.sleep(0)


async def play_on(mine, peer, steps):
    loop = asyncio.get_running_loop()
    trace = []
    task = None
    for kind, name, number in steps:
        # One at a time: a second one takes the first one's place among the loop's readers, for ever on either loop.
        if kind == "begin" and (task is None or task.done()):
            task = asyncio.ensure_future(CALLS[name](loop, mine, number))
            await turns(number % 4)
        elif kind == "feed" and peer.fileno() >= 0:
            peer.send(b"f" * number)
            await turns()
        elif kind == "cancel" and task is not None:
            task.cancel()
            await turns(number % 3)
        elif kind == "drain" and peer.fileno() >= 0:
            try:
                while peer.recv(1 << 20):
                    await turns()
            except BlockingIOError:
                pass
        elif kind == "hang up":
            peer.close()
        await turns()
        trace.append((kind, name, described(task) if task is not None else None))
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
        trace.append(described(task))
    # Nobody watches the socket any more, however the call ended.
    trace.append((loop.remove_reader(mine), loop.remove_writer(mine)))
    return trace


async def play(script):
    kind, steps = script
    if kind == "tcp":
        with tcp_pair() as (mine, peer):
            return await play_on(mine, peer, steps)
    mine, peer = socket.socketpair(type=socket.SOCK_DGRAM)
    with mine, peer:
        mine.setblocking(False)
        peer.setblocking(False)
        return await play_on(mine, peer, steps)


@pytest.mark.parametrize("seed", range(80))
def test_traces_are_equal(seed):
    script = write_script(random.Random(f"sock {seed}"))

    def playing():
        return play(script)

    assert trace_of("epicycle", playing) == trace_of("asyncio", playing), script

"""Over TLS: protocols that take over in the middle, and handshakes cancelled at every stage, as on asyncio."""

import asyncio
import contextlib
import functools
import random
import socket
import ssl

import pytest

from differential.conversations import act, reporting, settled, tell, trace_of
from differential.test_tls_scripts import WAYS
from toolkit import Recorder, tcp_pair, until


class Successor(asyncio.Protocol):
    """Takes over from a protocol, and notes in its place."""

    def __init__(self, end):
        self.end = end

    def data_received(self, data):
        self.end.events.append("successor's data")
        self.end.data += data

    def eof_received(self):
        self.end.events.append("successor's eof")

    def connection_lost(self, exc):
        self.end.connection_lost(exc)


class BufferedSuccessor(asyncio.BufferedProtocol):
    """The same with a buffer of its own."""

    def __init__(self, end):
        self.end = end
        self.buffer = bytearray(10)

    def get_buffer(self, sizehint):
        return memoryview(self.buffer)

    def buffer_updated(self, nbytes):
        self.end.events.append("buffered successor's data")
        self.end.data += self.buffer[:nbytes]

    eof_received = Successor.eof_received
    connection_lost = Successor.connection_lost


KINDS = {"successor": Successor, "buffered": BufferedSuccessor, "itself": lambda end: end}


def write_script(chance):
    kinds = (*KINDS, "write", "write", "write", "write")
    return [
        (chance.choice(("client", "server")), chance.choice(kinds), chance.randint(0, 20))
        for _ in range(chance.randint(4, 14))
    ]


async def play(script, connected):
    trace = []
    asyncio.get_running_loop().set_exception_handler(reporting(trace))
    async with connected(Recorder, Recorder) as (client, server):
        ends = {"client": client, "server": server}
        for name, kind, number in script:
            end = ends[name]
            if kind in KINDS:
                successor = KINDS[kind](end)
                end.transport.set_protocol(successor)
                assert end.transport.get_protocol() is successor
            else:
                act(end.transport, kind, number)
            await settled(ends.values())
            trace.append((name, kind, [tell(each) for each in ends.values()]))
        client.transport.close()
        await until(lambda: client.is_lost and server.is_lost)
        trace.append([tell(each) for each in ends.values()])
    return trace


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(12))
def test_a_protocol_that_takes_over_gets_what_comes(seed, way, tls_contexts):
    script = write_script(random.Random(f"successors {way} {seed}"))

    def playing():
        return play(script, functools.partial(WAYS[way], tls_contexts))

    assert trace_of("epicycle", playing) == trace_of("asyncio", playing), script


def answer_to(hello, context):
    """What a server says to a client's first flight."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(hello)
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


async def received(peer):
    """The next piece that has come for a plain socket; b"" at the end, however it came."""
    data = []

    def came():
        try:
            data.append(peer.recv(1 << 16))
        except BlockingIOError:
            pass
        except OSError:
            data.append(b"")
        return bool(data)

    await until(came)
    return data[0]


STAGES = ("greeted", "answered in part", "answered with nonsense")


async def shake(stage, beginning, contexts):
    """What becomes of a client's handshake that is cancelled at this stage, and whether its peer hears of it."""
    loop = asyncio.get_running_loop()
    trace = []
    loop.set_exception_handler(reporting(trace))
    server_context, client_context = contexts
    with tcp_pair() as (mine, peer):
        protocol = Recorder()
        if beginning == "create_connection":
            options = {"sock": mine.dup(), "ssl": client_context, "server_hostname": "localhost"}
            task = asyncio.ensure_future(loop.create_connection(lambda: protocol, **options))
        else:
            transport, _ = await loop.create_connection(lambda: protocol, sock=mine.dup())
            task = asyncio.ensure_future(
                loop.start_tls(transport, protocol, client_context, server_hostname="localhost")
            )
        mine.close()
        hello = await received(peer)
        if stage == "answered in part":
            peer.send(answer_to(hello, server_context)[:50])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        elif stage == "answered with nonsense":
            peer.send(b"nonsense")
        task.cancel()
        await asyncio.wait([task])
        trace.append("cancelled" if task.cancelled() else type(task.exception()).__name__)
        # It may have been reset already.
        with contextlib.suppress(OSError):
            peer.shutdown(socket.SHUT_WR)
        while await received(peer):
            pass
        trace.append("the peer hears of the end")
        # That the protocol hears of it after start_tls is a documented difference.
        trace.append([event for event in protocol.events if event != "lost"])
    return trace


@pytest.mark.parametrize("beginning", ["create_connection", "start_tls"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_cancelled_handshake_ends_the_connection(stage, beginning, tls_contexts):
    def playing():
        return shake(stage, beginning, tls_contexts)

    assert trace_of("epicycle", playing) == trace_of("asyncio", playing)

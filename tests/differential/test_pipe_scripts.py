"""Both ends of a pipe, written, paused and closed in orders written by chance, are told the same on both loops."""

import asyncio
import contextlib
import os
import random
import socket

import pytest

from differential.conversations import reporting, settled, tell, trace_of
from toolkit import Recorder, until

READING = {
    "pause_reading": 3,
    "resume_reading": 4,
    "close": 1,
    "abort": 1,
}
WRITING = {
    "write": 6,
    "write_much": 2,
    "writelines": 2,
    "write_empty": 1,
    "write_no_bytes": 1,
    "write_eof": 1,
    "limits": 1,
    "close": 1,
    "abort": 1,
}


class Raising(Recorder):
    """Cannot bear more than a little."""

    def data_received(self, data):
        super().data_received(data)
        if len(self.data) > 25:
            raise ValueError("too much")


class Closing(Recorder):
    """Closes as soon as it has something, or must pause."""

    def data_received(self, data):
        super().data_received(data)
        self.transport.close()

    def pause_writing(self):
        super().pause_writing()
        self.transport.close()


def write_script(chance):
    actions = []
    for _ in range(chance.randint(2, 10)):
        end, table = chance.choice((("reader", READING), ("writer", WRITING), ("writer", WRITING)))
        actions.append((end, chance.choices(list(table), list(table.values()))[0], chance.randint(0, 20)))
    kinds = [chance.choice((Recorder, Raising, Closing)) for _ in range(2)]
    return chance.choice(("pipe", "socket pair")), kinds, actions


def act(transport, kind, number):
    if kind == "write":
        return transport.write(b"%03d," % number)
    if kind == "write_much":
        return transport.write(bytes(1_000_000))
    if kind == "writelines":
        return transport.writelines([b"%03d;" % number] * 3)
    if kind == "write_empty":
        return transport.write(b"")
    if kind == "write_no_bytes":
        return transport.write("text")
    if kind == "limits":
        return transport.set_write_buffer_limits(high=number * 10_000)
    if kind == "abort" and not hasattr(transport, "abort"):
        return transport.close()
    return getattr(transport, kind)()


class Reading:
    """What `tell` asks of a transport that cannot write."""

    def __init__(self, transport):
        self.transport = transport

    def __getattr__(self, name):
        return getattr(self.transport, name)

    def get_write_buffer_size(self):
        return 0


class Writing(Reading):
    """What `tell` asks of a transport that cannot read."""

    def is_reading(self):
        return False

    def get_write_buffer_size(self):
        return self.transport.get_write_buffer_size()


def files(kind):
    """The reading and the writing end, as files that the transports own."""
    if kind == "pipe":
        reading, writing = os.pipe()
        return open(reading, "rb", 0), open(writing, "wb", 0)
    return socket.socketpair()


async def play(script):
    loop = asyncio.get_running_loop()
    kind, kinds, actions = script
    trace = []
    loop.set_exception_handler(reporting(trace))
    reading, writing = files(kind)
    _, reader = await loop.connect_read_pipe(kinds[0], reading)
    _, writer = await loop.connect_write_pipe(kinds[1], writing)
    reader.transport, writer.transport = Reading(reader.transport), Writing(writer.transport)
    ends = {"reader": reader, "writer": writer}
    try:
        await settled(ends.values())
        for name, action, number in actions:
            end = ends[name]
            if end.is_lost:
                continue
            try:
                act(end.transport, action, number)
            except Exception as error:
                trace.append((name, action, repr(error)))
            await settled(ends.values())
            trace.append((name, action, [tell(each) for each in ends.values()]))
    finally:
        for end, leave in ((writer, "abort"), (reader, "close")):
            if not end.is_lost:
                with contextlib.suppress(Exception):
                    getattr(end.transport, leave)()
            await until(lambda end=end: end.is_lost)
            await settled(ends.values())
    trace.append([tell(each) for each in ends.values()])
    return trace


@pytest.mark.parametrize("seed", range(80))
def test_traces_are_equal(seed):
    script = write_script(random.Random(f"pipe {seed}"))

    def playing():
        return play(script)

    assert trace_of("epicycle", playing) == trace_of("asyncio", playing), script

"""What holds for any sequence of writes, however they are cut, paused and read."""

import asyncio
import os
import socket

import pytest

from toolkit import FACTORIES, Filler, Recorder, attached, connected, finish, until

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

# Hypothesis says so of its own generator, on the versions of Python that collect in another way.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like .register_random.")

# The same cases every time; `make fuzz` asks for many more, and for others each time.
quick = settings(
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_CASES", "30")),
    database=None,
    derandomize="FUZZ_CASES" not in os.environ,
)

pieces = st.one_of(
    st.binary(max_size=40),
    st.tuples(st.integers(0, 255), st.integers(1, 300_000)).map(lambda pair: bytes([pair[0]]) * pair[1]),
)
writes = st.lists(
    st.one_of(
        pieces,
        pieces.map(bytearray),
        pieces.map(memoryview),
        st.lists(pieces, max_size=6),
        st.none(),
    ),
    max_size=12,
)


def played(loop_name, main):
    loop = FACTORIES[loop_name]()
    try:
        return finish(loop, main(), timeout=30)
    finally:
        loop.close()


def bytes_of(script):
    return b"".join(b"".join(item) if isinstance(item, list) else bytes(item or b"") for item in script)


async def write_all(transport, script):
    for item in script:
        if item is None:
            await asyncio.sleep(0)
        elif isinstance(item, list):
            # Empty pieces are kept for ever by some versions of asyncio.
            transport.writelines([piece for piece in item if piece])
        else:
            transport.write(item)


@quick
@given(script=writes, pauses=st.lists(st.integers(1, 200_000), max_size=5))
def test_what_is_written_is_read_whatever_is_paused(loop_name, script, pauses):
    expected = bytes_of(script)

    class Pausing(Recorder):
        left = iter(sorted(pauses))
        at = next(left, None)

        def data_received(self, data):
            super().data_received(data)
            if self.at is not None and len(self.data) >= self.at:
                self.at = next(self.left, None)
                self.transport.pause_reading()
                asyncio.get_running_loop().call_later(0.0005, self.transport.resume_reading)

    async def main():
        async with connected(client=Recorder, server=Pausing) as (client, server):
            await write_all(client.transport, script)
            client.transport.write_eof()
            await until(lambda: "eof" in server.events or server.is_lost)
            return bytes(server.data)

    assert played(loop_name, main) == expected


@quick
@given(script=writes, size=st.integers(1, 70_000))
def test_a_buffer_of_any_size_is_filled_in_order(loop_name, script, size):
    expected = bytes_of(script)[: size * 200]
    script = [expected]

    async def main():
        async with connected(client=Recorder, server=lambda: Filler(size)) as (client, server):
            await write_all(client.transport, script)
            await until(lambda: len(server.data) == len(expected))
            return bytes(server.data)

    assert played(loop_name, main) == expected


@quick
@given(script=writes, high=st.integers(0, 200_000), ending=st.sampled_from(["close", "write_eof"]))
def test_pauses_and_resumptions_alternate(loop_name, script, high, ending):
    expected = bytes_of(script)

    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            transport.set_write_buffer_limits(high=high)
            await write_all(transport, script)
            getattr(transport, ending)()
            received = bytearray()
            while chunk := await asyncio.get_running_loop().sock_recv(peer, 65536):
                received += chunk
        turns = [event for event in protocol.events if event in ("pause", "resume")]
        assert turns == (["pause", "resume"] * len(turns))[: len(turns)]
        return bytes(received)

    assert played(loop_name, main) == expected


@quick
@given(sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=20), limit=st.integers(1, 10_000))
def test_frames_are_read_exactly(loop_name, sizes, limit):
    frames = [bytes([number % 251]) * size for number, size in enumerate(sizes)]

    async def main():
        one, two = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=one, limit=limit)
        other_reader, other_writer = await asyncio.open_connection(sock=two)
        other_writer.writelines(frames)
        received = [await reader.readexactly(size) for size in sizes]
        for each in (writer, other_writer):
            each.close()
            await each.wait_closed()
        assert await other_reader.read() == b""
        return received

    assert played(loop_name, main) == frames

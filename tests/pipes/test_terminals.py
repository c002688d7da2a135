"""Two transports on one terminal, and a descriptor's directions in different hands."""

import asyncio
import os
import socket
from io import FileIO

import pytest

from toolkit import Recorder, finish, until


class Ends(asyncio.BaseProtocol):
    def __init__(self):
        self.is_lost = False

    def connection_lost(self, exc):
        self.is_lost = True


def read_exactly(fd, size):
    while size:
        size -= len(os.read(fd, size))


async def exchange(reading, writing, protocol, terminal):
    """Bytes pass both ways between the loop's transports and the other side of the terminal."""
    writing.write(b"out")
    assert os.read(terminal["inner"], 100) == b"out"
    os.write(terminal["inner"], b"in")
    await until(lambda: protocol.data == b"in")


def test_two_descriptors_of_one_terminal(loop, terminal):
    async def main():
        other = os.dup(terminal["outer"])
        reading, protocol = await loop.connect_read_pipe(Recorder, FileIO(terminal.pop("outer"), "rb"))
        writing, ends = await loop.connect_write_pipe(Ends, FileIO(other, "wb"))
        await exchange(reading, writing, protocol, terminal)
        writing.close()
        await until(lambda: ends.is_lost)
        os.write(terminal["inner"], b" more")
        await until(lambda: protocol.data == b"in more")
        reading.close()
        await until(lambda: protocol.is_lost)

    finish(loop, main())


@pytest.mark.parametrize("first", ["reading", "writing"])
def test_one_descriptor_of_a_terminal_read_and_written(loop, terminal, first):
    async def main():
        fd = terminal["outer"]
        files = {"reading": FileIO(fd, "rb", closefd=False), "writing": FileIO(fd, "wb", closefd=False)}
        connects = {
            "reading": lambda: loop.connect_read_pipe(Recorder, files["reading"]),
            "writing": lambda: loop.connect_write_pipe(Ends, files["writing"]),
        }
        second = "writing" if first == "reading" else "reading"
        made = {name: await connects[name]() for name in (first, second)}
        (reading, protocol), (writing, ends) = made["reading"], made["writing"]
        await exchange(reading, writing, protocol, terminal)

        # A queue, so that the descriptor is watched for both.
        size = 100_000
        writing.write(b"x" * size)
        assert writing.get_write_buffer_size() > 0
        os.write(terminal["inner"], b" more")
        await until(lambda: protocol.data == b"in more")
        await asyncio.to_thread(read_exactly, terminal["inner"], size)
        await until(lambda: writing.get_write_buffer_size() == 0)
        reading.close()
        await until(lambda: protocol.is_lost)
        writing.close()
        await until(lambda: ends.is_lost)

    finish(loop, main())


@pytest.mark.epicycle_only
def test_the_writer_of_a_descriptor_closes_and_the_reader_goes_on(loop, terminal):
    async def main():
        fd = terminal["outer"]
        reading, protocol = await loop.connect_read_pipe(Recorder, FileIO(fd, "rb", closefd=False))
        writing, ends = await loop.connect_write_pipe(Ends, FileIO(fd, "wb", closefd=False))
        writing.close()
        await until(lambda: ends.is_lost)
        os.write(terminal["inner"], b"still")
        await until(lambda: protocol.data == b"still")
        reading.close()
        await until(lambda: protocol.is_lost)

    finish(loop, main())


def test_a_terminal_that_hangs_up_ends_quietly(loop, errors, terminal):
    async def main():
        _, protocol = await loop.connect_read_pipe(Recorder, FileIO(terminal.pop("outer"), "rb"))
        os.write(terminal["inner"], b"last words")
        os.close(terminal.pop("inner"))
        await until(lambda: protocol.is_lost)
        assert protocol.data == b"last words"
        assert isinstance(protocol.lost, OSError)

    finish(loop, main())
    assert not errors


def test_a_callback_may_wait_for_the_other_direction(loop, terminal):
    async def main():
        fd = terminal["outer"]
        transport, protocol = await loop.connect_read_pipe(Recorder, FileIO(fd, "rb", closefd=False))
        writable = loop.create_future()

        def tell():
            loop.remove_writer(fd)
            writable.set_result(None)

        loop.add_writer(fd, tell)
        await writable
        os.write(terminal["inner"], b"x")
        await until(lambda: protocol.data == b"x")
        transport.close()
        await until(lambda: protocol.is_lost)

    finish(loop, main())


def test_the_pipe_of_a_closed_file_leaves_its_number_to_the_next(loop):
    async def main():
        for content in (b"one", b"two", b"three"):
            read_end, write_end = os.pipe()
            _, protocol = await loop.connect_read_pipe(Recorder, FileIO(read_end, "rb"))
            os.write(write_end, content)
            os.close(write_end)
            await until(lambda protocol=protocol: protocol.is_lost)
            assert protocol.data == content

    finish(loop, main())


@pytest.mark.epicycle_only
def test_a_socket_that_a_connection_uses_is_refused(loop):
    async def main():
        mine, peer = socket.socketpair()
        with peer:
            mine.setblocking(False)
            transport, protocol = await loop.create_connection(Recorder, sock=mine)
            with pytest.raises(RuntimeError, match="is used by transport"):
                await loop.connect_read_pipe(Recorder, mine)
            with pytest.raises(RuntimeError, match="is used by transport"):
                await loop.connect_write_pipe(Ends, mine)
            peer.send(b"undisturbed")
            await until(lambda: protocol.data == b"undisturbed")
            transport.abort()
            await until(lambda: protocol.is_lost)

    finish(loop, main())

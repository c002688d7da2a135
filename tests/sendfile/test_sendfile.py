"""loop.sendfile and loop.sock_sendfile."""

import asyncio
import contextlib
import io
import os
import socket
import sys
import tempfile

import pytest

from toolkit import Recorder, attached, cancelled, connected, dropped, finish, outcome, tcp_pair, until

# More than the two sockets' buffers take.
DATA = bytes(range(256)) * 40_000


@pytest.fixture
def file(tmp_path):
    """A regular file with DATA in it."""
    path = tmp_path / "data"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        yield file


class Unknown:
    """A file of no known kind: bytes can be read from it and nothing else."""

    def __init__(self, data):
        self._file = io.BytesIO(data)
        self.readinto = self._file.readinto


def in_memory(data):
    return io.BytesIO(data)


async def read_exactly(peer, size):
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        chunk = await loop.sock_recv(peer, 1 << 20)
        assert chunk, f"the connection ended after {len(data)} bytes"
        data += chunk
    return bytes(data)


async def sending_to(peer, coroutine, size):
    """The result of `coroutine`, and `size` bytes that arrive at `peer` meanwhile."""
    task = asyncio.create_task(coroutine)
    data = await read_exactly(peer, size)
    return await task, data


RANGES = [(0, None), (0, 1000), (1000, None), (12_345, 5_000_000), (len(DATA) - 5, 100), (len(DATA), None)]


def expected(offset, count):
    return DATA[offset:] if count is None else DATA[offset : offset + count]


@contextlib.asynccontextmanager
async def target(method, protocol=None):
    """What to send to by `method`: a transport or a socket; and the peer."""
    if method == "sendfile":
        async with attached(protocol or Recorder()) as (transport, peer):
            yield transport, peer
    else:
        with tcp_pair() as (mine, peer):
            yield mine, peer


METHODS = ["sendfile", "sock_sendfile"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("offset", "count"), RANGES)
def test_a_regular_file_is_sent_by_the_kernel(loop, file, method, offset, count):
    part = expected(offset, count)

    async def main():
        async with target(method) as (to, peer):
            sending = getattr(loop, method)(to, file, offset, count, fallback=False)
            sent, data = await sending_to(peer, sending, len(part))
            # Whether the position moves when there was nothing to send differs between versions.
            return sent, data == part, file.tell() if part else offset

    assert finish(loop, main()) == (len(part), True, offset + len(part))


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_file_is_sent_at_once(loop, tmp_path, method):
    (tmp_path / "empty").touch()

    async def main():
        async with target(method) as (to, _):
            with (tmp_path / "empty").open("rb") as empty:
                return await getattr(loop, method)(to, empty), empty.tell()

    assert finish(loop, main()) == (0, 0)


@pytest.mark.parametrize("make", [in_memory, Unknown])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("offset", "count"), [(0, None), (0, 100_001)])
def test_what_is_no_regular_file_is_copied(loop, method, make, offset, count):
    part = expected(offset, count)

    async def main():
        async with target(method) as (to, peer):
            source = make(DATA)
            sent, data = await sending_to(peer, getattr(loop, method)(to, source, offset, count), len(part))
            if make is in_memory:
                assert source.tell() == offset + len(part)
            return sent, data == part

    assert finish(loop, main()) == (len(part), True)


@pytest.mark.parametrize("method", METHODS)
def test_a_copy_starts_where_it_is_told(loop, method):
    async def main():
        async with target(method) as (to, peer):
            source = io.BytesIO(DATA)
            sent, data = await sending_to(peer, getattr(loop, method)(to, source, 1000, 500), 500)
            return sent, data == DATA[1000:1500], source.tell()

    assert finish(loop, main()) == (500, True, 1500)


@pytest.mark.parametrize("method", METHODS)
def test_the_kernel_or_nobody(loop, method):
    async def main():
        async with target(method) as (to, _):
            with pytest.raises(asyncio.SendfileNotAvailableError, match="not a regular file"):
                await getattr(loop, method)(to, io.BytesIO(DATA), fallback=False)

    finish(loop, main())


@pytest.mark.epicycle_only
@pytest.mark.parametrize("method", METHODS)
def test_a_pipe_is_copied(loop, method):
    async def main():
        reading, writing = os.pipe()
        with open(reading, "rb") as source:
            os.write(writing, b"through the pipe")
            os.close(writing)
            async with target(method) as (to, peer):
                return await sending_to(peer, getattr(loop, method)(to, source), 16)

    assert finish(loop, main()) == (16, b"through the pipe")


# ---- refusals ----

REFUSED = {
    "text": ({"mode": "r"}, {}),
    "a count of nothing": ({}, {"count": 0}),
    "a negative count": ({}, {"count": -1}),
    "a count that is no number": ({}, {"count": "x"}),
    "a negative offset": ({}, {"offset": -1}),
    "an offset that is no number": ({}, {"offset": "x"}),
    "an offset that is no whole number": ({}, {"offset": 1.5}),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", list(REFUSED))
def test_what_does_not_fit_is_refused_as_asyncio_refuses_it(loop, file, method, name):
    opening, options = REFUSED[name]

    def attempt(loop):
        async def main():
            async with target(method) as (to, _):
                with open(file.name, **opening or {"mode": "rb"}) as source:
                    return await getattr(loop, method)(to, source, **options)

        return finish(loop, main())

    oracle = asyncio.SelectorEventLoop()
    wanted = outcome(attempt, oracle)
    oracle.close()
    assert wanted[0] == "raised"
    assert outcome(attempt, loop) == wanted


def test_datagram_sockets_are_refused(loop, file):
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            with pytest.raises(ValueError, match="only SOCK_STREAM type sockets are supported"):
                await loop.sock_sendfile(sock, file)

    finish(loop, main())


def test_blocking_sockets_are_refused_in_debug_mode(loop, file):
    loop.set_debug(True)

    async def main():
        with tcp_pair(blocking=True) as (mine, _), pytest.raises(ValueError, match="must be non-blocking"):
            await loop.sock_sendfile(mine, file)

    finish(loop, main())


def test_a_closing_transport_is_refused(loop, file):
    async def main():
        async with attached(Recorder()) as (transport, _):
            transport.close()
            with pytest.raises(RuntimeError, match="Transport is closing"):
                await loop.sendfile(transport, file)

    finish(loop, main())


def test_a_transport_that_cannot_is_refused(loop, file):
    class Transport(asyncio.Transport):
        def is_closing(self):
            return False

        def __repr__(self):
            return "<a transport>"

    async def main():
        with pytest.raises(RuntimeError, match="sendfile is not supported for transport <a transport>"):
            await loop.sendfile(Transport(), file)

    finish(loop, main())


def test_without_a_fallback_some_transports_have_no_way(loop, file):
    class Transport(asyncio.Transport):
        _sendfile_compatible = asyncio.constants._SendfileMode.FALLBACK

        def is_closing(self):
            return False

    async def main():
        with pytest.raises(RuntimeError, match="fallback is disabled and native sendfile is not supported"):
            await loop.sendfile(Transport(), file, fallback=False)
        with pytest.raises(TypeError, match="transport should be _FlowControlMixin instance"):
            await loop.sendfile(Transport(), file)

    finish(loop, main())


# ---- beside the sending ----


@pytest.mark.parametrize("copied", [False, True], ids=["by the kernel", "copied"])
def test_what_is_written_before_and_after_keeps_its_place(loop, file, copied):
    head, tail = b"head" * 500_000, b"tail" * 1000
    source = io.BytesIO(DATA) if copied else file

    async def main():
        async with attached(Recorder()) as (transport, peer):
            transport.write(head)

            async def send():
                sent = await loop.sendfile(transport, source)
                transport.write(tail)
                return sent

            return await sending_to(peer, send(), len(head) + len(DATA) + len(tail))

    sent, data = finish(loop, main())
    assert sent == len(DATA)
    assert data == head + DATA + tail


def test_nothing_can_be_written_meanwhile(loop, file):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            task = loop.create_task(loop.sendfile(transport, file))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="unable to write; sendfile is in progress"):
                transport.write(b"x")
            name = "writelines" if sys.version_info >= (3, 12) else "write"
            with pytest.raises(RuntimeError, match=f"unable to {name}; sendfile is in progress"):
                transport.writelines([b"x"])
            data = await read_exactly(peer, len(DATA))
            await task
            transport.write(b"now")
            return data == DATA, await read_exactly(peer, 3)

    assert finish(loop, main()) == (True, b"now")


@pytest.mark.epicycle_only
def test_two_files_at_once_are_refused(loop, file):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            task = loop.create_task(loop.sendfile(transport, file))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="Empty waiter is already set"):
                await loop.sendfile(transport, file)
            data = await read_exactly(peer, len(DATA))
            return await task, data == DATA

    assert finish(loop, main()) == (len(DATA), True)


@pytest.mark.parametrize("copied", [False, True], ids=["by the kernel", "copied"])
def test_reading_pauses_meanwhile_and_goes_on_after(loop, file, copied):
    source = io.BytesIO(DATA) if copied else file

    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            task = loop.create_task(loop.sendfile(transport, source))
            await asyncio.sleep(0)
            assert not transport.is_reading()
            peer.send(b"meanwhile")
            await read_exactly(peer, len(DATA))
            before = bytes(protocol.data)
            await task
            assert transport.is_reading()
            await until(lambda: protocol.data)
            return before, bytes(protocol.data), transport.get_protocol() is protocol

    assert finish(loop, main()) == (b"", b"meanwhile", True)


def test_paused_reading_stays_paused(loop, file):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            transport.pause_reading()
            await sending_to(peer, loop.sendfile(transport, file), len(DATA))
            return transport.is_reading()

    assert finish(loop, main()) is False


def test_a_copy_waits_for_a_slow_reader(loop):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            transport.set_write_buffer_limits(high=10_000)
            source = io.BytesIO(DATA)
            task = loop.create_task(loop.sendfile(transport, source))
            await until(lambda: transport._protocol_paused)
            sizes = set()
            data = bytearray()
            while len(data) < len(DATA):
                data += await loop.sock_recv(peer, 1 << 16)
                sizes.add(transport.get_write_buffer_size())
            return await task, bytes(data) == DATA, max(sizes) < 300_000

    assert finish(loop, main()) == (len(DATA), True, True)


@pytest.mark.epicycle_only
def test_a_protocol_that_had_to_pause_hears_when_it_may_go_on(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            transport.write(DATA)
            assert protocol.events[-1] == "pause"
            task = loop.create_task(loop.sendfile(transport, io.BytesIO(b"short")))
            data = await read_exactly(peer, len(DATA) + 5)
            await task
            return data[-5:], protocol.order()

    assert finish(loop, main()) == (b"short", ["made", "pause", "resume"])


# ---- the end of the connection ----


@pytest.mark.parametrize("copied", [False, True], ids=["by the kernel", "copied"])
def test_a_peer_that_leaves_in_the_middle(loop, file, copied):
    source = io.BytesIO(DATA) if copied else file

    async def main():
        async with connected() as (client, server):
            server.transport.pause_reading()
            task = loop.create_task(loop.sendfile(client.transport, source))
            await until(lambda: source.tell() > 0 or not copied)
            for _ in range(5):
                await asyncio.sleep(0)
            server.transport.abort()
            with pytest.raises(ConnectionError):
                await task
            return source.tell() < len(DATA)

    assert finish(loop, main())


@pytest.mark.parametrize("copied", [False, True], ids=["by the kernel", "copied"])
@pytest.mark.epicycle_only
def test_a_transport_aborted_in_the_middle(loop, file, copied):
    source = io.BytesIO(DATA) if copied else file

    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, _):
            task = loop.create_task(loop.sendfile(transport, source))
            for _ in range(5):
                await asyncio.sleep(0)
            transport.abort()
            with pytest.raises(ConnectionError):
                await task
            await until(lambda: protocol.is_lost)
            return protocol.events[-1]

    assert finish(loop, main()) == "lost"


@pytest.mark.epicycle_only
@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("copied", [False, True], ids=["by the kernel", "copied"])
@pytest.mark.parametrize("queued", [False, True], ids=["at once", "behind a queue"])
def test_cancelled_anywhere_the_connection_goes_on(loop, file, turns, copied, queued):
    source = io.BytesIO(DATA) if copied else file

    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            if queued:
                transport.write(DATA)
            task = loop.create_task(loop.sendfile(transport, source))
            for _ in range(turns):
                await asyncio.sleep(0)
            await cancelled(task)
            assert transport.get_protocol() is protocol
            assert transport.is_reading()
            transport.write(b"the end")
            data = bytearray()
            while not data.endswith(b"the end"):
                data += await loop.sock_recv(peer, 1 << 20)
            begun = bytes(data[:-7])
            if queued:
                assert begun[: len(DATA)] == DATA
                begun = begun[len(DATA) :]
            return DATA.startswith(begun)

    assert finish(loop, main())


@pytest.mark.parametrize("turns", range(4))
def test_a_cancelled_sock_sendfile_leaves_no_writer(loop, file, turns):
    async def main():
        with tcp_pair() as (mine, _):
            task = loop.create_task(loop.sock_sendfile(mine, file))
            for _ in range(turns):
                await asyncio.sleep(0)
            await cancelled(task)
            return loop.remove_writer(mine)

    assert finish(loop, main()) is False


@pytest.mark.epicycle_only
@pytest.mark.parametrize("method", METHODS)
def test_a_file_closed_meanwhile_is_an_error_and_no_other_file_is_sent(loop, file, method):
    async def main():
        async with target(method) as (to, peer):
            mine = file.name
            source = open(mine, "rb")  # noqa: SIM115
            task = loop.create_task(getattr(loop, method)(to, source))
            for _ in range(3):
                await asyncio.sleep(0)
            source.close()
            with tempfile.TemporaryFile() as other:
                # It has the number now.
                other.write(b"secret" * 1_000_000)
                reading = loop.create_task(read_exactly(peer, len(DATA)))
                with pytest.raises(ValueError, match="closed file"):
                    await task
                await cancelled(reading)

    finish(loop, main())


def test_streams_can_send_files(loop, file):
    async def main():
        async def serve(reader, writer):
            await loop.sendfile(writer.transport, file)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        data = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return data == DATA

    assert finish(loop, main())


def test_over_a_unix_socket(loop, file, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        got = bytearray()

        class Taker(Recorder):
            def data_received(self, data):
                got.extend(data)

        server = await loop.create_unix_server(Taker, path)
        transport, protocol = await loop.create_unix_connection(Recorder, path)
        sent = await loop.sendfile(transport, file, fallback=False)
        await until(lambda: len(got) == len(DATA))
        await dropped(protocol, transport)
        server.close()
        for _ in range(5):
            await asyncio.sleep(0)
        await server.wait_closed()
        return sent, bytes(got) == DATA

    assert finish(loop, main()) == (len(DATA), True)

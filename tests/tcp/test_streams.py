"""`open_connection` and `start_server`, the streams that most client libraries are written for."""

import asyncio
import contextlib
import socket

import pytest

from toolkit import cancelled, finish, quiet, until

pytestmark = pytest.mark.usefixtures("stream_classes")


@contextlib.asynccontextmanager
async def stream_pair(client_limit=2**16, server_limit=2**16):
    """The reader and writer of a client, and those of its server."""
    loop = asyncio.get_running_loop()
    arrived = loop.create_future()
    server = await asyncio.start_server(
        lambda reader, writer: arrived.set_result((reader, writer)), "127.0.0.1", 0, limit=server_limit
    )
    port = server.sockets[0].getsockname()[1]
    client = await asyncio.open_connection("127.0.0.1", port, limit=client_limit)
    theirs = await arrived
    try:
        yield client, theirs
    finally:
        server.close()
        for _, writer in (client, theirs):
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await server.wait_closed()


def test_lines_go_to_and_fro(loop):
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            answers = []
            for line in (b"one\n", b"two\n", b"three\n"):
                writer.write(line)
                await writer.drain()
                answers.append(await reader.readline())
            writer.close()
            await writer.wait_closed()
        await until(lambda: len(asyncio.all_tasks()) == 1)
        return answers

    assert finish(loop, main()) == [b"ONE\n", b"TWO\n", b"THREE\n"]


def test_reading_in_every_way(loop):
    async def main():
        async with stream_pair() as ((reader, _), (_, writer)):
            writer.write(b"line\nuntil;exactly|rest of it")
            writer.write_eof()
            return [
                await reader.readline(),
                await reader.readuntil(b";"),
                await reader.readexactly(8),
                await reader.read(4),
                reader.at_eof(),
                await reader.read(),
                reader.at_eof(),
                await reader.read(),
                await reader.readline(),
            ]

    expected = [b"line\n", b"until;", b"exactly|", b"rest", False, b" of it", True, b"", b""]
    assert finish(loop, main()) == expected


def test_reading_that_ends_too_early(loop):
    async def main():
        async with stream_pair() as ((reader, _), (_, writer)):
            writer.write(b"partial")
            writer.write_eof()
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reader.readuntil(b"\n")
            assert caught.value.partial == b"partial"
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reader.readexactly(1)
            assert caught.value.partial == b"" and caught.value.expected == 1

    finish(loop, main())


def test_reading_past_the_limit(loop):
    async def main():
        async with stream_pair(client_limit=100) as ((reader, _), (_, writer)):
            writer.write(b"x" * 1000)
            with pytest.raises(asyncio.LimitOverrunError):
                await reader.readuntil(b"\n")
            assert await reader.readexactly(1000) == b"x" * 1000
            writer.write(b"y" * 1000 + b"\n")
            with pytest.raises(ValueError, match="chunk is longer than limit|chunk exceed the limit"):
                await reader.readline()

    finish(loop, main())


def test_iterating_over_lines(loop):
    async def main():
        async with stream_pair() as ((reader, _), (_, writer)):
            writer.writelines([b"%d\n" % number for number in range(100)])
            writer.write_eof()
            return [int(line) async for line in reader]

    assert finish(loop, main()) == list(range(100))


def test_data_that_comes_in_pieces(loop):
    async def main():
        async with stream_pair() as ((reader, _), (_, writer)):
            reading = asyncio.create_task(reader.readuntil(b"END"))
            sent = 0
            for piece in (b"begin ", b"E", b"N", b"D after"):
                writer.write(piece)
                sent += len(piece)
                # Each is seen for itself; the last one may have been taken out again.
                await until(lambda sent=sent: reading.done() or len(reader._buffer) == sent)
            return await reading, await reader.read(100)

    assert finish(loop, main()) == (b"begin END", b" after")


def test_a_large_payload_with_drains(loop):
    payload = bytes(range(256)) * 40_000

    async def main():
        async with stream_pair() as ((reader, _), (_, writer)):

            async def send():
                for start in range(0, len(payload), 100_000):
                    writer.write(payload[start : start + 100_000])
                    await writer.drain()
                writer.write_eof()

            _, received = await asyncio.gather(send(), reader.read())
            return received == payload

    assert finish(loop, main(), timeout=30)


def test_a_reader_nobody_reads_holds_the_sender_back(loop):
    async def main():
        async with stream_pair(client_limit=10_000) as ((reader, _), (_, writer)):
            chunk = bytes(100_000)

            async def send():
                while True:
                    writer.write(chunk)
                    await writer.drain()

            sending = asyncio.create_task(send())
            await until(lambda: reader._paused and writer.transport.get_write_buffer_size() > 0)
            await quiet()
            # What is kept on either side stays within its limit and one more piece.
            assert len(reader._buffer) <= 2 * 10_000 + 256 * 1024
            assert writer.transport.get_write_buffer_size() <= 65536 + len(chunk)
            await cancelled(sending)
            writer.transport.abort()

    finish(loop, main())


def test_draining_waits_and_goes_on(loop):
    async def main():
        async with stream_pair() as ((reader, _), (_, writer)):
            await writer.drain()
            writer.write(bytes(20_000_000))
            draining = [asyncio.create_task(writer.drain()) for _ in range(3)]
            await quiet()
            assert not any(task.done() for task in draining)
            await reader.readexactly(20_000_000)
            await asyncio.gather(*draining)

    finish(loop, main())


def test_draining_can_be_cancelled(loop):
    async def main():
        async with stream_pair() as ((reader, _), (_, writer)):
            writer.write(bytes(20_000_000))
            draining = asyncio.create_task(writer.drain())
            await asyncio.sleep(0)
            await cancelled(draining)
            await reader.readexactly(20_000_000)
            await writer.drain()

    finish(loop, main())


def test_draining_a_lost_connection_fails(loop):
    async def main():
        async with stream_pair() as ((_, client), (_, writer)):
            writer.write(bytes(20_000_000))
            draining = asyncio.create_task(writer.drain())
            await asyncio.sleep(0)
            client.transport.abort()
            with pytest.raises(ConnectionError):
                await draining

    finish(loop, main())


def test_a_waiting_reader_learns_of_the_loss(loop):
    async def main():
        async with stream_pair() as ((reader, _), (_, writer)):
            reading = asyncio.create_task(reader.read(10))
            await asyncio.sleep(0)
            writer.transport.abort()
            assert await reading == b""

    finish(loop, main())


def test_reading_can_be_cancelled_and_begun_again(loop):
    async def main():
        async with stream_pair() as ((reader, _), (_, writer)):
            for _ in range(3):
                reading = asyncio.create_task(reader.readline())
                await asyncio.sleep(0)
                await cancelled(reading)
            writer.write(b"line\n")
            return await reader.readline()

    assert finish(loop, main()) == b"line\n"


def test_two_readers_of_one_stream_are_refused(loop):
    async def main():
        async with stream_pair() as ((reader, _), _):
            first = asyncio.create_task(reader.read(1))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="called while another coroutine is already waiting"):
                await reader.read(1)
            await cancelled(first)

    finish(loop, main())


def test_a_writer_tells_about_its_transport(loop):
    async def main():
        async with stream_pair() as ((_, writer), _):
            assert writer.get_extra_info("peername")[0] == "127.0.0.1"
            assert writer.can_write_eof() is True
            assert writer.is_closing() is False
            assert isinstance(writer.transport, asyncio.Transport)
            writer.close()
            assert writer.is_closing() is True
            await writer.wait_closed()

    finish(loop, main())


def test_an_exception_of_a_client_callback_is_reported(loop, errors):
    async def fail(reader, writer):
        writer.close()
        raise LookupError("in the callback")

    async def main():
        async with await asyncio.start_server(fail, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            await until(lambda: errors)

    finish(loop, main())
    (context,) = errors
    assert isinstance(context["exception"], LookupError)
    assert "client_connected_cb" in context["message"]
    errors.clear()


def test_a_hundred_clients_talk_at_once(loop):
    async def echo(reader, writer):
        data = await reader.readexactly(1000)
        writer.write(data)
        writer.close()
        await writer.wait_closed()

    async def client(address, number):
        reader, writer = await asyncio.open_connection(*address)
        payload = bytes([number]) * 1000
        for start in range(0, 1000, 100):
            writer.write(payload[start : start + 100])
            await asyncio.sleep(0)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer == payload

    async def main():
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()
            results = await asyncio.gather(*(client(address, number) for number in range(90)))
        await until(lambda: len(asyncio.all_tasks()) == 1)
        return all(results)

    assert finish(loop, main(), timeout=30)


def test_a_reader_fed_by_hand_works_too(loop):
    async def main():
        reader = asyncio.StreamReader(loop=loop)
        loop.call_soon(reader.feed_data, b"fed\n")
        loop.call_soon(reader.feed_eof)
        return await reader.readline(), await reader.read()

    assert finish(loop, main()) == (b"fed\n", b"")


def test_a_subclass_of_the_stream_protocol_is_called(loop):
    calls = []

    class Noted(asyncio.StreamReaderProtocol):
        def data_received(self, data):
            calls.append(bytes(data))
            super().data_received(data)

    class Reader(asyncio.StreamReader):
        def feed_data(self, data):
            calls.append("fed")
            super().feed_data(data.upper())

    async def main():
        server = await asyncio.start_server(lambda r, w: (w.write(b"quiet"), w.close()), "127.0.0.1", 0)
        async with server:
            reader = Reader(loop=loop)
            transport, _ = await loop.create_connection(
                lambda: Noted(reader, loop=loop), *server.sockets[0].getsockname()
            )
            data = await reader.read()
            transport.close()
            await quiet()
            return data

    assert finish(loop, main()) == b"QUIET"
    assert calls == [b"quiet", "fed"]


def test_data_that_arrives_while_somebody_looks_into_the_buffer_ends_the_connection(loop, errors):
    """A `bytearray` that is looked into cannot grow, and nothing may be written behind its end."""

    async def main():
        near, far = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=near)
        with far:
            far.sendall(b"first")
            await until(lambda: reader._buffer == b"first")
            with memoryview(reader._buffer) as view:
                far.sendall(b"second")
                await until(lambda: reader.exception() or reader.at_eof() or errors)
                seen = bytes(view)
            writer.close()
        await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])
        return seen

    assert finish(loop, main()) == b"first"
    assert isinstance(errors[0]["exception"], BufferError)


def test_streams_over_a_unix_socket_given_by_hand(loop):
    async def main():
        one, two = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=one)
        other_reader, other_writer = await asyncio.open_connection(sock=two)
        writer.write(b"over unix\n")
        line = await other_reader.readline()
        for each in (writer, other_writer):
            each.close()
            await each.wait_closed()
        return line

    assert finish(loop, main()) == b"over unix\n"

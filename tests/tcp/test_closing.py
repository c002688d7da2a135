"""The end of a connection: closing, half-closing, aborting, in every order."""

import asyncio
import gc
import socket

import pytest

from toolkit import Recorder, attached, connected, finish, quiet, until


class HalfOpen(Recorder):
    """Keeps its side open when the other has ended."""

    def eof_received(self):
        super().eof_received()
        return True


def test_closing_is_told_to_both_ends(loop):
    async def main():
        async with connected() as (client, server):
            assert client.transport.is_closing() is False
            assert client.transport.close() is None
            assert client.transport.is_closing() is True
            assert client.events == ["made"]
            await until(lambda: client.is_lost and server.is_lost)
            assert client.events == ["made", "lost"] and client.lost is None
            assert server.events == ["made", "eof", "lost"] and server.lost is None

    finish(loop, main())


def test_closing_twice_is_told_once(loop):
    async def main():
        async with connected() as (client, server):
            client.transport.close()
            client.transport.close()
            client.transport.abort()
            await until(lambda: client.is_lost and server.is_lost)
            assert client.events.count("lost") == 1

    finish(loop, main())


def test_what_was_written_before_closing_is_sent(loop):
    payload = bytes(range(256)) * 40_000

    async def main():
        async with connected() as (client, server):
            client.transport.write(payload)
            client.transport.close()
            assert not client.is_lost
            await until(lambda: client.is_lost and server.is_lost)
            assert client.lost is None
            return server.data == payload

    assert finish(loop, main(), timeout=30)


def test_the_loss_is_told_after_the_last_byte_has_left(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            transport.write(bytes(20_000_000))
            transport.close()
            await quiet()
            assert not protocol.is_lost and transport.get_write_buffer_size() > 0
            left = 20_000_000
            while left:
                left -= len(await loop.sock_recv(peer, 1 << 20))
            await until(lambda: protocol.is_lost)

    finish(loop, main())


def test_aborting_drops_what_was_not_sent(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            transport.write(bytes(20_000_000))
            assert transport.abort() is None
            assert transport.is_closing() and transport.get_write_buffer_size() == 0
            assert not protocol.is_lost
            await until(lambda: protocol.is_lost)
            assert protocol.lost is None and protocol.events == ["made", "pause", "lost"]
            received = 0
            while chunk := await loop.sock_recv(peer, 1 << 20):
                received += len(chunk)
            assert received < 20_000_000

    finish(loop, main())


def test_aborting_while_closing_ends_the_wait(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, _):
            transport.write(bytes(20_000_000))
            transport.close()
            await quiet()
            transport.abort()
            await until(lambda: protocol.is_lost)
            assert protocol.events == ["made", "pause", "lost"]

    finish(loop, main())


def test_the_end_of_writing_leaves_reading_open(loop):
    async def main():
        async with connected(server=HalfOpen) as (client, server):
            client.transport.write(b"question")
            assert client.transport.write_eof() is None
            await until(lambda: "eof" in server.events)
            assert server.data == b"question"
            server.transport.write(b"answer")
            await until(lambda: client.data == b"answer")
            assert not client.is_lost and not server.is_lost
            assert not client.transport.is_closing()
            server.transport.close()
            await until(lambda: client.is_lost and server.is_lost)
            assert client.order() == ["made", "data", "eof", "lost"]
            assert server.order() == ["made", "data", "eof", "lost"]

    finish(loop, main())


def test_both_sides_may_end_writing(loop):
    async def main():
        async with connected(client=HalfOpen, server=HalfOpen) as (client, server):
            client.transport.write_eof()
            server.transport.write_eof()
            await until(lambda: "eof" in server.events and "eof" in client.events)
            await quiet()
            assert not client.is_lost and not server.is_lost

    finish(loop, main())


def test_the_end_of_writing_waits_for_what_was_written(loop):
    async def main():
        async with attached(HalfOpen()) as (transport, peer):
            transport.write(bytes(5_000_000))
            transport.write_eof()
            received = 0
            while chunk := await loop.sock_recv(peer, 1 << 20):
                received += len(chunk)
            assert not transport.is_closing()
            return received

    assert finish(loop, main()) == 5_000_000


def test_the_end_of_writing_twice_and_after_closing(loop):
    async def main():
        async with connected() as (client, server):
            client.transport.write_eof()
            client.transport.write_eof()
            client.transport.close()
            client.transport.write_eof()
            await until(lambda: client.is_lost and server.is_lost)
            assert server.events == ["made", "eof", "lost"]

    finish(loop, main())


def test_closing_after_the_end_of_writing_sends_everything(loop):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            transport.write(bytes(5_000_000))
            transport.write_eof()
            transport.close()
            received = 0
            while chunk := await loop.sock_recv(peer, 1 << 20):
                received += len(chunk)
            return received

    assert finish(loop, main()) == 5_000_000


def test_closing_inside_connection_made(loop):
    class Closing(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"bye")
            transport.close()

    async def main():
        async with connected(server=Closing) as (client, server):
            await until(lambda: client.is_lost and server.is_lost)
            assert client.data == b"bye"
            assert server.events == ["made", "lost"]

    finish(loop, main())


def test_closing_and_aborting_inside_connection_lost_is_harmless(loop):
    class Closing(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            self.transport.close()
            self.transport.abort()
            self.transport.write(b"late")

    async def main():
        async with connected(client=Closing) as (client, server):
            client.transport.close()
            await until(lambda: client.is_lost and server.is_lost)
            await asyncio.sleep(0)
            assert client.events == ["made", "lost"]

    finish(loop, main())


def test_the_descriptor_is_closed_when_the_loss_has_been_told(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, _):
            sock = transport.get_extra_info("socket")
            seen = []
            lost = protocol.connection_lost
            protocol.connection_lost = lambda exc: (seen.append(sock.fileno() != -1), lost(exc))
            transport.close()
            await until(lambda: protocol.is_lost)
            assert seen == [True]
            assert sock.fileno() == -1

    finish(loop, main())


@pytest.mark.parametrize("first", ["client", "server", "both"])
def test_either_end_may_close_first(loop, first):
    async def main():
        async with connected() as (client, server):
            if first != "server":
                client.transport.close()
            if first != "client":
                server.transport.close()
            await until(lambda: client.is_lost and server.is_lost)
            assert client.lost is None and server.lost is None

    finish(loop, main())


def test_closing_with_data_unread_does_not_hurt(loop):
    async def main():
        async with connected() as (client, server):
            client.transport.pause_reading()
            server.transport.write(bytes(1_000_000))
            await quiet()
            client.transport.close()
            await until(lambda: client.is_lost and server.is_lost)
            assert client.lost is None
            assert server.lost is None or isinstance(server.lost, ConnectionError)

    finish(loop, main())


def test_a_reset_after_the_end_of_the_stream_is_survived(loop):
    async def main():
        protocol = HalfOpen()
        async with attached(protocol) as (transport, peer):
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: "eof" in protocol.events)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
            while not protocol.is_lost:
                transport.write(b"anyone there?")
                await asyncio.sleep(0)
            assert isinstance(protocol.lost, ConnectionError)

    finish(loop, main())


def test_a_loop_closed_before_its_connections_are(loop_factory):
    loop = loop_factory()
    one, two = socket.socketpair()
    with two:
        protocol = Recorder()
        transport, _ = loop.run_until_complete(loop.create_connection(lambda: protocol, sock=one))
        transport.abort()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert protocol.is_lost


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_connection_that_outlives_its_loop(loop):
    one, two = socket.socketpair()
    with two:
        transport, protocol = finish(loop, loop.create_connection(Recorder, sock=one))
        loop.close()
        transport.write(b"sent at once")
        assert two.recv(100) == b"sent at once"
        transport.pause_reading()
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            transport.resume_reading()
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            transport.write(bytes(1 << 24))
        assert protocol.events == ["made"]
        one.close()
        del transport, protocol
        gc.collect()

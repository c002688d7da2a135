"""The end of a TLS connection, in every order."""

import asyncio
import socket

import pytest
from secured import connected_peer, secured

from toolkit import Recorder, finish, quiet, until


def test_closing_is_told_to_both_ends(loop, server_context, client_context):
    async def main():
        async with secured(server_context, client_context) as (client, server):
            assert client.transport.is_closing() is False
            assert client.transport.close() is None
            assert client.transport.is_closing() is True
            client.transport.close()
            await until(lambda: client.is_lost and server.is_lost)
            assert client.order() == ["made", "eof", "lost"] and client.lost is None
            assert server.order() == ["made", "eof", "lost"] and server.lost is None

    finish(loop, main())


def test_the_goodbye_of_the_peer_is_answered(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (transport, peer):
            await peer.send(b"last words")
            await peer.goodbye()
            await until(lambda: protocol.is_lost)
            assert protocol.data == b"last words"
            assert protocol.order() == ["made", "data", "eof", "lost"] and protocol.lost is None
            assert transport.is_closing()
            await peer.until_done(peer.session.unwrap)

    finish(loop, main())


def test_we_say_goodbye(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (transport, peer):
            transport.write(b"last words")
            transport.close()
            assert await peer.receive_all() == b"last words"
            assert not protocol.is_lost
            await peer.goodbye()
            await until(lambda: protocol.is_lost)
            assert protocol.lost is None

    finish(loop, main())


def test_an_end_without_goodbye_is_an_end(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (_, peer):
            await peer.send(b"last words")
            peer.sock.shutdown(socket.SHUT_WR)
            await until(lambda: protocol.is_lost)
            assert protocol.data == b"last words"
            assert protocol.order() == ["made", "data", "eof", "lost"] and protocol.lost is None

    finish(loop, main())


def test_half_open_is_not_possible(loop, caplog, server_context, client_context):
    class HalfOpen(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    async def main():
        protocol = HalfOpen()
        async with connected_peer(server_context, client_context, protocol) as (_, peer):
            await peer.goodbye()
            await until(lambda: protocol.is_lost)

    finish(loop, main())
    assert "returning true from eof_received() has no effect when using ssl" in caplog.text


def test_a_reset_is_told(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (_, peer):
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.sock.close()
            await until(lambda: protocol.is_lost)
            assert isinstance(protocol.lost, ConnectionResetError)

    finish(loop, main())


def test_garbage_ends_the_connection(loop, errors, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (_, peer):
            await peer.send(b"good")
            await until(lambda: protocol.data == b"good")
            await loop.sock_sendall(peer.sock, b"this is no record of TLS")
            await until(lambda: protocol.is_lost)
            assert isinstance(protocol.lost, OSError) and "SSL" in str(protocol.lost)

    finish(loop, main())
    assert errors == []


def test_aborting_ends_at_once(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (transport, _peer):
            transport.write(bytes(20_000_000))
            transport.abort()
            assert transport.is_closing() and not protocol.is_lost
            await until(lambda: protocol.is_lost)
            assert protocol.lost is None and "eof" not in protocol.events

    finish(loop, main())


def test_aborting_after_closing_ends_the_wait(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (transport, _):
            transport.close()
            for _ in range(3):
                await asyncio.sleep(0)
            assert not protocol.is_lost
            transport.abort()
            await until(lambda: protocol.is_lost)
            assert protocol.events == ["made", "lost"]

    finish(loop, main())


def test_a_peer_that_does_not_answer_is_left(loop, errors, server_context, client_context):
    async def main():
        protocol = Recorder()
        options = {"ssl_shutdown_timeout": 0.05}
        async with connected_peer(server_context, client_context, protocol, **options) as (transport, _):
            transport.close()
            await until(lambda: protocol.is_lost)
            assert isinstance(protocol.lost, TimeoutError)
            assert str(protocol.lost) == "SSL shutdown timed out"

    finish(loop, main())
    assert errors == []


def test_a_download_ends_with_closing(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (transport, peer):

            async def send_on():
                while True:
                    await peer.send(bytes(100_000))

            sending = asyncio.ensure_future(send_on())
            await until(lambda: len(protocol.data) > 1_000_000)
            transport.close()
            received = len(protocol.data)
            await until(lambda: protocol.is_lost)
            assert len(protocol.data) == received
            sending.cancel()
            await asyncio.wait([sending])

    finish(loop, main())


@pytest.mark.epicycle_only
def test_a_paused_download_ends_with_closing(loop, server_context, client_context):
    # asyncio does not listen any more, and so waits until the time for the end is over.
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (transport, peer):
            transport.pause_reading()

            async def send_on():
                while True:
                    await peer.send(bytes(100_000))

            sending = asyncio.ensure_future(send_on())
            await until(lambda: transport.get_read_buffer_size() >= transport.get_read_buffer_limits()[1])
            transport.close()
            await until(lambda: protocol.is_lost)
            assert protocol.data == b""
            sending.cancel()
            await asyncio.wait([sending])

    finish(loop, main())


@pytest.mark.epicycle_only
def test_a_paused_connection_whose_peer_has_gone_can_be_closed(loop, server_context, client_context):
    # asyncio waits for reading to be resumed, for ever.
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (transport, peer):
            transport.pause_reading()
            await peer.send(b"unread")
            peer.sock.shutdown(socket.SHUT_WR)
            await until(lambda: transport.get_read_buffer_size() > 0)
            await quiet()
            assert not protocol.is_lost
            transport.close()
            await until(lambda: protocol.is_lost)
            assert protocol.data == b""

    finish(loop, main())


def test_an_end_that_comes_while_paused_waits_for_the_reader(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (transport, peer):
            transport.pause_reading()
            await peer.send(b"unread")
            peer.sock.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.01)
            assert protocol.events == ["made"]
            transport.resume_reading()
            await until(lambda: protocol.is_lost)
            assert protocol.data == b"unread" and protocol.order() == ["made", "data", "eof", "lost"]

    finish(loop, main())


def test_writing_after_closing_is_silent_at_first(loop, caplog, server_context, client_context):
    async def main():
        async with secured(server_context, client_context) as (client, server):
            client.transport.close()
            for _ in range(4):
                client.transport.write(b"into the void")
            assert "SSL connection is closed" not in caplog.text
            await until(lambda: client.is_lost and server.is_lost)
            for _ in range(4):
                client.transport.write(b"into the void")
            assert "SSL connection is closed" in caplog.text
            assert server.data == b""

    finish(loop, main())


def test_closing_in_data_received(loop, server_context, client_context):
    class Brief(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(b"bye")
            self.transport.close()

    async def main():
        async with secured(server_context, client_context, server=Brief) as (client, server):
            client.transport.write(b"hello")
            await until(lambda: client.is_lost and server.is_lost)
            assert client.data == b"bye" and server.data == b"hello"
            assert client.lost is None and server.lost is None

    finish(loop, main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_ending_in_connection_made(loop, server_context, client_context, end):
    class Shy(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            getattr(transport, end)()

    async def main():
        async with secured(server_context, client_context, server=Shy) as (client, server):
            await until(lambda: client.is_lost and server.is_lost)
            assert server.events[0] == "made" and server.events[-1] == "lost"

    finish(loop, main())


@pytest.mark.parametrize("callback", ["data_received", "eof_received"])
def test_an_error_of_the_protocol_ends_the_connection(loop, errors, server_context, client_context, callback):
    def fail(self, *args):
        raise LookupError(callback)

    broken = type("Broken", (Recorder,), {callback: fail})

    async def main():
        protocol = broken()
        async with connected_peer(server_context, client_context, protocol) as (_, peer):
            await peer.send(b"data")
            await peer.goodbye()
            await until(lambda: protocol.is_lost)
            assert isinstance(protocol.lost, LookupError)

    finish(loop, main())
    message = {
        "data_received": "Fatal error on SSL protocol",
        "eof_received": "Error calling eof_received()",
    }[callback]
    assert [context["message"] for context in errors] == [message]


def test_an_error_in_connection_lost_is_reported(loop, errors, server_context, client_context):
    class Sore(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise LookupError("too late")

    async def main():
        async with secured(server_context, client_context, client=Sore) as (client, _):
            client.transport.close()
            await until(lambda: client.is_lost)
            await asyncio.sleep(0)

    finish(loop, main())
    assert isinstance(errors[0]["exception"], LookupError)


def test_a_server_closes_its_clients(loop, server_context, client_context):
    async def main():
        async with secured(server_context, client_context) as (client, server):
            server.transport.close()
            await until(lambda: client.is_lost and server.is_lost)
            assert client.lost is None

    finish(loop, main())


@pytest.mark.epicycle_only
def test_the_loss_is_told_before_the_descriptor_is_closed(loop, server_context, client_context):
    # asyncio tells it in the next turn.
    class Curious(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            self.descriptor = self.socket.fileno()

    async def main():
        protocol = Curious()
        async with connected_peer(server_context, client_context, protocol) as (transport, peer):
            protocol.socket = transport.get_extra_info("socket")
            await peer.goodbye()
            await until(lambda: protocol.is_lost)
            assert protocol.descriptor >= 0

    finish(loop, main())

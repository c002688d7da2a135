"""start_tls: a connection that was plain so far."""

import asyncio
import contextlib
import ssl

import pytest
from secured import Peer

from toolkit import (
    Filler,
    Recorder,
    accepted,
    connected,
    dropped,
    finish,
    new_descriptors,
    open_descriptors,
    serving,
    tcp_pair,
    until,
)


async def secure(loop, client, server, client_context, server_context):
    """Both ends of a connection switch; the new transports."""
    return await asyncio.gather(
        loop.start_tls(client.transport, client, client_context, server_hostname="localhost"),
        loop.start_tls(server.transport, server, server_context, server_side=True),
    )


@pytest.mark.parametrize("kind", [Recorder, Filler])
def test_both_ends_switch(loop, server_context, client_context, kind):
    async def main():
        async with connected(kind, kind) as (client, server):
            client.transport.write(b"plain")
            await until(lambda: server.data == b"plain")
            first, second = await secure(loop, client, server, client_context, server_context)
            assert client.events.count("made") == 1
            first.write(b"secret")
            second.write(b"answer")
            await until(lambda: server.data == b"plainsecret" and client.data == b"answer")
            assert first.get_extra_info("peername") == client.transport.get_extra_info("peername")
            assert first.get_extra_info("cipher")
            first.close()
            await until(lambda: client.is_lost and server.is_lost)
            assert client.lost is None and server.lost is None

    finish(loop, main())


def test_wrong_arguments(loop, client_context):
    async def main():
        async with connected() as (client, _):
            with pytest.raises(
                TypeError, match="sslcontext is expected to be an instance of ssl.SSLContext, got None"
            ):
                await loop.start_tls(client.transport, client, None)
            with pytest.raises(TypeError, match=r"transport <object .*> is not supported by start_tls\(\)"):
                await loop.start_tls(object(), client, client_context)
            with pytest.raises(ValueError, match="ssl_handshake_timeout should be a positive number, got 0"):
                await loop.start_tls(client.transport, client, client_context, ssl_handshake_timeout=0)
            client.transport.write(b"still plain")

    finish(loop, main())


def test_a_failed_switch_ends_the_connection(loop, errors, pki, server_context):
    async def main():
        async with connected() as (client, server):
            stranger = pki.stranger.client_context()
            outcomes = await asyncio.gather(
                loop.start_tls(client.transport, client, stranger, server_hostname="localhost"),
                loop.start_tls(server.transport, server, server_context, server_side=True),
                return_exceptions=True,
            )
            assert isinstance(outcomes[0], ssl.SSLCertVerificationError)
            await until(lambda: client.is_lost)
            assert isinstance(client.lost, ssl.SSLCertVerificationError)
            for outcome in outcomes[1:]:
                if not isinstance(outcome, Exception):
                    outcome.abort()
            await until(lambda: server.is_lost)

    finish(loop, main())
    assert errors == []


@pytest.mark.epicycle_only
@pytest.mark.parametrize("reason", ["time", "cancelled"])
def test_a_protocol_that_was_connected_is_told_of_the_loss(loop, client_context, reason):
    # asyncio forgets the protocol when the handshake takes too long or is given up.
    async def main():
        async with connected() as (client, _):
            switching = asyncio.ensure_future(
                loop.start_tls(
                    client.transport,
                    client,
                    client_context,
                    server_hostname="localhost",
                    ssl_handshake_timeout=0.05 if reason == "time" else None,
                )
            )
            if reason == "time":
                with pytest.raises(ConnectionAbortedError):
                    await switching
            else:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                switching.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await switching
            await until(lambda: client.is_lost)

    finish(loop, main())


@pytest.mark.parametrize("turns", range(5))
def test_a_cancelled_switch_leaves_nothing(loop, client_context, turns):
    async def main():
        with tcp_pair() as (_, peer):
            before = open_descriptors()
            sock = peer.dup()
            transport, protocol = await loop.create_connection(Recorder, sock=sock)
            switching = asyncio.ensure_future(
                loop.start_tls(transport, protocol, client_context, server_hostname="localhost")
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            switching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await switching
            if turns == 0:
                # The coroutine never began; the transport is as it was.
                transport.close()
            for _ in range(5):
                await asyncio.sleep(0)
            assert not new_descriptors(before)

    finish(loop, main())


@pytest.mark.usefixtures("stream_classes")
def test_bytes_that_come_with_the_question_are_kept(loop, server_context, client_context):
    """A client that says "STARTTLS" and goes on at once."""

    class Switching(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if self.data == b"STARTTLS\n":
                self.task = asyncio.ensure_future(
                    loop.start_tls(self.transport, self, server_context, server_side=True)
                )

    async def main():
        async with serving(Switching) as (_, port, protocols):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"STARTTLS\n")
            server = await accepted(protocols)
            await until(lambda: server.data)
            await writer.start_tls(client_context, server_hostname="localhost")
            writer.write(b"x" * 100_000)
            await until(lambda: len(server.data) == 100_009)
            (await server.task).write(b"thanks")
            assert await reader.readexactly(6) == b"thanks"
            writer.close()
            await writer.wait_closed()

    finish(loop, main())


@pytest.mark.usefixtures("stream_classes")
def test_stream_writers_switch(loop, server_context, client_context):
    seen = []

    async def serve(reader, writer):
        seen.append(await reader.readline())
        writer.write(b"go on\n")
        await writer.drain()
        await writer.start_tls(server_context)
        assert writer.get_extra_info("ssl_object") is not None
        seen.append(await reader.readline())
        writer.write(b"x" * 1_000_000)
        await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"go on\n"
            await writer.start_tls(client_context, server_hostname="localhost")
            writer.write(b"secret\n")
            assert await reader.read() == b"x" * 1_000_000
            writer.close()
            await writer.wait_closed()

    finish(loop, main())
    assert seen == [b"STARTTLS\n", b"secret\n"]


@pytest.mark.usefixtures("stream_classes")
@pytest.mark.epicycle_only
def test_a_handshake_in_the_readers_buffer_is_no_plain_text(loop, server_context, client_context):
    # asyncio before 3.14 leaves these bytes to the reader, and the handshake waits for them for ever.
    done = loop.create_future()

    async def serve(reader, writer):
        await reader.readline()
        # What the client sent in one piece lies in the reader's buffer now.
        await until(lambda: reader._buffer)
        await writer.start_tls(server_context)
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()
        done.set_result(None)

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            with tcp_pair() as (sock, _):
                sock.close()
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            sock = writer.get_extra_info("socket")
            with contextlib.closing(sock._sock.dup()) as plain:
                reader._transport.pause_reading()
                peer = Peer(plain, client_context, server_hostname="localhost")
                with contextlib.suppress(ssl.SSLWantReadError):
                    peer.session.do_handshake()
                await loop.sock_sendall(plain, b"STARTTLS\n" + peer.outgoing.read())
                await peer.handshake()
                await peer.send(b"secret\n")
                assert await peer.receive_all() == b"secret\n"
                await peer.goodbye()
                await done
            writer.transport.abort()

    finish(loop, main())


class Forwarding(asyncio.Transport):
    """Another library's transport, which hands everything to one of ours."""

    _start_tls_compatible = True

    def __init__(self, lower):
        super().__init__()
        self.lower = lower

    def __getattr__(self, name):
        return getattr(self.lower, name)

    def write(self, data):
        self.lower.write(data)

    def close(self):
        self.lower.close()

    def abort(self):
        self.lower.abort()

    def is_closing(self):
        return self.lower.is_closing()

    def pause_reading(self):
        self.lower.pause_reading()

    def resume_reading(self):
        self.lower.resume_reading()

    def set_protocol(self, protocol):
        self.lower.set_protocol(Passing(protocol))

    def get_extra_info(self, name, default=None):
        return self.lower.get_extra_info(name, default)

    def _force_close(self, exc):
        self.lower._force_close(exc)


class Passing(asyncio.Protocol):
    """The protocol of that transport's lower one: hands everything up, as an ordinary or a buffered one takes it."""

    def __init__(self, upper):
        self.upper = upper

    def data_received(self, data):
        if isinstance(self.upper, asyncio.BufferedProtocol):
            buffer = self.upper.get_buffer(len(data))
            buffer[: len(data)] = data
            self.upper.buffer_updated(len(data))
        else:
            self.upper.data_received(data)

    def eof_received(self):
        return self.upper.eof_received()

    def pause_writing(self):
        self.upper.pause_writing()

    def resume_writing(self):
        self.upper.resume_writing()

    def connection_lost(self, exc):
        self.upper.connection_lost(exc)


def test_any_transport_can_be_secured(loop, server_context, client_context):
    async def main():
        async with connected() as (client, server):
            first, second = await asyncio.gather(
                loop.start_tls(
                    Forwarding(client.transport), client, client_context, server_hostname="localhost"
                ),
                loop.start_tls(Forwarding(server.transport), server, server_context, server_side=True),
            )
            payload = bytes(range(256)) * 8000
            first.write(payload)
            second.write(payload[::-1])
            await until(lambda: len(server.data) == len(client.data) == len(payload))
            assert server.data == payload and client.data == payload[::-1]
            second.close()
            await until(lambda: client.is_lost and server.is_lost)
            assert client.lost is None and server.lost is None

    finish(loop, main())


def test_tls_over_tls(loop, server_context, client_context):
    async def main():
        async with serving(ssl=server_context) as (_, port, protocols):
            transport, client = await loop.create_connection(
                Recorder, "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
            )
            server = await accepted(protocols)
            first, second = await secure(loop, client, server, client_context, server_context)
            payload = bytes(range(256)) * 8000
            first.write(payload)
            second.write(b"answer")
            await until(lambda: len(server.data) == len(payload) and client.data == b"answer")
            assert server.data == payload
            assert first.get_extra_info("ssl_object") is not transport.get_extra_info("ssl_object")
            first.close()
            await until(lambda: client.is_lost and server.is_lost)
            await dropped(client, transport)

    finish(loop, main())

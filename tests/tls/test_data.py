"""Data over TLS: every byte arrives, in order, whatever its kind and size."""

import asyncio
import os

import pytest
from secured import blocking_server, connected_peer, secured

from toolkit import Filler, Recorder, finish, until

PAYLOAD = os.urandom(1 << 16) * 64


class Viewing(Filler):
    """Hands out a view of its buffer, for asyncio's TLS fills the rest of a `bytearray` into the void."""

    def get_buffer(self, sizehint):
        return memoryview(self.buffer)


@pytest.fixture(params=[Recorder, Viewing], ids=["data_received", "get_buffer"])
def receiver(request):
    return request.param


def test_large_payloads_go_both_ways_at_once(loop, server_context, client_context, receiver):
    async def main():
        async with secured(server_context, client_context, receiver, receiver) as (client, server):
            client.transport.write(PAYLOAD)
            server.transport.write(PAYLOAD[::-1])
            await until(lambda: len(client.data) == len(server.data) == len(PAYLOAD), timeout=30)
            assert server.data == PAYLOAD and client.data == PAYLOAD[::-1]

    finish(loop, main(), timeout=60)


def test_what_is_written_before_closing_arrives(loop, server_context, client_context):
    async def main():
        async with secured(server_context, client_context) as (client, server):
            for start in range(0, len(PAYLOAD), 100_000):
                client.transport.write(PAYLOAD[start : start + 100_000])
            client.transport.close()
            await until(lambda: client.is_lost and server.is_lost, timeout=30)
            assert client.lost is None and server.lost is None
            assert server.data == PAYLOAD
            assert server.order() == ["made", "data", "eof", "lost"]

    finish(loop, main(), timeout=60)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes_can_be_written(loop, server_context, client_context, kind):
    async def main():
        async with secured(server_context, client_context) as (client, server):
            client.transport.write(kind(b"one"))
            client.transport.writelines([kind(b"two"), kind(b""), kind(b"three")])
            client.transport.write(kind(b""))
            await until(lambda: server.data == b"onetwothree")

    finish(loop, main())


def test_a_buffer_can_be_changed_once_it_is_written(loop, server_context, client_context):
    async def main():
        data = bytearray(b"a" * 3_000_000)
        async with secured(server_context, client_context) as (client, server):
            client.transport.write(data)
            data[:] = b"b" * len(data)
            await until(lambda: len(server.data) == len(data))
            assert server.data.count(b"a") == len(data)

    finish(loop, main())


def test_other_things_cannot_be_written(loop, server_context, client_context):
    async def main():
        async with secured(server_context, client_context) as (client, _):
            with pytest.raises(TypeError, match="data: expecting a bytes-like instance, got str"):
                client.transport.write("text")
            assert client.transport.can_write_eof() is False
            with pytest.raises(NotImplementedError):
                client.transport.write_eof()

    finish(loop, main())


def test_a_record_that_comes_in_pieces_is_put_together(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (_, peer):
            peer.session.write(b"x" * 1000)
            record = peer.outgoing.read()
            for byte in range(len(record)):
                await loop.sock_sendall(peer.sock, record[byte : byte + 1])
                if byte % 100 == 0:
                    await asyncio.sleep(0)
            await until(lambda: protocol.data == b"x" * 1000)

    finish(loop, main())


def test_a_small_buffer_is_filled_again_and_again(loop, server_context, client_context):
    async def main():
        protocol = Viewing(size=7)
        async with connected_peer(server_context, client_context, protocol) as (_, peer):
            await peer.send(PAYLOAD[:10_000])
            await until(lambda: len(protocol.data) == 10_000)
            assert protocol.data == PAYLOAD[:10_000]

    finish(loop, main())


def test_the_protocol_can_be_changed_in_the_middle(loop, server_context, client_context):
    async def main():
        first = Recorder()
        async with connected_peer(server_context, client_context, first) as (transport, peer):
            await peer.send(b"first")
            await until(lambda: first.data == b"first")
            second = Viewing()
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            await peer.send(b"second")
            await until(lambda: second.data == b"second")
            third = Recorder()
            transport.set_protocol(third)
            await peer.send(b"third")
            await until(lambda: third.data == b"third")
            transport.set_protocol(first)

    finish(loop, main())


def test_streams_speak_with_a_blocking_server(loop, server_context, client_context):
    def serve(connection):
        while data := connection.recv(1 << 16):
            connection.sendall(data)

    async def main(address):
        reader, writer = await asyncio.open_connection(
            *address, ssl=client_context, server_hostname="localhost"
        )

        async def send():
            for start in range(0, len(PAYLOAD), 1 << 18):
                writer.write(PAYLOAD[start : start + (1 << 18)])
                await writer.drain()

        sending = asyncio.ensure_future(send())
        assert await reader.readexactly(len(PAYLOAD)) == PAYLOAD
        await sending
        writer.close()
        await writer.wait_closed()

    with blocking_server(server_context, serve) as address:
        finish(loop, main(address), timeout=60)


def test_what_is_written_in_connection_made_arrives(loop, server_context, client_context):
    class Greeter(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"hello")

    async def main():
        async with secured(server_context, client_context, Greeter, Greeter) as (client, server):
            await until(lambda: client.data == server.data == b"hello")

    finish(loop, main())


def test_data_that_comes_with_the_end_of_the_handshake_is_kept(loop, server_context, client_context):
    async def main():
        class Paused(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                transport.pause_reading()

        async with secured(server_context, client_context, server=Paused) as (client, server):
            client.transport.write(b"early")
            await asyncio.sleep(0.01)
            assert server.data == b"" and not server.transport.is_reading()
            server.transport.resume_reading()
            await until(lambda: server.data == b"early")

    finish(loop, main())


@pytest.mark.epicycle_only
def test_the_buffer_need_not_be_a_view(loop, server_context, client_context):
    async def main():
        protocol = Filler()
        async with connected_peer(server_context, client_context, protocol) as (_, peer):
            await peer.send(PAYLOAD[:500_000])
            await until(lambda: len(protocol.data) == 500_000)
            assert protocol.data == PAYLOAD[:500_000]

    finish(loop, main())

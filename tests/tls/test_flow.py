"""Flow control over TLS: nobody is given more than they can take."""

import asyncio

import pytest
from secured import connected_peer, secured

from toolkit import Recorder, finish, until


def test_a_writer_is_paused_and_goes_on(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (transport, peer):
            total = 0
            while "pause" not in protocol.events:
                transport.write(bytes(100_000))
                total += 100_000
                assert total < 100_000_000
            assert transport.get_write_buffer_size() >= transport.get_write_buffer_limits()[1]
            assert await peer.receive(total) == bytes(total)
            await until(lambda: "resume" in protocol.events)
            assert transport.get_write_buffer_size() <= transport.get_write_buffer_limits()[0]

    finish(loop, main(), timeout=60)


def test_limits_can_be_set(loop, server_context, client_context):
    async def main():
        async with secured(server_context, client_context) as (client, _):
            transport = client.transport
            assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
            assert transport.get_read_buffer_limits() == (64 * 1024, 256 * 1024)
            transport.set_write_buffer_limits(high=100)
            assert transport.get_write_buffer_limits() == (25, 100)
            transport.set_write_buffer_limits(low=100)
            assert transport.get_write_buffer_limits() == (100, 400)
            transport.set_read_buffer_limits(high=1000, low=1)
            assert transport.get_read_buffer_limits() == (1, 1000)
            transport.set_write_buffer_limits()
            assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
            for setter in (transport.set_write_buffer_limits, transport.set_read_buffer_limits):
                with pytest.raises(ValueError, match=r"high \(1\) must be >= low \(2\) must be >= 0"):
                    setter(high=1, low=2)
                with pytest.raises(ValueError, match="must be >= 0"):
                    setter(high=-1)

    finish(loop, main())


def test_a_limit_of_zero_pauses_at_once(loop, server_context, client_context):
    async def main():
        async with secured(server_context, client_context) as (client, _):
            client.transport.set_write_buffer_limits(high=0)
            assert client.events == ["made", "pause"]

    finish(loop, main())


def test_reading_can_be_paused(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (transport, peer):
            assert transport.is_reading()
            transport.pause_reading()
            transport.pause_reading()
            assert not transport.is_reading()
            await peer.send(b"later")
            await until(lambda: transport.get_read_buffer_size() > 0)
            assert protocol.data == b""
            transport.resume_reading()
            transport.resume_reading()
            assert transport.is_reading()
            await until(lambda: protocol.data == b"later")
            assert transport.get_read_buffer_size() == 0

    finish(loop, main())


def test_a_paused_reader_holds_the_sender_back(loop, server_context, client_context):
    async def main():
        async with secured(server_context, client_context) as (client, server):
            server.transport.pause_reading()
            while "pause" not in client.events:
                client.transport.write(bytes(1 << 20))
                for _ in range(5):
                    await asyncio.sleep(0)
            # One read may go above the mark before the reading underneath is paused.
            high = server.transport.get_read_buffer_limits()[1]
            assert server.transport.get_read_buffer_size() <= high + (1 << 18)
            server.transport.resume_reading()
            await until(lambda: "resume" in client.events, timeout=30)

    finish(loop, main(), timeout=60)


def test_pausing_in_data_received(loop, server_context, client_context):
    class Nibbling(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()
            self.loop.call_soon(self.transport.resume_reading)

    async def main():
        protocol = Nibbling()
        protocol.loop = loop
        payload = bytes(range(256)) * 8_000
        async with connected_peer(server_context, client_context, protocol) as (_, peer):
            await peer.send(payload)
            await until(lambda: len(protocol.data) == len(payload))
            assert protocol.data == payload

    finish(loop, main())


@pytest.mark.parametrize("callback", ["pause_writing", "resume_writing"])
def test_an_error_when_told_to_pause_changes_nothing(loop, errors, server_context, client_context, callback):
    def fail(self):
        self.events.append(callback)
        raise LookupError(callback)

    broken = type("Broken", (Recorder,), {callback: fail})

    async def main():
        protocol = broken()
        async with connected_peer(server_context, client_context, protocol) as (transport, peer):
            for _ in range(100):
                transport.write(bytes(100_000))
            assert await peer.receive(10_000_000) == bytes(10_000_000)
            await until(lambda: callback in protocol.events)
            assert not protocol.is_lost

    finish(loop, main(), timeout=60)
    assert {context["message"] for context in errors} == {f"protocol.{callback}() failed"}


def test_a_stream_writer_drains(loop, server_context, client_context):
    async def main():
        async with secured(server_context, client_context) as (client, server):
            server.transport.pause_reading()
            _, port = server.transport.get_extra_info("sockname")
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
            )
            writer.write(bytes(10_000_000))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            assert await reader.read() == b""
            assert client.events == ["made"]

    finish(loop, main(), timeout=60)

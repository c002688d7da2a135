"""Connections come and go, and leave nothing behind."""

import asyncio
import contextlib
import gc
import pathlib
import weakref

import pytest
from secured import secured

from toolkit import Recorder, finish, new_descriptors, open_descriptors, serving, until

pytestmark = pytest.mark.epicycle_only


def resident():
    """Bytes of memory that this process has now."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_closed_connection_goes_without_the_collector(loop, no_collector, server_context, client_context):
    seen = []

    async def main():
        async with secured(server_context, client_context) as (client, server):
            client.transport.write(b"hello")
            await until(lambda: server.data == b"hello")
            for protocol in (client, server):
                ask = protocol.transport.get_extra_info
                ask("peercert")
                objects = (protocol.transport, protocol, ask("ssl_object"))
                seen.extend(weakref.ref(thing) for thing in objects)
            client.transport.close()
            await until(lambda: client.is_lost and server.is_lost)

    finish(loop, main())
    assert len(seen) == 6 and [ref() for ref in seen] == [None] * 6


def test_a_failed_handshake_goes_without_the_collector(loop, no_collector, pki, server_context):
    seen = []

    class Seen(Recorder):
        def __init__(self):
            super().__init__()
            seen.append(weakref.ref(self))

    async def main():
        async with serving(ssl=server_context) as (_, port, _protocols):
            with contextlib.suppress(OSError):
                await loop.create_connection(
                    Seen, "127.0.0.1", port, ssl=pki.stranger.client_context(), server_hostname="localhost"
                )
            await asyncio.sleep(0)

    finish(loop, main())
    assert len(seen) == 1 and seen[0]() is None


def test_connections_leave_no_memory(loop, server_context, client_context):
    async def once(port):
        transport, protocol = await loop.create_connection(
            Recorder, "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
        )
        transport.write(b"x" * 100_000)
        transport.close()
        await until(lambda: protocol.is_lost)

    async def main():
        async with serving(lambda: Recorder(), ssl=server_context) as (_, port, protocols):
            for round in range(5):
                for _ in range(60):
                    await once(port)
                await until(lambda: all(protocol.is_lost for protocol in protocols))
                protocols.clear()
                gc.collect()
                if round == 1:
                    settled, descriptors = resident(), open_descriptors()
            assert not new_descriptors(descriptors)
            # A kilobyte for each connection would be 180 of them.
            assert resident() - settled < 1_500_000

    finish(loop, main(), timeout=60)


def test_failed_handshakes_leave_no_memory(loop, server_context):
    async def once(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"no handshake at all\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def main():
        async with serving(ssl=server_context) as (_, port, protocols):
            for round in range(5):
                for _ in range(100):
                    await once(port)
                protocols.clear()
                gc.collect()
                if round == 1:
                    settled, descriptors = resident(), open_descriptors()
            assert not new_descriptors(descriptors)
            assert resident() - settled < 1_500_000

    finish(loop, main(), timeout=60)


def test_timers_of_handshakes_go_with_them(loop, server_context, client_context):
    async def main():
        async with secured(server_context, client_context) as (client, server):
            client.transport.close()
            await until(lambda: client.is_lost and server.is_lost)

    finish(loop, main())
    assert not any(
        "_timed_out" in repr(thing) for thing in gc.get_objects() if isinstance(thing, asyncio.TimerHandle)
    )

"""The server object: serving, closing, waiting."""

import asyncio
import gc
import re
import socket
import sys
import weakref

import pytest

from toolkit import Recorder, accepted, cancelled, finish, quiet, serving, until

WAITS_FOR_CONNECTIONS = sys.version_info >= (3, 12, 1)


async def make_server(factory=Recorder, **options):
    return await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, **options)


async def connect(server):
    port = server.sockets[0].getsockname()[1]
    return await asyncio.open_connection("127.0.0.1", port)


async def refuses(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.transport.abort()
    return False


def test_a_server_tells_about_itself(loop):
    async def main():
        server = await make_server()
        assert isinstance(server, asyncio.AbstractServer)
        assert server.get_loop() is loop
        assert server.is_serving() is True
        assert isinstance(server.sockets, tuple)
        assert type(server.sockets[0]) is asyncio.trsock.TransportSocket
        assert repr(server) == f"<Server sockets={server.sockets!r}>"
        server.close()
        assert server.is_serving() is False
        assert server.sockets == ()
        assert repr(server) == "<Server sockets=()>"
        assert server.get_loop() is loop
        await server.wait_closed()

    finish(loop, main())


def test_closing_stops_listening_at_once(loop):
    async def main():
        server = await make_server()
        port = server.sockets[0].getsockname()[1]
        server.close()
        assert await refuses(port)
        server.close()
        await server.wait_closed()
        await server.wait_closed()

    finish(loop, main())


def test_closing_leaves_connections_open(loop):
    async def main():
        async with serving(Recorder) as (listening, port, protocols):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            protocol = await accepted(protocols)
            listening.close()
            protocol.transport.write(b"still here")
            assert await reader.readexactly(10) == b"still here"
            writer.close()
            await writer.wait_closed()

    finish(loop, main())


def test_a_server_closes_with_its_block(loop):
    async def main():
        async with await make_server() as server:
            assert server.is_serving()
            port = server.sockets[0].getsockname()[1]
        assert not server.is_serving()
        assert await refuses(port)

    finish(loop, main())


@pytest.mark.skipif(not WAITS_FOR_CONNECTIONS, reason="before 3.12.1 connections were not waited for")
def test_waiting_takes_until_the_last_connection_is_gone(loop):
    async def main():
        server = await make_server()
        _, writer = await connect(server)
        await quiet()
        waiting = [loop.create_task(server.wait_closed()) for _ in range(2)]
        await quiet()
        assert not any(task.done() for task in waiting)
        server.close()
        await quiet()
        assert not any(task.done() for task in waiting)
        writer.close()
        await writer.wait_closed()
        assert await asyncio.gather(*waiting) == [None, None]

    finish(loop, main())


def test_waiting_begins_before_closing(loop):
    async def main():
        server = await make_server()
        waiting = loop.create_task(server.wait_closed())
        await quiet()
        assert not waiting.done()
        server.close()
        await waiting

    finish(loop, main())


def test_waiting_can_be_cancelled(loop):
    async def main():
        server = await make_server()
        waiting = loop.create_task(server.wait_closed())
        await asyncio.sleep(0)
        await cancelled(waiting)
        server.close()
        await server.wait_closed()

    finish(loop, main())


def test_serving_forever_ends_by_cancellation(loop):
    async def main():
        server = await make_server(start_serving=False)
        serving_forever = loop.create_task(server.serve_forever())
        await asyncio.sleep(0)
        assert server.is_serving()
        _, writer = await connect(server)
        writer.close()
        await writer.wait_closed()
        await cancelled(serving_forever)
        assert not server.is_serving() and server.sockets == ()

    finish(loop, main())


def test_closing_ends_serving_forever(loop):
    async def main():
        server = await make_server()
        serving_forever = loop.create_task(server.serve_forever())
        await asyncio.sleep(0)
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await serving_forever

    finish(loop, main())


def test_only_one_may_serve_forever(loop):
    async def main():
        server = await make_server()
        serving_forever = loop.create_task(server.serve_forever())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"is already being awaited on serve_forever\(\)$") as caught:
            await server.serve_forever()
        assert str(caught.value).startswith(f"server {server!r}")
        await cancelled(serving_forever)

    finish(loop, main())


def test_a_closed_server_does_not_serve_forever(loop):
    async def main():
        server = await make_server()
        server.close()
        with pytest.raises(RuntimeError, match=re.escape(f"server {server!r} is closed")):
            await server.serve_forever()
        await server.wait_closed()

    finish(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="close_clients() came with 3.13")
def test_clients_can_be_closed(loop):
    async def main():
        async with serving(Recorder) as (server, port, protocols):
            streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            await accepted(protocols, 3)
            payload = bytes(3_000_000)
            protocols[0].transport.write(payload)
            assert server.close_clients() is None
            assert all(protocol.transport.is_closing() for protocol in protocols)
            # What was written before goes out still.
            assert len(await streams[0][0].read()) == len(payload)
            assert [await reader.read() for reader, _ in streams] == [b"", b"", b""]
            await until(lambda: all(protocol.is_lost for protocol in protocols))
            assert [protocol.lost for protocol in protocols] == [None] * 3
            assert server.is_serving()
            for _, writer in streams:
                writer.close()

    finish(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="abort_clients() came with 3.13")
def test_clients_can_be_aborted(loop):
    async def main():
        async with serving(Recorder) as (server, port, protocols):
            streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            await accepted(protocols, 3)
            protocols[0].transport.write(bytes(20_000_000))
            server.abort_clients()
            await until(lambda: all(protocol.is_lost for protocol in protocols))
            assert [protocol.lost for protocol in protocols] == [None] * 3
            assert protocols[0].transport.get_write_buffer_size() == 0
            for _, writer in streams:
                writer.transport.abort()

    finish(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="close_clients() came with 3.13")
def test_closing_the_clients_lets_the_wait_end(loop):
    async def main():
        server = await make_server()
        reader, writer = await connect(server)
        await quiet()
        server.close()
        server.close_clients()
        await server.wait_closed()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    finish(loop, main())


def test_a_server_nobody_holds_goes_on_serving(loop):
    async def main():
        ports = []
        protocols = []

        class Noted(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                protocols.append(self)

        async def start():
            server = await make_server(Noted)
            ports.append(server.sockets[0].getsockname()[1])
            return weakref.ref(server)

        reference = await start()
        gc.collect()
        _, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        await until(lambda: protocols)
        writer.close()
        await writer.wait_closed()
        reference().close()
        await until(lambda: protocols[0].is_lost)

    finish(loop, main())


def test_connections_made_and_gone_leave_the_server_serving(loop):
    async def main():
        async with serving(Recorder) as (server, port, protocols):
            for _ in range(50):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.transport.abort()
            await until(lambda: len(protocols) == 50 and all(p.is_lost for p in protocols))
            assert server.is_serving()

    finish(loop, main())


@pytest.mark.parametrize("backlog", [1, 100])
def test_closing_while_clients_arrive_leaves_nothing(loop, backlog):
    async def main():
        protocols = []

        class Noted(Recorder):
            def __init__(self):
                super().__init__()
                protocols.append(self)

        server = await make_server(Noted, backlog=backlog)
        address = server.sockets[0].getsockname()
        clients = []
        for _ in range(5):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(address)
            clients.append(client)
        await asyncio.sleep(0)
        server.close()
        for client in clients:
            client.close()
        await until(lambda: all(protocol.is_lost for protocol in protocols))
        await server.wait_closed()

    finish(loop, main())

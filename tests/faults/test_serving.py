"""Faults of those who are served, and of those who serve."""

import asyncio
import contextlib
import gc
import socket

import pytest

from toolkit import Recorder, accepted, finish, run_bounded, serving, until


async def ended(address):
    """Connect and wait until the other side ends the connection."""
    reader, writer = await asyncio.open_connection(*address)
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_a_factory_that_raises_loses_its_client_alone(loop, loop_name, errors, debug):
    # Outside debug mode asyncio tells nobody; Epicycle always tells.
    told = debug or loop_name == "epicycle"
    loop.set_debug(debug)
    fails = [True]
    made = []

    def factory():
        if fails[0]:
            raise LookupError("no protocol today")
        made.append(Recorder())
        return made[-1]

    async def main():
        server = await loop.create_server(factory, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        reader, failing = await asyncio.open_connection(*address)
        if told:
            await until(lambda: errors)
            assert errors[0]["message"] == "Error on transport creation for incoming connection"
            assert isinstance(errors[0]["exception"], LookupError)
            # The exception keeps the frames it went through, and they may keep the connection.
            errors.clear()
            gc.collect()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        failing.close()
        with contextlib.suppress(ConnectionError):
            await failing.wait_closed()
        assert errors == []
        fails[0] = False
        _, writer = await asyncio.open_connection(*address)
        await accepted(made)
        writer.close()
        await writer.wait_closed()
        await until(lambda: made[0].is_lost)
        server.close()
        await server.wait_closed()

    finish(loop, main())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_factory_that_ends_the_program_leaves_the_loop(loop, kind):
    def factory():
        raise kind("from the factory")

    server = finish(loop, loop.create_server(factory, "127.0.0.1", 0))
    with socket.create_connection(server.sockets[0].getsockname()), pytest.raises(kind):
        run_bounded(loop)
    server.close()
    finish(loop, server.wait_closed())


def test_clients_that_come_and_go_at_once(loop, errors):
    async def main():
        async with serving() as (_, port, protocols):
            for _ in range(50):
                sock = socket.socket()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.connect(("127.0.0.1", port))
                sock.close()
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            await until(lambda: any(not protocol.is_lost for protocol in protocols if protocol.transport))
            await until(lambda: sum(not protocol.is_lost for protocol in protocols) == 1)
            writer.close()
            await writer.wait_closed()
            for protocol in protocols:
                assert protocol.events[0] == "made" and protocol.events.count("lost") <= 1

    finish(loop, main())
    assert errors == []


def test_one_client_that_raises_does_not_disturb_the_others(loop, errors):
    class Touchy(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if data == b"raise":
                raise ValueError("odd")
            self.transport.write(data)

    async def main():
        async with serving(Touchy) as (_, port, protocols):
            good_reader, good = await asyncio.open_connection("127.0.0.1", port)
            bad_reader, bad = await asyncio.open_connection("127.0.0.1", port)
            await accepted(protocols, 2)
            bad.write(b"raise")
            assert await bad_reader.read() == b""
            good.write(b"echo")
            assert await good_reader.readexactly(4) == b"echo"
            for writer in (good, bad):
                writer.close()
                await writer.wait_closed()
            assert [str(context["exception"]) for context in errors] == ["odd"]
            errors.clear()

    finish(loop, main())


def test_a_peer_that_never_reads_holds_nobody_else_up(loop):
    class Echo(Recorder):
        def data_received(self, data):
            self.transport.write(data)

    async def main():
        async with serving(Echo) as (_, port, protocols):
            with socket.create_connection(("127.0.0.1", port)):
                silent = await accepted(protocols)
                silent.transport.write(bytes(20_000_000))
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for _ in range(100):
                    writer.write(b"ping")
                    assert await reader.readexactly(4) == b"ping"
                writer.close()
                await writer.wait_closed()
                assert silent.transport.get_write_buffer_size() > 0

    finish(loop, main())


def test_closing_the_server_inside_connection_made(loop):
    async def main():
        servers = []
        protocols = []

        class Closing(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                protocols.append(self)
                servers[0].close()
                transport.close()

        servers.append(await loop.create_server(Closing, "127.0.0.1", 0))
        await ended(servers[0].sockets[0].getsockname())
        await servers[0].wait_closed()
        await until(lambda: protocols[0].is_lost)

    finish(loop, main())

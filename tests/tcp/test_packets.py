"""What one callback writes in pieces travels together, once others have written like that; nothing waits for it."""

import asyncio
import contextlib
import socket
import struct

import pytest

from toolkit import Recorder, attached, connected, finish, script, until

linux = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the system does not count segments")
HEAD, BODY = b"head ", b"body "


def segments(transport):
    """How many packets with data the socket has sent: tcpi_data_segs_out of linux/tcp.h."""
    sock = transport.get_extra_info("socket")
    return struct.unpack_from("<I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 156)[0]


async def burst(transport, *pieces):
    """Writes them in one callback of its own; how many packets that made by its end."""
    before = segments(transport)
    asyncio.get_running_loop().call_soon(lambda: [transport.write(piece) for piece in pieces])
    await asyncio.sleep(0)
    return segments(transport) - before


async def arrived(protocol, data):
    await until(lambda: len(protocol.data) >= len(data))
    assert bytes(protocol.data) == data
    protocol.data.clear()


@linux
@pytest.mark.epicycle_only
def test_pieces_travel_together_once_callbacks_have_made_several(loop):
    async def main():
        async with connected() as (client, server):
            packets = []
            for _ in range(5):
                packets.append(await burst(server.transport, HEAD, BODY))
                await arrived(client, HEAD + BODY)
            assert packets == [2, 2, 1, 1, 1]

    finish(loop, main())


@linux
@pytest.mark.epicycle_only
def test_a_callback_that_stops_short_is_not_waited_for(loop):
    async def main():
        async with connected() as (client, server):
            for _ in range(3):
                await burst(server.transport, HEAD, BODY)
            await arrived(client, (HEAD + BODY) * 3)
            # The packet is out when the callback has ended.
            assert await burst(server.transport, HEAD) == 1
            await arrived(client, HEAD)
            assert await burst(server.transport, HEAD, BODY) == 2
            await arrived(client, HEAD + BODY)

    finish(loop, main())


@linux
@pytest.mark.epicycle_only
def test_a_cork_of_the_users_own_stays_in(loop):
    async def main():
        async with connected() as (client, server):
            for _ in range(3):
                await burst(server.transport, HEAD, BODY)
            await arrived(client, (HEAD + BODY) * 3)
            sock = server.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            assert await burst(server.transport, HEAD) == 0
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            await arrived(client, HEAD)

    finish(loop, main())


@linux
@pytest.mark.epicycle_only
def test_a_callback_that_ends_the_run_is_not_waited_for(loop):
    async def begin(stack):
        client, server = await stack.enter_async_context(connected())
        for _ in range(3):
            await burst(server.transport, HEAD, BODY)
        await arrived(client, (HEAD + BODY) * 3)
        return client, server

    stack = contextlib.AsyncExitStack()
    client, server = finish(loop, begin(stack))

    def last():
        server.transport.write(HEAD)
        raise SystemExit

    before = segments(server.transport)
    loop.call_soon(last)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert segments(server.transport) == before + 1
    # Between two runs nobody would end what a callback began.
    server.transport.write(BODY)
    assert segments(server.transport) == before + 2
    finish(loop, arrived(client, HEAD + BODY))
    finish(loop, stack.aclose())


@linux
@pytest.mark.epicycle_only
def test_callbacks_that_write_once_are_never_held_back(loop):
    async def main():
        async with connected() as (client, server):
            for pieces in [[HEAD, BODY], [HEAD]] * 4:
                assert await burst(server.transport, *pieces) == len(pieces)
                await arrived(client, b"".join(pieces))

    finish(loop, main())


@linux
@pytest.mark.epicycle_only
def test_several_pieces_at_once_are_one_write(loop):
    async def main():
        async with connected() as (client, server):
            for _ in range(4):
                before = segments(server.transport)
                server.transport.writelines([HEAD, BODY])
                assert segments(server.transport) == before + 1
                await arrived(client, HEAD + BODY)

    finish(loop, main())


def test_a_callback_that_blocks_does_not_hold_back_what_it_wrote(loop):
    """It waits for the other side to have what it wrote, and would wait for ever."""

    async def main():
        async with attached(Recorder()) as (transport, peer):
            await pairs(transport)
            peer.settimeout(30)
            assert peer.recv(100, socket.MSG_WAITALL) == (HEAD + BODY) * 10
            done = asyncio.get_running_loop().create_future()

            def blocks():
                transport.write(HEAD)
                assert transport.get_write_buffer_size() == 0
                done.set_result(peer.recv(len(HEAD), socket.MSG_WAITALL))

            asyncio.get_running_loop().call_soon(blocks)
            assert await done == HEAD

    finish(loop, main(), timeout=60)


async def pairs(transport):
    """Ten callbacks that write twice."""
    for _ in range(10):
        asyncio.get_running_loop().call_soon(lambda: [transport.write(piece) for piece in (HEAD, BODY)])
        await asyncio.sleep(0)


@pytest.mark.parametrize("end", ["close", "abort", "write_eof"])
def test_an_end_in_the_same_callback_loses_nothing(loop, end):
    async def main():
        async with attached(Recorder()) as (transport, peer):
            await pairs(transport)

            def last():
                transport.write(HEAD)
                getattr(transport, end)()

            asyncio.get_running_loop().call_soon(last)
            peer.setblocking(False)
            received = bytearray()
            while piece := await asyncio.get_running_loop().sock_recv(peer, 100):
                received += piece
            assert received == (HEAD + BODY) * 10 + HEAD

    finish(loop, main())


def test_a_process_that_is_killed_in_a_callback_has_sent_what_it_wrote(loop_name):
    ended = script(
        loop_name,
        """
import asyncio, os, signal, socket

listening = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    with socket.create_connection(listening.getsockname()) as peer:
        listening.close()
        while piece := peer.recv(100):
            os.write(1, piece)
    os._exit(0)

async def main():
    loop = asyncio.get_running_loop()
    sock, _ = listening.accept()
    sock.setblocking(False)
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, sock)
    for _ in range(3):
        loop.call_soon(lambda: [transport.write(piece) for piece in (b"head ", b"body ")])
        await asyncio.sleep(0)

    def last():
        transport.write(b"last")
        os.kill(os.getpid(), signal.SIGKILL)

    loop.call_soon(last)
    await asyncio.sleep(60)

with asyncio.Runner(loop_factory=new_loop) as runner:
    runner.run(main())
""",
        check=False,
    )
    assert ended.stdout == "head body " * 3 + "last"

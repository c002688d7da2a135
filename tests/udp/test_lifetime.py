"""Endpoints come and go: cycles are collected, nothing is kept, descriptors change hands safely."""

import asyncio
import gc
import socket
import weakref

import pytest
from endpoints import Listener, endpoint, plain

from toolkit import cancelled, finish, open_descriptors, until


def test_a_closed_endpoint_and_its_protocol_are_freed(loop):
    async def main():
        async with endpoint(local_addr=("127.0.0.1", 0)) as (transport, protocol):
            protocol.circle = (transport, protocol)
            async with endpoint(remote_addr=transport.get_extra_info("sockname")) as (other, _):
                other.sendto(b"hello")
                await until(lambda: protocol.received)
                transport.sendto(b"answer", protocol.received[0][1])
        return weakref.ref(protocol), weakref.ref(transport)

    references = finish(loop, main())
    gc.collect()
    assert [reference() for reference in references] == [None, None]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_an_abandoned_endpoint_is_collected_with_its_loop(loop_factory):
    loop = loop_factory()

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(Listener, local_addr=("127.0.0.1", 0))
        protocol.circle = (transport, protocol, loop)
        return weakref.ref(protocol)

    reference = loop.run_until_complete(main())
    loop.close()
    del loop
    gc.collect()
    assert reference() is None


@pytest.mark.epicycle_only
def test_a_thousand_endpoints_leave_nothing(loop):
    async def main():
        before = open_descriptors().keys(), loop._counters()["sources"]
        for _ in range(1000):
            async with endpoint(local_addr=("127.0.0.1", 0)) as (transport, _):
                transport.sendto(b"to myself", transport.get_extra_info("sockname"))
        return before, (open_descriptors().keys(), loop._counters()["sources"])

    before, after = finish(loop, main(), timeout=30)
    assert before == after


@pytest.mark.epicycle_only
@pytest.mark.parametrize("turns", range(5))
def test_cancelled_anywhere_it_leaves_nothing(loop, turns):
    async def main():
        with plain() as peer:
            before = open_descriptors().keys(), loop._counters()["sources"]
            for _ in range(50):
                making = loop.create_datagram_endpoint(Listener, remote_addr=peer.getsockname())
                task = loop.create_task(making)
                for _ in range(turns):
                    await asyncio.sleep(0)
                if task.done():
                    task.result()[0].close()
                else:
                    await cancelled(task)
                for _ in range(3):
                    await asyncio.sleep(0)
            return before, (open_descriptors().keys(), loop._counters()["sources"])

    before, after = finish(loop, main())
    assert before == after


def test_a_number_used_again_gets_its_own_datagrams(loop):
    """A descriptor is closed and opened again while an event for the old one may still be on its way."""

    async def main():
        with plain() as peer:
            for number in range(200):
                first, second = Listener(), Listener()
                old, _ = await loop.create_datagram_endpoint(lambda: first, local_addr=("127.0.0.1", 0))  # noqa: B023
                peer.sendto(b"old", old.get_extra_info("sockname"))
                old.abort()
                await until(lambda: first.is_lost)  # noqa: B023
                async with endpoint(second, local_addr=("127.0.0.1", 0)) as (new, _):
                    peer.sendto(b"%d" % number, new.get_extra_info("sockname"))
                    await until(lambda: second.received)  # noqa: B023
                    assert [data for data, _ in second.received] == [b"%d" % number]
                assert not first.received

    finish(loop, main())


def test_a_socket_closed_behind_its_back(loop):
    async def main():
        with plain() as peer:
            mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            mine.connect(peer.getsockname())
            protocol = Listener()
            transport, _ = await loop.create_datagram_endpoint(lambda: protocol, sock=mine)
            transport.close()
            mine.close()
            await until(lambda: protocol.is_lost)
            return protocol.calls

    assert finish(loop, main()) == ["made", "lost"]

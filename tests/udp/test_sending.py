"""sendto, flow control, closing."""

import asyncio
import logging
import socket
import sys

import pytest
from endpoints import Listener, crowded, endpoint, nobody, plain

from toolkit import finish, until

HEADER = 8 if sys.version_info >= (3, 13) else 0


@pytest.mark.parametrize(
    "data",
    [b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview"), memoryview(b"0123456789")[2:5]],
    ids=lambda data: f"{type(data).__name__} {bytes(data)!r}",
)
def test_bytes_of_every_kind_are_sent(loop, data):
    async def main():
        with plain() as peer:
            async with endpoint(family=socket.AF_INET) as (transport, _):
                assert transport.sendto(data, peer.getsockname()) is None
                return peer.recv(100)

    assert finish(loop, main()) == bytes(data)


@pytest.mark.parametrize("data", ["text", None, 5, [b"list"]], ids=repr)
def test_what_is_not_bytes_is_refused(loop, data):
    async def main():
        with plain() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                with pytest.raises(TypeError, match=f"data argument must be .*not '{type(data).__name__}'"):
                    transport.sendto(data)
                transport.sendto(b"unharmed")
                return peer.recv(100)

    assert finish(loop, main()) == b"unharmed"


def test_empty_datagrams_are_sent_where_the_version_sends_them(loop):
    async def main():
        with plain() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                transport.sendto(b"")
                transport.sendto(b"next")
                return peer.recv(100)

    assert finish(loop, main()) == (b"" if sys.version_info >= (3, 13) else b"next")


def test_empty_datagrams_are_received(loop):
    async def main():
        with plain() as peer:
            async with endpoint(local_addr=("127.0.0.1", 0)) as (transport, protocol):
                for data in (b"", b"x", b""):
                    peer.sendto(data, transport.get_extra_info("sockname"))
                await until(lambda: len(protocol.received) == 3)
                return protocol.received == [(data, peer.getsockname()) for data in (b"", b"x", b"")]

    assert finish(loop, main())


def test_the_largest_datagram_fits(loop):
    data = bytes(range(256)) * 255

    async def main():
        async with endpoint(local_addr=("127.0.0.1", 0)) as (server, protocol):
            async with endpoint(remote_addr=server.get_extra_info("sockname")) as (client, _):
                client.sendto(data)
                await until(lambda: protocol.received)
                return protocol.received[0][0] == data

    assert finish(loop, main())


def test_one_that_is_too_large_is_an_error_of_that_datagram(loop):
    async def main():
        with plain() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, protocol):
                transport.sendto(bytes(70_000))
                transport.sendto(b"next")
                assert not transport.is_closing()
                return [type(error) for error in protocol.errors], protocol.errors[0].strerror, peer.recv(100)

    assert finish(loop, main()) == ([OSError], "Message too long", b"next")


def test_many_senders_are_told_apart(loop):
    async def main():
        async with endpoint(local_addr=("127.0.0.1", 0)) as (server, protocol):
            address = server.get_extra_info("sockname")
            with plain() as one, plain() as two, plain() as three:
                senders = [one, two, three, one, one, three]
                for number, sender in enumerate(senders):
                    sender.sendto(b"%d" % number, address)
                await until(lambda: len(protocol.received) == len(senders))
                for data, asker in protocol.received:
                    server.sendto(b"re: " + data, asker)
                assert protocol.received == [
                    (b"%d" % number, sender.getsockname()) for number, sender in enumerate(senders)
                ]
                return [sender.recv(100) for sender in senders]

    assert finish(loop, main()) == [b"re: %d" % number for number in range(6)]


# ---- errors ----


def test_a_closed_port_is_an_error_that_does_not_close_the_endpoint(loop):
    async def main():
        with nobody() as address:
            async with endpoint(remote_addr=address) as (transport, protocol):
                transport.sendto(b"anybody there?")
                await until(lambda: protocol.errors)
                first = [type(error) for error in protocol.errors]
                assert not transport.is_closing()
                protocol.errors.clear()
                transport.sendto(b"still nobody?")
                await until(lambda: protocol.errors)
                return first, [type(error) for error in protocol.errors], protocol.is_lost

    assert finish(loop, main()) == ([ConnectionRefusedError], [ConnectionRefusedError], False)


def test_what_a_callback_raises_is_reported_and_the_endpoint_goes_on(loop, errors):
    class Failing(Listener):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            raise LookupError(data)

    async def main():
        with plain() as peer:
            async with endpoint(Failing(), local_addr=("127.0.0.1", 0)) as (transport, protocol):
                for data in (b"one", b"two"):
                    peer.sendto(data, transport.get_extra_info("sockname"))
                await until(lambda: len(protocol.received) == 2)

    finish(loop, main())
    assert [context["exception"].args for context in errors] == [(b"one",), (b"two",)]
    assert all(context["message"].startswith("Exception in callback") for context in errors)


def test_another_address_than_the_fixed_one_is_refused(loop):
    async def main():
        with plain() as peer:
            address = peer.getsockname()
            async with endpoint(remote_addr=address) as (transport, _):
                transport.sendto(b"one", address)
                transport.sendto(b"two", (address[0], int(address[1])))
                with pytest.raises(ValueError) as caught:
                    transport.sendto(b"three", ("127.0.0.1", 9))
                return (
                    str(caught.value) == f"Invalid address: must be None or {address}",
                    peer.recv(9),
                    peer.recv(9),
                )

    assert finish(loop, main()) == (True, b"one", b"two")


@pytest.mark.epicycle_only
@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("localhost", 9)),
        (socket.AF_INET, ("example.org", 9)),
        (socket.AF_INET, ("::1", 9)),
        (socket.AF_INET6, ("localhost", 9)),
        (socket.AF_INET6, ("127.0.0.1", 9)),
    ],
)
def test_a_name_is_refused_because_looking_it_up_would_block(loop, family, address):
    async def main():
        async with endpoint(family=family) as (transport, protocol):
            with pytest.raises(ValueError, match="DNS lookup"):
                transport.sendto(b"hello", address)
            return transport.is_closing(), list(protocol.calls)

    assert finish(loop, main()) == (False, ["made"])


@pytest.mark.parametrize(
    "address", [None, 5, "text", ("127.0.0.1",), ("127.0.0.1", "80"), ("127.0.0.1", 70_000), (5, 5)], ids=repr
)
def test_what_is_no_address_ends_the_endpoint_as_in_asyncio(loop, errors, address):
    async def main():
        protocol = Listener()
        async with endpoint(protocol, family=socket.AF_INET) as (transport, _):
            transport.sendto(b"hello", address)
            await until(lambda: protocol.is_lost)
            return type(protocol.lost), str(protocol.lost)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises((TypeError, OverflowError)) as expected:
            sock.sendto(b"hello", address)
    assert finish(loop, main()) == (expected.type, str(expected.value))
    assert [context["message"] for context in errors] == ["Fatal write error on datagram transport"]


def test_special_hosts(loop):
    async def main():
        with plain() as peer:
            _, port = peer.getsockname()
            async with endpoint(family=socket.AF_INET, allow_broadcast=True) as (transport, _):
                transport.sendto(b"this host", ("", port))
                return peer.recv(100)

    assert finish(loop, main()) == b"this host"


# ---- flow control and closing ----


def test_a_full_socket_pauses_the_protocol_until_there_is_room(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        with crowded(path) as drain:
            async with endpoint(remote_addr=path, family=socket.AF_UNIX) as (transport, protocol):
                transport.set_write_buffer_limits(high=100, low=40)
                assert transport.get_write_buffer_limits() == (40, 100)
                sizes = []
                for _ in range(4):
                    transport.sendto(b"x" * 40)
                    sizes.append(transport.get_write_buffer_size())
                assert "pause" in protocol.calls
                arrived = []
                while len(arrived) < 4:
                    arrived += drain()
                    await asyncio.sleep(0)
                await until(lambda: "resume" in protocol.calls)
                return sizes, arrived, list(protocol.calls)

    sizes, arrived, calls = finish(loop, main())
    assert sizes == [(40 + HEADER) * count for count in (1, 2, 3, 4)]
    assert arrived == [b"x" * 40] * 4
    assert calls == ["made", "pause", "resume"]


# asyncio of 3.13 goes on counting eight bytes of each.
@pytest.mark.epicycle_only
def test_what_has_been_sent_no_longer_counts(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        with crowded(path) as drain:
            async with endpoint(remote_addr=path, family=socket.AF_UNIX) as (transport, _):
                for _ in range(4):
                    transport.sendto(b"x" * 40)
                while transport.get_write_buffer_size():
                    drain()
                    await asyncio.sleep(0)

    finish(loop, main())


def test_what_is_queued_is_sent_before_it_closes(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        with crowded(path) as drain:
            async with endpoint(remote_addr=path, family=socket.AF_UNIX) as (transport, protocol):
                transport.sendto(bytearray(b"last words"))
                transport.close()
                assert transport.is_closing() and not protocol.is_lost
                arrived = []
                while not protocol.is_lost:
                    arrived += drain()
                    await asyncio.sleep(0)
                return arrived + drain(), protocol.lost

    assert finish(loop, main()) == ([b"last words"], None)


def test_abort_throws_away_what_is_queued(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        with crowded(path) as drain:
            async with endpoint(remote_addr=path, family=socket.AF_UNIX) as (transport, protocol):
                transport.sendto(b"never")
                transport.abort()
                await until(lambda: protocol.is_lost)
                return drain(), protocol.lost

    assert finish(loop, main()) == ([], None)


def test_what_is_queued_cannot_be_changed_any_more(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        with crowded(path) as drain:
            async with endpoint(remote_addr=path, family=socket.AF_UNIX) as (transport, _):
                data = bytearray(b"before")
                transport.sendto(data)
                data[:] = b"after!"
                arrived = []
                while not arrived:
                    arrived += drain()
                    await asyncio.sleep(0)
                return arrived

    assert finish(loop, main()) == [b"before"]


@pytest.mark.parametrize(("high", "low"), [(1, 2), (-1, None), (None, -1)])
def test_crossed_marks_are_refused(loop, high, low):
    async def main():
        async with endpoint(family=socket.AF_INET) as (transport, _):
            with pytest.raises(ValueError, match="must be >= low"):
                transport.set_write_buffer_limits(high, low)

    finish(loop, main())


def test_closing_twice_is_closing_once(loop):
    async def main():
        async with endpoint(local_addr=("127.0.0.1", 0)) as (transport, protocol):
            transport.close()
            transport.close()
            assert transport.is_closing()
            await until(lambda: protocol.is_lost)
            sock = transport.get_extra_info("socket")
            return protocol.calls, protocol.lost, sock.fileno()

    assert finish(loop, main()) == (["made", "lost"], None, -1)


def test_nothing_is_received_after_close(loop):
    async def main():
        with plain() as peer:
            async with endpoint(local_addr=("127.0.0.1", 0)) as (transport, protocol):
                peer.sendto(b"too late", transport.get_extra_info("sockname"))
                transport.close()
                await until(lambda: protocol.is_lost)
                return protocol.calls

    assert finish(loop, main()) == ["made", "lost"]


def test_sends_after_close_are_dropped_and_at_last_told_of(loop, caplog):
    async def main():
        with plain() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, protocol):
                transport.close()
                for _ in range(4):
                    transport.sendto(b"too late")
                quiet = list(caplog.records)
                for _ in range(2):
                    transport.sendto(b"too late")
                await until(lambda: protocol.is_lost)
                peer.setblocking(False)
                with pytest.raises(BlockingIOError):
                    peer.recv(100)
                return quiet

    caplog.set_level(logging.WARNING, "asyncio")
    assert finish(loop, main()) == []
    assert {record.getMessage() for record in caplog.records} == {"socket.send() raised exception."}


def test_without_a_fixed_address_it_sends_until_the_socket_is_closed(loop):
    async def main():
        with plain() as peer:
            async with endpoint(family=socket.AF_INET) as (transport, _):
                transport.close()
                transport.sendto(b"just in time", peer.getsockname())
                return peer.recv(100)

    assert finish(loop, main()) == b"just in time"


@pytest.mark.epicycle_only
def test_sends_after_the_end_are_dropped_without_a_fixed_address_too(loop, errors):
    async def main():
        with plain() as peer:
            async with endpoint(family=socket.AF_INET) as (transport, protocol):
                transport.close()
                await until(lambda: protocol.is_lost)
                transport.sendto(b"too late", peer.getsockname())
                peer.setblocking(False)
                with pytest.raises(BlockingIOError):
                    peer.recv(100)

    finish(loop, main())
    assert errors == []


@pytest.mark.epicycle_only
def test_what_finds_no_room_after_close_is_dropped(loop, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        with crowded(path) as drain:
            mine = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            mine.connect(path)
            async with endpoint(sock=mine) as (transport, protocol):
                transport.close()
                transport.sendto(b"too late")
                assert transport.get_write_buffer_size() == 0
                await until(lambda: protocol.is_lost)
                return drain(), protocol.calls

    assert finish(loop, main()) == ([], ["made", "lost"])


def test_reading_can_be_paused(loop):
    async def main():
        with plain() as peer:
            async with endpoint(local_addr=("127.0.0.1", 0)) as (transport, protocol):
                address = transport.get_extra_info("sockname")
                await until(lambda: "read=polling" in repr(transport))
                transport.pause_reading()
                transport.pause_reading()
                assert not transport.is_reading()
                peer.sendto(b"patience", address)
                for _ in range(3):
                    await asyncio.sleep(0)
                assert not protocol.received
                transport.resume_reading()
                assert transport.is_reading()
                await until(lambda: protocol.received)
                return protocol.received[0][0]

    assert finish(loop, main()) == b"patience"


def test_a_protocol_that_closes_hears_of_nothing_more(loop):
    class Once(Listener):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.close()

    async def main():
        with plain() as peer:
            async with endpoint(Once(), local_addr=("127.0.0.1", 0)) as (transport, protocol):
                for _ in range(40):
                    peer.sendto(b"again", transport.get_extra_info("sockname"))
                await until(lambda: protocol.is_lost)
                return protocol.calls

    assert finish(loop, main()) == ["made", "datagram", "lost"]


def test_a_flood_does_not_keep_others_from_running(loop):
    class Flooded(Listener):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.sendto(data, addr)

    async def main():
        turns = 0
        async with endpoint(Flooded(), local_addr=("127.0.0.1", 0)) as (transport, protocol):
            # It sends to itself for ever.
            mine = transport.get_extra_info("sockname")
            for _ in range(50):
                transport.sendto(b"ping", mine)
            while len(protocol.received) < 2000:
                turns += 1
                await asyncio.sleep(0)
        return turns

    assert finish(loop, main()) >= 2000 / 50


@pytest.mark.epicycle_only
def test_a_flood_is_received_some_datagrams_a_turn(loop):
    async def main():
        most = 0
        with plain() as peer:
            async with endpoint(local_addr=("127.0.0.1", 0)) as (transport, protocol):
                for _ in range(20):
                    for _ in range(100):
                        peer.sendto(b"flood", transport.get_extra_info("sockname"))
                    wanted = len(protocol.received) + 100
                    while len(protocol.received) < wanted:
                        before = len(protocol.received)
                        await asyncio.sleep(0)
                        most = max(most, len(protocol.received) - before)
        return most

    assert 1 < finish(loop, main()) <= 32


def test_callbacks_run_in_the_context_of_the_making(loop):
    import contextvars

    place = contextvars.ContextVar("place", default="nowhere")

    class Curious(Listener):
        def datagram_received(self, data, addr):
            super().datagram_received(place.get(), addr)

    async def main():
        with plain() as peer:
            place.set("here")
            async with endpoint(Curious(), local_addr=("127.0.0.1", 0)) as (transport, protocol):
                place.set("elsewhere")
                peer.sendto(b"where?", transport.get_extra_info("sockname"))
                await until(lambda: protocol.received)
                return protocol.received[0][0]

    assert finish(loop, main()) == "here"

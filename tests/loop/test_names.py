"""Names and addresses: `getaddrinfo` and `getnameinfo`."""

import asyncio
import concurrent.futures
import socket
import threading

import pytest

from toolkit import cancelled, finish


@pytest.fixture(autouse=True)
def executor_shut_down(loop):
    yield
    if not loop.is_closed():
        finish(loop, loop.shutdown_default_executor())


NUMERIC = [
    ("127.0.0.1", 80),
    ("127.0.0.1", "80"),
    ("127.0.0.1", b"80"),
    ("127.0.0.1", None),
    ("127.0.0.1", 0),
    ("127.0.0.1", "http"),
    ("0.0.0.0", 65535),
    ("127.1", 1),
    ("0x7f000001", 1),
    ("::1", 80),
    ("::", 0),
    ("2001:db8::8a2e:370:7334", 443),
    ("::ffff:127.0.0.1", 80),
    ("fe80::1", 80),
    ("fe80::1%lo", 80),
    ("fe80::1%1", 80),
    (b"127.0.0.1", 80),
    (b"::1", "80"),
    (None, 80),
    ("", 80),
]


@pytest.mark.parametrize(("host", "port"), NUMERIC, ids=repr)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"type": socket.SOCK_STREAM},
        {"type": socket.SOCK_DGRAM},
        {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP},
        {"family": socket.AF_INET},
        {"family": socket.AF_INET6},
        {"flags": socket.AI_PASSIVE, "type": socket.SOCK_STREAM},
        {"flags": socket.AI_NUMERICHOST},
        {"flags": socket.AI_CANONNAME, "type": socket.SOCK_STREAM},
        {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_UDP},
    ],
    ids=lambda options: "+".join(f"{k}={int(v)}" for k, v in options.items()) or "any",
)
def test_addresses_are_what_the_system_says(loop, host, port, options):
    def ask_system():
        return socket.getaddrinfo(host, port, **options)

    async def ask_loop():
        return await loop.getaddrinfo(host, port, **options)

    assert answer(lambda: finish(loop, ask_loop())) == answer(ask_system)


def answer(ask):
    try:
        return ask()
    except OSError as error:
        return type(error), error.errno, str(error)


def test_results_are_of_the_types_that_the_socket_module_gives(loop):
    ((family, kind, proto, name, address),) = finish(
        loop, loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    )
    assert family is socket.AF_INET and kind is socket.SOCK_STREAM
    assert (type(proto), type(name), type(address)) == (int, str, tuple)


def test_names_are_resolved(loop):
    infos = finish(loop, loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM))
    assert infos == socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "x" * 300])
def test_an_unknown_name_is_an_error(loop, host):
    async def ask():
        await loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM)

    def ask_system():
        socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM)

    with pytest.raises((OSError, UnicodeError)) as expected:
        ask_system()
    with pytest.raises(type(expected.value)) as caught:
        finish(loop, ask(), timeout=30)
    assert str(caught.value) == str(expected.value)


@pytest.mark.parametrize(
    ("host", "port"),
    [(1, 80), ("127.0.0.1", 1.5), ("127.0.0.1", object()), ("127.0.0.1", "nonsense"), ("::1%nonsense", 1)],
    ids=str,
)
def test_what_is_no_address_is_an_error(loop, host, port):
    async def ask():
        await loop.getaddrinfo(host, port)

    with pytest.raises((TypeError, OSError)) as expected:
        socket.getaddrinfo(host, port)
    with pytest.raises(type(expected.value)) as caught:
        finish(loop, ask())
    assert type(caught.value) is type(expected.value)


@pytest.mark.parametrize("port", [-1, 65536, 10**30])
def test_a_port_out_of_range_is_as_the_system_takes_it(loop, port):
    def ask_system():
        return socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)

    async def ask():
        return await loop.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)

    try:
        expected = ask_system()
    except (OSError, OverflowError) as error:
        with pytest.raises(type(error)):
            finish(loop, ask())
    else:
        assert finish(loop, ask()) == expected


@pytest.mark.parametrize(
    ("address", "flags"),
    [
        (("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", 80), socket.NI_NUMERICHOST),
        (("::1", 443, 0, 0), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("fe80::1", 443, 0, 1), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("fe80::1%lo", 443), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", 53), socket.NI_NUMERICHOST | socket.NI_DGRAM),
        (("127.0.0.1", 80), 0),
    ],
    ids=str,
)
def test_names_are_what_the_system_says(loop, address, flags):
    assert finish(loop, loop.getnameinfo(address, flags)) == socket.getnameinfo(address, flags)


@pytest.mark.parametrize("address", ["127.0.0.1", (), ("no such host", 80), ("127.0.0.1", -1)], ids=str)
def test_what_has_no_name_is_an_error(loop, address):
    with pytest.raises((TypeError, OSError, OverflowError)) as expected:
        socket.getnameinfo(address, 0)
    with pytest.raises(type(expected.value)):
        finish(loop, loop.getnameinfo(address))


def test_many_at_once(loop):
    async def main():
        return await asyncio.gather(*(loop.getaddrinfo("localhost", port) for port in range(1, 60)))

    assert [infos[0][4][1] for infos in finish(loop, main())] == list(range(1, 60))


def test_asking_can_be_cancelled(loop):
    async def main():
        for call in (loop.getaddrinfo("localhost", 80), loop.getnameinfo(("127.0.0.1", 80))):
            task = loop.create_task(call)
            await asyncio.sleep(0)
            if not task.done():
                await cancelled(task)

    finish(loop, main())


def test_an_answer_after_the_loop_is_closed_is_harmless(loop):
    async def start():
        return loop.create_task(loop.getaddrinfo("localhost", 80))

    task = finish(loop, start())
    if not task.done():
        loop.run_until_complete(asyncio.sleep(0))
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
    loop.close()


@pytest.mark.epicycle_only
def test_a_busy_default_executor_does_not_hold_names_up(loop):
    gate = threading.Event()
    loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
    busy = loop.run_in_executor(None, gate.wait)
    try:
        assert finish(loop, loop.getaddrinfo("localhost", 80))
        assert finish(loop, loop.getnameinfo(("127.0.0.1", 80)))
        assert not busy.done()
    finally:
        gate.set()
    finish(loop, busy)


@pytest.mark.epicycle_only
def test_numbers_are_resolved_without_a_thread(loop, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("a thread was started")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert finish(loop, loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))
    assert finish(loop, loop.getaddrinfo("fe80::1%lo", 80, type=socket.SOCK_STREAM))[0][4][3] > 0


def test_the_system_is_asked_through_the_socket_module(loop, monkeypatch):
    # Tests and proxies replace socket.getaddrinfo, and the loop is to follow.
    def replaced(host, port, *args, **kwargs):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", port))]

    monkeypatch.setattr(socket, "getaddrinfo", replaced)
    infos = finish(loop, loop.getaddrinfo("some.name.invalid", 80))
    assert infos == [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", 80))]


def test_in_debug_mode_the_answers_are_the_same(loop):
    loop.set_debug(True)
    assert finish(loop, loop.getaddrinfo("localhost", 80)) == socket.getaddrinfo("localhost", 80)

"""Every await, cancelled at every step: no descriptor, task, registration or object is left behind."""

import asyncio
import concurrent.futures
import contextlib
import gc
import socket
import threading
import weakref

import pytest

from toolkit import (
    Recorder,
    accepted,
    dropped,
    finish,
    full_listener,
    listener,
    new_descriptors,
    open_descriptors,
    serving,
    tcp_pair,
    until,
)

# Turns of the loop that the await is given before it is cancelled. None of them takes more to end or to park.
STEPS = range(12)


@contextlib.asynccontextmanager
async def connecting(loop):
    """create_connection() to a server by number."""
    made = []

    async def connect():
        transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
        made.append((transport, protocol))

    async with serving() as (_, port, _):
        yield connect
        for transport, protocol in made:
            await dropped(protocol, transport)


@contextlib.asynccontextmanager
async def connecting_by_name(loop):
    """create_connection() to a server by name: a resolution comes first."""
    made = []

    async def connect():
        made.append(await loop.create_connection(Recorder, "localhost", port, family=socket.AF_INET))

    async with serving() as (_, port, _):
        yield connect
        for transport, protocol in made:
            await dropped(protocol, transport)


@contextlib.asynccontextmanager
async def connecting_in_vain(loop):
    """create_connection() that gets no answer."""
    with full_listener() as address:
        yield lambda: loop.create_connection(Recorder, *address)


@contextlib.asynccontextmanager
async def connecting_to_several(loop):
    """create_connection() that has several attempts on their way at once."""
    with full_listener() as one, full_listener() as two:

        async def resolved(host, port, **options):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (one, two)]

        loop.getaddrinfo = resolved
        yield lambda: loop.create_connection(Recorder, "some.name", 80, happy_eyeballs_delay=0)
        del loop.getaddrinfo


@contextlib.asynccontextmanager
async def opening_streams(loop):
    """open_connection() to a server."""
    made = []

    async def connect():
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        made.append(writer)

    async with serving() as (_, port, _):
        yield connect
        for writer in made:
            writer.close()
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def making_a_server(loop):
    """create_server() by name, so that a resolution comes first."""
    servers = []

    async def create():
        servers.append(await loop.create_server(Recorder, "localhost", 0))

    yield create
    for server in servers:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def serving_forever(loop):
    """serve_forever() of a server."""
    server = await loop.create_server(Recorder, "127.0.0.1", 0)
    yield server.serve_forever
    server.close()
    await server.wait_closed()


@contextlib.asynccontextmanager
async def starting_to_serve(loop):
    """start_serving() of a server."""
    server = await loop.create_server(Recorder, "127.0.0.1", 0, start_serving=False)
    yield server.start_serving
    server.close()
    await server.wait_closed()


@contextlib.asynccontextmanager
async def waiting_for_the_end(loop):
    """wait_closed() of a server that has a connection."""
    async with serving() as (server, port, protocols):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await accepted(protocols)
        yield server.wait_closed
        writer.close()
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def draining(loop):
    """drain() of a stream that nobody reads."""
    async with serving() as (_, port, protocols):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        protocol = await accepted(protocols)
        protocol.transport.pause_reading()
        writer.write(bytes(20_000_000))
        yield writer.drain
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def reading_a_line(loop):
    """readline() of a stream that says nothing."""
    async with serving() as (_, port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader.readline
        writer.close()
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def receiving(loop):
    """sock_recv() of a socket that gets nothing."""
    with tcp_pair() as (one, _):
        yield lambda: loop.sock_recv(one, 10)
        assert loop.remove_reader(one) is False


@contextlib.asynccontextmanager
async def receiving_into(loop):
    """sock_recv_into() of a socket that gets nothing."""
    with tcp_pair() as (one, _):
        yield lambda: loop.sock_recv_into(one, bytearray(10))
        assert loop.remove_reader(one) is False


@contextlib.asynccontextmanager
async def sending(loop):
    """sock_sendall() to a socket that nobody reads."""
    with tcp_pair() as (one, _):
        yield lambda: loop.sock_sendall(one, bytes(20_000_000))
        assert loop.remove_writer(one) is False


@contextlib.asynccontextmanager
async def accepting(loop):
    """sock_accept() where nobody comes."""
    with listener() as sock:
        sock.setblocking(False)
        yield lambda: loop.sock_accept(sock)
        assert loop.remove_reader(sock) is False


@contextlib.asynccontextmanager
async def connecting_a_socket(loop):
    """sock_connect() that gets no answer."""
    with full_listener() as address, contextlib.ExitStack() as stack:

        def connect():
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            return loop.sock_connect(sock, address)

        yield connect


@contextlib.asynccontextmanager
async def resolving(loop):
    """getaddrinfo() by name."""
    yield lambda: loop.getaddrinfo("localhost", 80)


@contextlib.asynccontextmanager
async def resolving_back(loop):
    """getnameinfo() by number."""
    yield lambda: loop.getnameinfo(("127.0.0.1", 80))


@contextlib.asynccontextmanager
async def working(loop):
    """run_in_executor() of work that takes its time."""
    gate = threading.Event()

    async def work():
        await loop.run_in_executor(pool, gate.wait)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            yield work
        finally:
            gate.set()


AWAITS = [
    connecting,
    connecting_by_name,
    connecting_in_vain,
    connecting_to_several,
    opening_streams,
    making_a_server,
    serving_forever,
    starting_to_serve,
    waiting_for_the_end,
    draining,
    reading_a_line,
    receiving,
    receiving_into,
    sending,
    accepting,
    connecting_a_socket,
    resolving,
    resolving_back,
    working,
]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("prepared", AWAITS, ids=lambda prepared: prepared.__name__)
def test_nothing_is_left_of_a_cancelled_await(loop, errors, prepared):
    async def main():
        for steps in STEPS:
            async with prepared(loop) as make:
                task = loop.create_task(make())
                reference = weakref.ref(task)
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                del task
            # What was cancelled may still have something to tell its transport or its thread.
            for _ in range(3):
                await asyncio.sleep(0)
            gc.collect()
            assert reference() is None
            assert asyncio.all_tasks() == {asyncio.current_task()}

    finish(loop, main(), timeout=60)
    finish(loop, loop.shutdown_default_executor())
    assert errors == []


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("prepared", AWAITS, ids=lambda prepared: prepared.__name__)
def test_descriptors_are_the_same_in_number_after_each(loop, prepared):
    async def main():
        for steps in (0, 1, 2, 4):
            before = open_descriptors()
            async with prepared(loop) as make:
                task = loop.create_task(make())
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                del task
            for _ in range(3):
                await asyncio.sleep(0)
            gc.collect()
            assert new_descriptors(before, patience=1) == {}

    finish(loop, main(), timeout=60)
    finish(loop, loop.shutdown_default_executor())


@pytest.mark.parametrize("steps", STEPS)
def test_a_cancelled_connection_is_closed_for_its_server_too(loop, steps):
    async def main():
        async with serving() as (_, port, protocols):
            task = loop.create_task(loop.create_connection(Recorder, "127.0.0.1", port))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                transport, protocol = await task
                await dropped(protocol, transport)
            await until(lambda: all(protocol.is_lost for protocol in protocols))

    finish(loop, main())


def test_a_timeout_around_a_connection_that_gets_no_answer(loop):
    async def main():
        with full_listener() as address:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await asyncio.open_connection(*address)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.create_connection(Recorder, *address), 0.01)

    finish(loop, main())


def test_a_group_that_fails_cancels_its_connections(loop):
    async def fail():
        await asyncio.sleep(0.005)
        raise LookupError

    async def main():
        with full_listener() as address:
            with pytest.raises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    for _ in range(5):
                        group.create_task(asyncio.open_connection(*address))
                    group.create_task(fail())

    finish(loop, main())


def test_a_runner_cancels_what_is_left(loop_factory):
    ended = []

    async def waiting(sock):
        try:
            await asyncio.get_running_loop().sock_recv(sock, 10)
        finally:
            ended.append(1)

    with tcp_pair() as (one, two):

        async def main():
            for sock in (one, two):
                main.tasks.append(asyncio.create_task(waiting(sock)))
            await asyncio.sleep(0)

        main.tasks = []
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())
        assert all(task.cancelled() for task in main.tasks)
    assert ended == [1, 1]

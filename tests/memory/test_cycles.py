"""Cycles through the loop and its objects are found by the garbage collector."""

import asyncio
import gc
import socket
import warnings
import weakref

import pytest

from toolkit import Recorder, attached, connected, finish, turn, until


class Thing:
    """Something to be in a cycle with."""

    def method(self, *args):
        pass


def collected(*references):
    gc.collect()
    return [reference() for reference in references] == [None] * len(references)


def test_a_closed_loop_in_a_cycle_with_its_attributes(loop_factory):
    loop, thing = loop_factory(), Thing()
    thing.loop, loop.thing = loop, thing
    references = weakref.ref(loop), weakref.ref(thing)
    loop.close()
    del loop, thing
    assert collected(*references)


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_soon_threadsafe", "handler", "factory"])
def test_a_loop_never_closed_in_a_cycle_with_what_it_holds(loop_factory, method):
    loop, thing = loop_factory(), Thing()
    thing.loop = loop
    if method == "call_later":
        loop.call_later(3600, thing.method)
    elif method == "handler":
        loop.set_exception_handler(thing.method)
    elif method == "factory":
        loop.set_task_factory(thing.method)
    else:
        getattr(loop, method)(thing.method, thing)
    references = weakref.ref(loop), weakref.ref(thing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del loop, thing
        assert collected(*references)


def test_a_loop_never_closed_in_a_cycle_with_a_reader(loop_factory):
    loop, thing = loop_factory(), Thing()
    one, two = socket.socketpair()
    with one, two:
        thing.loop = loop
        loop.add_reader(one, thing.method)
        loop.add_writer(one, thing.method)
        references = weakref.ref(loop), weakref.ref(thing)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del loop, thing
            assert collected(*references)


def test_a_handle_in_a_cycle_with_its_callback(loop):
    thing = Thing()
    thing.handle = loop.call_soon(thing.method)
    thing.timer = loop.call_later(-1, thing.method)
    reference = weakref.ref(thing)
    turn(loop)
    del thing
    assert collected(reference)


def test_a_cancelled_timer_in_a_cycle_with_its_callback(loop):
    thing = Thing()
    thing.timer = loop.call_later(3600, thing.method)
    reference = weakref.ref(thing)
    thing.timer.cancel()
    del thing
    assert collected(reference)


def test_handles_that_outlive_their_loop(loop_factory):
    loop, thing = loop_factory(), Thing()
    handles = [loop.call_soon(thing.method), loop.call_later(3600, thing.method)]
    loop.close()
    reference = weakref.ref(loop)
    repr(handles)
    for handle in handles:
        handle.cancel()
    del loop, handles, handle
    assert collected(reference)


def test_a_future_in_a_cycle_with_its_callback(loop):
    future = loop.create_future()
    future.add_done_callback(lambda _, own=future: own)
    reference = weakref.ref(future)
    future.set_result(future.__class__)
    turn(loop)
    del future
    assert collected(reference)


def test_a_task_that_nobody_will_ever_wake(loop):
    async def forever():
        await loop.create_future()

    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(forever())
    reference = weakref.ref(task)
    turn(loop, 2)
    del task
    assert collected(reference)


def test_a_connection_and_its_protocol_after_the_end(loop):
    async def main():
        async with connected() as (client, server):
            client.peer, server.peer = server, client
            return [weakref.ref(x) for x in (client, server, client.transport, server.transport)]

    references = finish(loop, main())
    turn(loop, 2)
    assert collected(*references)


@pytest.mark.parametrize("how", ["close", "abort", "peer", "error"])
def test_a_protocol_however_its_connection_ended(loop, how):
    loop.set_exception_handler(lambda loop, context: None)

    class Cyclic(Recorder):
        def data_received(self, data):
            raise ValueError("odd")

    async def main():
        protocol = Cyclic()
        protocol.me = protocol
        async with attached(protocol) as (transport, peer):
            if how in ("close", "abort"):
                getattr(transport, how)()
            elif how == "peer":
                peer.close()
            else:
                peer.send(b"x")
            await until(lambda: protocol.is_lost)
        protocol.lost = None
        return weakref.ref(protocol), weakref.ref(transport)

    references = finish(loop, main())
    turn(loop, 2)
    assert collected(*references)


def test_a_connection_never_closed_goes_with_its_loop(loop_factory):
    loop = loop_factory()
    one, two = socket.socketpair()
    with two:
        transport, protocol = loop.run_until_complete(loop.create_connection(Recorder, sock=one))
        protocol.loop = loop
        transport.write(bytes(10_000_000))
        references = [weakref.ref(x) for x in (loop, transport, protocol)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del loop, transport, protocol, one
            assert collected(*references)


def test_a_connection_never_closed_goes_after_its_loop_was_closed(loop_factory):
    loop = loop_factory()
    one, two = socket.socketpair()
    with two:
        transport, protocol = loop.run_until_complete(loop.create_connection(Recorder, sock=one))
        loop.close()
        references = [weakref.ref(x) for x in (loop, transport, protocol)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del loop, transport, protocol, one
            assert collected(*references)


def test_a_server_after_the_end(loop):
    async def main():
        made = []

        class Noted(Recorder):
            def __init__(self):
                super().__init__()
                made.append(weakref.ref(self))

        server = await loop.create_server(Noted, "127.0.0.1", 0)
        server.me = server
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await until(lambda: made and made[0]().transport)
        writer.close()
        await writer.wait_closed()
        await until(lambda: made[0]() is None or made[0]().is_lost)
        server.close()
        await server.wait_closed()
        return [weakref.ref(server), *made]

    references = finish(loop, main())
    turn(loop, 2)
    assert collected(*references)


def test_a_failed_connection_leaves_nothing(loop):
    async def main():
        class Odd(Exception):
            pass

        def factory():
            raise Odd

        references = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            async with connected() as (client, _):
                host, port = client.transport.get_extra_info("peername")
                try:
                    await loop.create_connection(factory, host, port)
                except Odd as error:
                    references.append(weakref.ref(error))
            with pytest.raises(ConnectionRefusedError):
                await loop.create_connection(Recorder, host, port)
            gc.collect()
        return references

    assert collected(*finish(loop, main()))


def test_streams_after_the_end(loop):
    async def main():
        references = []

        async def client(reader, writer):
            references.extend((weakref.ref(reader), weakref.ref(writer)))
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(client, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            references.extend((weakref.ref(reader), weakref.ref(writer), weakref.ref(writer.transport)))
            writer.write(b"line\n")
            assert await reader.read() == b"line\n"
            writer.close()
            await writer.wait_closed()
            await until(lambda: len(asyncio.all_tasks()) == 1)
        return references

    references = finish(loop, main())
    turn(loop, 2)
    assert collected(*references)

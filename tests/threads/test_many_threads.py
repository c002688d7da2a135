"""Several threads and several loops: calls from outside, wake-ups, and the end of a loop under fire."""

import asyncio
import concurrent.futures
import socket
import threading

import pytest

from toolkit import Recorder, finish, join_all, parked_thread, run_bounded, serving, turn, until

THREADS = 8
CALLS = 2000


@pytest.fixture
def running(loop):
    """The loop, running in a thread of its own until the test is over."""
    started = threading.Event()
    loop.call_soon(started.set)
    thread = parked_thread(loop.run_forever)
    assert started.wait(10)
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    join_all(thread)


def test_a_call_from_another_thread_wakes_a_parked_loop(loop):
    seen = []
    threads = []

    def call():
        loop.call_soon_threadsafe(seen.append, threading.current_thread())
        loop.call_soon_threadsafe(loop.stop)

    loop.call_soon(lambda: threads.append(parked_thread(call)))
    run_bounded(loop)
    join_all(*threads)
    assert seen == threads


def test_calls_run_in_the_thread_of_the_loop(running):
    idents = []
    done = threading.Event()
    running.call_soon_threadsafe(lambda: (idents.append(threading.get_ident()), done.set()))
    assert done.wait(10)
    assert idents != [threading.get_ident()]


def test_each_threads_calls_keep_their_order_and_none_is_lost(loop):
    seen = [[] for _ in range(THREADS)]
    left = [THREADS]

    def ended():
        left[0] -= 1
        if not left[0]:
            loop.stop()

    def call(number):
        for step in range(CALLS):
            loop.call_soon_threadsafe(seen[number].append, step)
        loop.call_soon_threadsafe(ended)

    threads = []
    loop.call_soon(lambda: threads.extend(parked_thread(call, number) for number in range(THREADS)))
    run_bounded(loop, timeout=30)
    join_all(*threads)
    assert seen == [list(range(CALLS))] * THREADS


def test_calls_made_before_the_loop_runs_are_kept(loop):
    seen = []
    join_all(*(parked_thread(loop.call_soon_threadsafe, seen.append, number) for number in range(THREADS)))
    assert seen == []
    turn(loop)
    assert sorted(seen) == list(range(THREADS))


def test_calls_of_the_same_thread_keep_their_place(loop):
    seen = []
    for number in range(10):
        (loop.call_soon if number % 2 else loop.call_soon_threadsafe)(seen.append, number)
    turn(loop)
    assert seen == list(range(10))


def test_what_a_thread_asks_for_comes_before_what_it_then_causes(loop):
    seen = []
    one, two = socket.socketpair()

    def readable():
        seen.append("readable")
        loop.remove_reader(one)

    def ask_then_send():
        loop.call_soon_threadsafe(seen.append, "asked")
        two.send(b"x")

    def let_a_thread_run():
        join_all(parked_thread(ask_then_send))

    loop.add_reader(one, readable)
    loop.call_soon(let_a_thread_run)
    with one, two:
        turn(loop, 3)
    assert seen == ["asked", "readable"]


def test_calls_from_outside_do_not_starve_timers_and_sockets(loop):
    stop = threading.Event()

    def storm():
        caught_up = threading.Event()
        while not stop.is_set():
            for _ in range(200):
                loop.call_soon_threadsafe(int)
            loop.call_soon_threadsafe(caught_up.set)
            caught_up.wait(0.01)
            caught_up.clear()

    async def main():
        threads = [parked_thread(storm) for _ in range(2)]
        try:
            async with serving() as (_, port, protocols):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                for _ in range(5):
                    await asyncio.sleep(0.001)
                writer.write(b"through the storm")
                await until(lambda: protocols and protocols[0].data == b"through the storm")
                writer.close()
                await writer.wait_closed()
        finally:
            stop.set()
        return threads

    join_all(*finish(loop, main(), timeout=30))


def test_a_handle_may_be_cancelled_from_the_thread_that_asked(running):
    seen = []
    gate = threading.Event()
    done = threading.Event()
    running.call_soon_threadsafe(gate.wait)
    handle = running.call_soon_threadsafe(seen.append, "cancelled")
    running.call_soon_threadsafe(done.set)
    handle.cancel()
    gate.set()
    assert done.wait(10)
    assert seen == [] and handle.cancelled()


def test_a_storm_of_calls_and_cancellations(running):
    ran = []

    def storm():
        for number in range(CALLS):
            handle = running.call_soon_threadsafe(ran.append, number)
            if number % 3 == 0:
                handle.cancel()

    join_all(*(parked_thread(storm) for _ in range(4)))
    done = threading.Event()
    running.call_soon_threadsafe(done.set)
    assert done.wait(10)
    kept = [number for number in range(CALLS) if number % 3]
    # A call may have run before it was cancelled, but one that was not cancelled must have run.
    for number in kept:
        assert ran.count(number) == 4
    assert len(ran) <= 4 * CALLS


@pytest.mark.parametrize("rounds", range(5))
def test_a_storm_of_calls_against_the_end_of_the_loop(loop_factory, rounds):
    loop = loop_factory()
    ran = []
    refused = []
    begun = threading.Barrier(THREADS + 1)

    def storm():
        begun.wait()
        caught_up = threading.Event()
        try:
            while True:
                for _ in range(200):
                    loop.call_soon_threadsafe(ran.append, 1)
                # Without this the threads fill the queue faster than the loop can empty it.
                loop.call_soon_threadsafe(caught_up.set)
                caught_up.wait(0.01)
                caught_up.clear()
        except RuntimeError as error:
            refused.append(str(error))

    threads = [parked_thread(storm) for _ in range(THREADS)]
    begun.wait()
    loop.run_until_complete(asyncio.sleep(0.005 * rounds))
    loop.close()
    join_all(*threads)
    assert refused == ["Event loop is closed"] * THREADS


def test_coroutines_run_from_another_thread(running):
    async def work(number):
        await asyncio.sleep(0.001)
        return number, threading.get_ident()

    futures = [asyncio.run_coroutine_threadsafe(work(number), running) for number in range(50)]
    results = [future.result(10) for future in futures]
    assert [number for number, _ in results] == list(range(50))
    assert {ident for _, ident in results} != {threading.get_ident()}


def test_a_coroutine_run_from_another_thread_raises_and_is_cancelled_there(running):
    async def fail():
        raise LookupError("over there")

    ended = threading.Event()

    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(LookupError, match="over there"):
        asyncio.run_coroutine_threadsafe(fail(), running).result(10)
    future = asyncio.run_coroutine_threadsafe(forever(), running)
    begun = threading.Event()
    running.call_soon_threadsafe(begun.set)
    assert begun.wait(10)
    assert future.cancel()
    assert ended.wait(10)
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(10)


def test_every_thread_has_its_own_loop(loop_factory):
    results = {}

    def work(number):
        async def main():
            async with serving(Echo) as (_, port, _):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                answers = []
                for step in range(50):
                    writer.write(b"%d:%d\n" % (number, step))
                    answers.append(await reader.readline())
                    if step % 10 == 0:
                        await asyncio.sleep(0.001)
                writer.close()
                await writer.wait_closed()
                return answers

        class Echo(Recorder):
            def data_received(self, data):
                self.transport.write(data)

        loop = loop_factory()
        try:
            results[number] = finish(loop, main(), timeout=30)
            assert asyncio._get_running_loop() is None
        finally:
            loop.close()

    join_all(*(parked_thread(work, number) for number in range(4)), timeout=60)
    assert results == {number: [b"%d:%d\n" % (number, step) for step in range(50)] for number in range(4)}


def test_loops_of_several_threads_call_each_other(loop_factory):
    loops = [loop_factory() for _ in range(3)]
    hops = []

    def hop(number, left):
        hops.append((number, threading.get_ident()))
        if left:
            following = (number + 1) % 3
            loops[following].call_soon_threadsafe(hop, following, left - 1)
        else:
            for loop in loops:
                loop.call_soon_threadsafe(loop.stop)

    loops[0].call_soon(hop, 0, 300)
    threads = [parked_thread(loop.run_forever) for loop in loops]
    join_all(*threads)
    assert [number for number, _ in hops] == [number % 3 for number in range(301)]
    assert len({ident for _, ident in hops}) == 3
    for loop in loops:
        loop.close()


def test_a_loop_moves_from_thread_to_thread(loop):
    idents = []

    def work():
        async def main():
            idents.append(threading.get_ident())
            await asyncio.sleep(0.001)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            await reader.read()

        finish(loop, main())

    server = finish(loop, asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    for _ in range(3):
        join_all(parked_thread(work))
    work()
    server.close()
    finish(loop, server.wait_closed())
    assert len(idents) == 4


def test_many_loops_made_and_closed_in_many_threads(loop_factory):
    def work():
        for number in range(20):
            loop = loop_factory()
            assert loop.run_until_complete(asyncio.sleep(0, number)) == number
            loop.close()

    join_all(*(parked_thread(work) for _ in range(4)))


def test_results_of_threads_arrive_while_the_loop_is_busy(loop):
    async def main():
        busy = [True]

        def spin():
            if busy[0]:
                loop.call_soon(spin)

        spin()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            results = await asyncio.gather(*(loop.run_in_executor(pool, pow, n, 2) for n in range(300)))
        busy[0] = False
        return results

    assert finish(loop, main(), timeout=30) == [n**2 for n in range(300)]

"""`janus`: a queue of which one end belongs to threads and the other to coroutines."""

import asyncio
import threading

import pytest

from toolkit import finish, join_all, parked_thread, until

janus = pytest.importorskip(
    "janus", reason="the package janus is not installed: pip install -r requirements/ecosystem.txt"
)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_threads_put_and_coroutines_get_in_order(loop, size):
    async def run():
        queue = janus.Queue(size)

        def produce(name):
            for number in range(500):
                queue.sync_q.put((name, number))

        threads = [parked_thread(produce, name) for name in range(3)]
        got = [await queue.async_q.get() for _ in range(1500)]
        join_all(*threads)
        await queue.aclose()
        return got

    got = finish(loop, run(), 60)
    for name in range(3):
        assert [number for who, number in got if who == name] == list(range(500))


@pytest.mark.parametrize("size", [0, 1, 7])
def test_coroutines_put_and_threads_get_in_order(loop, size):
    async def run():
        queue = janus.Queue(size)
        got = []

        def consume():
            while (item := queue.sync_q.get()) is not None:
                got.append(item)
                queue.sync_q.task_done()
            queue.sync_q.task_done()

        thread = parked_thread(consume)
        for number in range(1000):
            await queue.async_q.put(number)
        await queue.async_q.put(None)
        await queue.async_q.join()
        join_all(thread)
        await queue.aclose()
        return got

    assert finish(loop, run(), 60) == list(range(1000))


def test_a_full_queue_holds_the_thread_and_not_the_loop(loop):
    async def run():
        queue = janus.Queue(2)
        reached = []

        def produce():
            for number in range(5):
                queue.sync_q.put(number)
                reached.append(number)

        thread = parked_thread(produce)
        await until(lambda: reached == [0, 1])
        # The loop goes round as it likes, and the thread gets no further.
        for _ in range(50):
            await asyncio.sleep(0)
        assert (reached, thread.is_alive()) == ([0, 1], True)
        assert [await queue.async_q.get() for _ in range(5)] == [0, 1, 2, 3, 4]
        join_all(thread)
        await queue.aclose()

    finish(loop, run(), 60)


def test_a_getter_that_is_cancelled_or_late_takes_nothing_along(loop):
    async def run():
        queue = janus.Queue()
        getter = asyncio.create_task(queue.async_q.get())
        await asyncio.sleep(0)
        getter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getter
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await queue.async_q.get()
        join_all(parked_thread(queue.sync_q.put, "kept"))
        assert await queue.async_q.get() == "kept"
        await queue.aclose()

    finish(loop, run(), 60)


def test_a_thread_s_time_out_is_its_own(loop):
    async def run():
        queue = janus.Queue(1)
        with pytest.raises(janus.SyncQueueEmpty):
            await asyncio.to_thread(queue.sync_q.get, timeout=0.01)
        await queue.async_q.put(1)
        with pytest.raises(janus.SyncQueueFull):
            await asyncio.to_thread(queue.sync_q.put, 2, timeout=0.01)
        await queue.aclose()

    finish(loop, run(), 60)


def test_closing_wakes_everybody_who_waits(loop):
    async def run():
        queue = janus.Queue()
        waiting = threading.Event()

        def consume():
            waiting.set()
            with pytest.raises(janus.SyncQueueShutDown):
                queue.sync_q.get()

        thread = parked_thread(consume)
        getter = asyncio.create_task(queue.async_q.get())
        await until(waiting.is_set)
        await asyncio.sleep(0)
        await queue.aclose()
        with pytest.raises(janus.AsyncQueueShutDown):
            await getter
        join_all(thread)

    finish(loop, run(), 60)

"""The default executor: a ThreadPoolExecutor to everybody, with a short way for the jobs of its loop."""

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import subprocess
import sys
import threading
import weakref

import pytest

import epicycle
from toolkit import finish, turn, until


@pytest.fixture
def gate():
    """An event that holds a worker until the test lets it go; opened at the end in any case."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def ended(loop):
    """Ends the default executor after the test."""
    yield
    if not loop.is_closed():
        finish(loop, loop.shutdown_default_executor())


def reports_of(loop):
    reports = []
    loop.set_exception_handler(lambda _, context: reports.append(context))
    return reports


@pytest.mark.usefixtures("ended")
def test_it_is_made_for_the_first_job_and_seen_as_asyncios(loop):
    assert loop._default_executor is None
    name = finish(loop, loop.run_in_executor(None, lambda: threading.current_thread().name))
    pool = loop._default_executor
    assert name == "asyncio_0"
    assert isinstance(pool, concurrent.futures.ThreadPoolExecutor)
    assert pool._max_workers == min(32, (os.cpu_count() or 1) + 4)


@pytest.mark.usefixtures("ended")
def test_idle_threads_are_used_again(loop):
    async def main():
        for _ in range(50):
            await loop.run_in_executor(None, int)
            # The thread is on its way back.
            await asyncio.sleep(0.001)

    finish(loop, main())
    assert len(loop._default_executor._threads) <= 3


@pytest.mark.usefixtures("ended")
def test_jobs_that_wait_for_one_another_all_have_a_thread(loop):
    most = min(32, (os.cpu_count() or 1) + 4)

    async def main():
        for size in (2, most, most):
            barrier = threading.Barrier(size)
            await asyncio.gather(*(loop.run_in_executor(None, barrier.wait, 20) for _ in range(size)))

    finish(loop, main(), timeout=60)
    assert len(loop._default_executor._threads) == most


@pytest.mark.usefixtures("ended")
def test_a_job_may_end_while_the_loop_blocks(loop):
    async def main():
        done = threading.Event()
        work = loop.run_in_executor(None, done.set)
        assert done.wait(10)
        await work

    finish(loop, main())


@pytest.mark.usefixtures("ended")
def test_a_result_is_not_kept_back_by_the_next_job(loop, gate):
    async def main():
        pool = loop._default_executor
        pool._max_workers = 1
        first = loop.run_in_executor(None, int)
        second = loop.run_in_executor(None, gate.wait)
        assert await asyncio.wait_for(first, 10) == 0
        gate.set()
        assert await second

    finish(loop, loop.run_in_executor(None, int))
    finish(loop, main())


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError("no"), GeneratorExit()], ids=repr)
def test_what_a_job_raises_comes_back_as_it_is(loop, error):
    def raises():
        raise error

    async def main():
        work = loop.run_in_executor(None, raises)
        await asyncio.wait([work])
        assert not work.cancelled()
        assert work.exception() is error
        # The thread has survived it.
        assert await loop.run_in_executor(None, pow, 2, 3) == 8

    finish(loop, main())


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (concurrent.futures.CancelledError, asyncio.CancelledError),
        (concurrent.futures.InvalidStateError, asyncio.InvalidStateError),
        (concurrent.futures.TimeoutError, asyncio.TimeoutError),
    ],
)
def test_exceptions_of_concurrent_futures_become_asyncios(loop, raised, seen):
    def raises():
        raise raised("no")

    async def main():
        work = loop.run_in_executor(None, raises)
        await asyncio.wait([work])
        return work.exception()

    error = finish(loop, main())
    assert type(error) is seen and error.args == ("no",)


@pytest.mark.usefixtures("ended")
def test_stop_iteration_ends_as_in_asyncio(loop):
    def outcome(loop):
        reports = reports_of(loop)

        async def main():
            work = loop.run_in_executor(None, next, iter(()))
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.wait([work]), 0.2)
            told = [(type(report["exception"]), str(report["exception"])) for report in reports]
            if not work.done():
                work.cancel()
                return told
            return told, type(work.exception()), str(work.exception()), type(work.exception().__cause__)

        return finish(loop, main())

    other = asyncio.SelectorEventLoop()
    try:
        expected = outcome(other)
        other.run_until_complete(other.shutdown_default_executor())
    finally:
        other.close()
    assert outcome(loop) == expected


@pytest.mark.usefixtures("ended")
def test_a_result_that_somebody_else_gave_is_reported(loop, gate):
    reports = reports_of(loop)

    async def main():
        work = loop.run_in_executor(None, gate.wait)
        work.set_result("else")
        gate.set()
        await until(lambda: reports)
        return await work

    assert finish(loop, main()) == "else"
    assert isinstance(reports[0]["exception"], (asyncio.InvalidStateError, AssertionError))


@pytest.mark.usefixtures("ended")
def test_a_job_cancelled_before_it_begins_never_does(loop, gate):
    ran = []

    async def main():
        await loop.run_in_executor(None, int)
        loop._default_executor._max_workers = 1
        busy = loop.run_in_executor(None, gate.wait)
        waiting = [loop.run_in_executor(None, ran.append, number) for number in range(3)]
        waiting[1].cancel()
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(busy, waiting[0], waiting[2])

    finish(loop, main())
    assert ran == [0, 2]


def test_a_shutdown_can_cancel_what_waits(loop, gate):
    async def main():
        await loop.run_in_executor(None, int)
        pool = loop._default_executor
        pool._max_workers = 1
        begun = threading.Event()
        busy = loop.run_in_executor(None, lambda: (begun.set(), gate.wait()))
        assert begun.wait(10)
        waiting = [loop.run_in_executor(None, int), pool.submit(int)]
        pool.shutdown(wait=False, cancel_futures=True)
        await until(waiting[0].done)
        assert [it.cancelled() for it in waiting] == [True, True]
        gate.set()
        assert await busy
        with pytest.raises(RuntimeError, match="^cannot schedule new futures after shutdown$"):
            loop.run_in_executor(None, int)

    finish(loop, main())
    finish(loop, loop.shutdown_default_executor())


@pytest.mark.usefixtures("ended")
def test_others_may_submit_to_it(loop):
    async def main():
        await loop.run_in_executor(None, int)
        pool = loop._default_executor
        assert pool.submit(pow, 2, 5).result(10) == 32
        assert list(pool.map(pow, range(50), [2] * 50)) == [number**2 for number in range(50)]
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result(10)
        assert await asyncio.wrap_future(pool.submit(pow, 2, 6)) == 64
        return pool._work_queue.qsize()

    assert finish(loop, main()) == 0


@pytest.mark.parametrize("fails", [False, True])
def test_a_result_for_a_closed_loop_is_dropped(loop, gate, fails):
    def job():
        gate.wait()
        if fails:
            raise LookupError

    future = loop.run_in_executor(None, job)
    turn(loop)
    pool = loop._default_executor
    loop.close()
    gate.set()
    pool.shutdown()
    assert not future.done()


def test_an_executor_that_is_forgotten_ends_its_threads():
    loop = epicycle.EventLoop()
    finish(loop, loop.run_in_executor(None, int))
    threads = list(loop._default_executor._threads)
    pool = weakref.ref(loop._default_executor)
    loop._default_executor = None
    loop.close()
    gc.collect()
    assert pool() is None
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.usefixtures("ended")
def test_nothing_of_a_job_is_kept(loop):
    class Thing:
        pass

    async def main():
        thing = Thing()
        reference = weakref.ref(thing)
        assert await loop.run_in_executor(None, lambda given: given, thing) is thing
        del thing
        await asyncio.sleep(0)
        return reference

    assert finish(loop, main())() is None


def test_the_process_waits_for_jobs_at_its_end():
    program = """
import time, epicycle
loop = epicycle.EventLoop()
loop.run_in_executor(None, lambda: (time.sleep(0.2), print("done\\n", end="", flush=True)))
loop.run_in_executor(None, lambda: (time.sleep(0.2), print("done\\n", end="", flush=True)))
loop.close()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "done\ndone\n" and ended.stderr == ""

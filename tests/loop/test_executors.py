"""Work handed to threads, processes and interpreters."""

import asyncio
import concurrent.futures
import contextvars
import multiprocessing
import multiprocessing.resource_tracker
import os
import sys
import threading
import warnings

import pytest

from toolkit import cancelled, finish, quiet, turn


@pytest.fixture
def gate():
    """An event that holds a worker until the test lets it go; opened at the end in any case."""
    event = threading.Event()
    yield event
    event.set()


def test_work_runs_in_a_thread_of_the_default_executor(loop):
    async def main():
        return await loop.run_in_executor(None, lambda: threading.current_thread().name)

    assert finish(loop, main()).startswith("asyncio")
    finish(loop, loop.shutdown_default_executor())


def test_the_future_belongs_to_the_loop(loop):
    future = loop.run_in_executor(None, pow, 2, 10)
    assert asyncio.isfuture(future) and future.get_loop() is loop
    assert finish(loop, future) == 1024
    finish(loop, loop.shutdown_default_executor())


def test_an_exception_comes_back(loop):
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        finish(loop, loop.run_in_executor(None, lambda: 1 / 0))
    finish(loop, loop.shutdown_default_executor())


def test_many_pieces_of_work_come_back(loop):
    async def main():
        return await asyncio.gather(*(loop.run_in_executor(None, pow, number, 2) for number in range(200)))

    assert finish(loop, main()) == [number**2 for number in range(200)]
    finish(loop, loop.shutdown_default_executor())


def test_a_given_executor_is_used(loop):
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="given") as pool:
        name = finish(loop, loop.run_in_executor(pool, lambda: threading.current_thread().name))
    assert name.startswith("given")


def test_the_default_executor_can_be_set(loop):
    pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine")
    loop.set_default_executor(pool)
    assert finish(loop, loop.run_in_executor(None, lambda: threading.current_thread().name)).startswith(
        "mine"
    )
    finish(loop, loop.shutdown_default_executor())
    with pytest.raises(RuntimeError):
        pool.submit(print)


@pytest.mark.parametrize("thing", [None, 1, object(), concurrent.futures.Executor()])
def test_the_default_executor_must_be_of_threads(loop, thing):
    with pytest.raises(TypeError, match="^executor must be ThreadPoolExecutor instance$"):
        loop.set_default_executor(thing)


def test_closing_the_loop_shuts_the_default_executor_down(loop):
    pool = concurrent.futures.ThreadPoolExecutor(1)
    loop.set_default_executor(pool)
    loop.close()
    with pytest.raises(RuntimeError):
        pool.submit(print)


def test_after_its_shutdown_the_default_executor_is_refused(loop):
    finish(loop, loop.shutdown_default_executor())
    with pytest.raises(RuntimeError, match="^Executor shutdown has been called$"):
        loop.run_in_executor(None, print)
    finish(loop, loop.shutdown_default_executor())


def test_the_shutdown_waits_for_the_work(loop, gate):
    async def main():
        work = loop.run_in_executor(None, gate.wait)
        shutdown = loop.create_task(loop.shutdown_default_executor())
        await quiet()
        assert not shutdown.done()
        gate.set()
        await shutdown
        assert await work is True

    finish(loop, main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="before 3.13 the timeout did not bound the wait")
def test_the_shutdown_gives_up_after_its_timeout(loop, gate):
    async def main():
        work = loop.run_in_executor(None, gate.wait)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await loop.shutdown_default_executor(timeout=0.01)
        gate.set()
        await work
        return [(w.category, str(w.message)) for w in caught]

    text = "The executor did not finishing joining its threads within 0.01 seconds."
    assert finish(loop, main()) == [(RuntimeWarning, text)]


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="before 3.13 cancelling the shutdown waits for the threads"
)
def test_the_shutdown_can_be_cancelled(loop, gate):
    async def main():
        work = loop.run_in_executor(None, gate.wait)
        shutdown = loop.create_task(loop.shutdown_default_executor())
        await quiet()
        await cancelled(shutdown)
        gate.set()
        await work

    finish(loop, main())


def test_waiting_for_work_can_be_cancelled(loop, gate):
    async def main():
        busy = loop.run_in_executor(None, gate.wait)
        task = loop.create_task(wait(busy))
        await asyncio.sleep(0)
        await cancelled(task)
        assert busy.cancelled()
        gate.set()
        await loop.shutdown_default_executor()

    async def wait(future):
        await future

    finish(loop, main())


def test_work_not_begun_is_cancelled(loop, gate):
    ran = []

    async def main():
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            busy = loop.run_in_executor(pool, gate.wait)
            waiting = loop.run_in_executor(pool, ran.append, 1)
            waiting.cancel()
            await asyncio.sleep(0)
            gate.set()
            await busy

    finish(loop, main())
    assert ran == []


def test_work_that_ends_after_the_loop_is_closed_is_harmless(loop, gate):
    pool = concurrent.futures.ThreadPoolExecutor(1)
    done = threading.Event()
    future = loop.run_in_executor(pool, gate.wait)
    turn(loop)
    loop.close()
    gate.set()
    pool.submit(done.set)
    assert done.wait(10)
    pool.shutdown()
    assert not future.done()


def test_in_debug_mode_what_cannot_be_called_is_refused(loop):
    async def coroutine():
        pass

    loop.set_debug(True)
    with pytest.raises(TypeError, match=r"^coroutines cannot be used with run_in_executor\(\)$"):
        loop.run_in_executor(None, coroutine)
    with pytest.raises(TypeError, match=r"^a callable object was expected by run_in_executor\(\), got 1$"):
        loop.run_in_executor(None, 1)


@pytest.fixture(scope="module")
def tracked_processes():
    # The tracker of shared resources lives as long as this process, and so does its descriptor.
    multiprocessing.resource_tracker.ensure_running()


@pytest.mark.usefixtures("tracked_processes")
def test_work_runs_in_a_process(loop):
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        child = finish(loop, loop.run_in_executor(pool, os.getpid), timeout=30)
        with pytest.raises(ValueError, match="invalid literal"):
            finish(loop, loop.run_in_executor(pool, int, "text"), timeout=30)
    assert child != os.getpid()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="interpreter pools came with 3.14")
def test_work_runs_in_an_interpreter(loop):
    with concurrent.futures.InterpreterPoolExecutor(1) as pool:
        assert finish(loop, loop.run_in_executor(pool, pow, 2, 5), timeout=30) == 32


def test_to_thread_keeps_the_context(loop):
    variable = contextvars.ContextVar("variable", default=0)

    async def main():
        variable.set(5)
        return await asyncio.to_thread(variable.get)

    assert finish(loop, main()) == 5
    finish(loop, loop.shutdown_default_executor())

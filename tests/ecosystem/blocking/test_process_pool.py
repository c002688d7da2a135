"""A process pool for work that only a processor can do: start methods, cancellation, time-outs, processes that die."""

import asyncio
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, resource_tracker

import pytest
from work import digest, fail, in_process, own_loop, wait_for_file

from toolkit import finish, script, until


@pytest.fixture(scope="module", autouse=True)
def helpers():
    """multiprocessing's own processes, which stay until this one ends, are there before descriptors are counted."""
    resource_tracker.ensure_running()
    forkserver.ensure_running()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_work_is_shared_among_processes(loop, method):
    async def run():
        running = asyncio.get_running_loop()
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
            digests = await asyncio.gather(*(running.run_in_executor(pool, digest, n) for n in range(12)))
            elsewhere = await running.run_in_executor(pool, in_process)
            with pytest.raises(ValueError, match="of no use"):
                await running.run_in_executor(pool, fail, "of no use")
        return digests, elsewhere

    digests, elsewhere = finish(loop, run(), 100)
    assert digests == [digest(n) for n in range(12)]
    assert elsewhere != os.getpid()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_child_may_run_a_loop_of_its_own(loop, loop_name, method):
    async def run():
        running = asyncio.get_running_loop()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
            return await running.run_in_executor(pool, own_loop, loop_name)

    assert finish(loop, run(), 100) is True


def test_a_cancelled_job_that_has_not_begun_never_does(loop, tmp_path):
    gate, first, never = (tmp_path / name for name in ("gate", "first", "never"))

    async def run():
        running = asyncio.get_running_loop()
        with ProcessPoolExecutor(1) as pool:
            held = running.run_in_executor(pool, wait_for_file, gate, first)
            await until(first.exists, 60)
            # A job or two wait in the pipe to the process already; those behind can still be called back.
            queued = [
                running.run_in_executor(pool, wait_for_file, gate, tmp_path / f"queued-{n}") for n in range(4)
            ]
            last = running.run_in_executor(pool, wait_for_file, gate, never)
            last.cancel()
            with pytest.raises(asyncio.CancelledError):
                await last
            gate.touch()
            await asyncio.gather(held, *queued)

    finish(loop, run(), 60)
    assert not never.exists()
    assert all((tmp_path / f"queued-{n}").exists() for n in range(4))


def test_work_that_takes_too_long_is_ended_with_its_process(loop, tmp_path):
    async def run():
        running = asyncio.get_running_loop()
        begun = tmp_path / "begun"
        with ProcessPoolExecutor(1) as pool:
            endless = running.run_in_executor(pool, wait_for_file, tmp_path / "never", begun)
            await until(begun.exists, 60)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await endless
            # Giving up waiting leaves the process at it. What ends it is the end of the process.
            process = int(begun.read_text())
            os.kill(process, signal.SIGKILL)
            with pytest.raises(BrokenProcessPool):
                await running.run_in_executor(pool, digest, 1)
        with ProcessPoolExecutor(1) as pool:
            assert await running.run_in_executor(pool, digest, 1) == digest(1)

    finish(loop, run(), 60)


def test_a_process_that_dies_breaks_the_pool_and_the_loop_goes_on(loop, tmp_path):
    async def run():
        running = asyncio.get_running_loop()
        begun = tmp_path / "begun"
        with ProcessPoolExecutor(2) as pool:
            lost = running.run_in_executor(pool, wait_for_file, tmp_path / "never", begun)
            await until(begun.exists, 60)
            os.kill(int(begun.read_text()), signal.SIGKILL)
            with pytest.raises(BrokenProcessPool):
                await lost
        return await asyncio.to_thread(digest, 3)

    assert finish(loop, run(), 60) == digest(3)


def test_the_loop_turns_while_the_pool_is_waited_for(loop, tmp_path):
    async def run():
        running = asyncio.get_running_loop()
        gate = tmp_path / "gate"
        pool = ProcessPoolExecutor(1)
        held = running.run_in_executor(pool, wait_for_file, gate, tmp_path / "begun")
        # shutdown() blocks until the work is done: in a thread it does not hold up the loop, which opens the gate.
        ending = asyncio.ensure_future(asyncio.to_thread(pool.shutdown))
        await asyncio.to_thread(gate.touch)
        await asyncio.gather(ending, held)

    finish(loop, run(), 60)


def test_nothing_is_left_behind_by_a_pool_nobody_shut_down():
    done = script(
        "epicycle",
        "import asyncio\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "async def main():\n"
        "    pool = ProcessPoolExecutor(1)\n"
        "    print(await asyncio.get_running_loop().run_in_executor(pool, pow, 3, 4))\n"
        "with asyncio.Runner(loop_factory=new_loop) as runner:\n"
        "    runner.run(main())\n",
    )
    assert (done.stdout, done.stderr) == ("81\n", "")

"""Dask's own client on the loop: `await client.submit(...)`, what jobs share, and what is lost when things die."""

import asyncio

import pytest
from dask_processes import die, loops_of, register_jobs, scheduler, square, where, worker

from toolkit import finish, script, until

pytest.importorskip(
    "distributed",
    reason="the package distributed is not installed: pip install -r requirements/ecosystem.txt",
)

from distributed import Client, Event, Future, Queue, as_completed
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

register_jobs()


def test_jobs_are_awaited_gathered_and_taken_as_they_come(loop, cluster):
    async def run():
        async with Client(cluster, asynchronous=True) as client:
            assert await client.submit(square, 12) == 144
            jobs = client.map(square, range(40), pure=False)
            assert sorted([await job async for job in as_completed(jobs)]) == sorted(n * n for n in range(40))
            # A job's result may be another's argument, and need not come here in between.
            total = client.submit(sum, jobs)
            assert await total == sum(n * n for n in range(40))
            assert await client.gather(jobs) == [n * n for n in range(40)]

    finish(loop, run(), 60)


def test_a_coroutine_function_runs_on_the_worker_s_loop(loop, cluster):
    async def run():
        async with Client(cluster, asynchronous=True, set_as_default=False) as client:
            return await client.submit(_sleep_on_the_loop, pure=False)

    assert finish(loop, run(), 60) == "epicycle.loop"


async def _sleep_on_the_loop():
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__


def test_large_data_goes_there_and_back(loop, cluster):
    sent = bytes(range(256)) * 40_000

    async def run():
        async with Client(cluster, asynchronous=True, set_as_default=False) as client:
            there = await client.scatter(sent, broadcast=True, hash=False)
            assert isinstance(there, Future)
            return await client.submit(_reversed, there, pure=False)

    assert finish(loop, run(), 60) == sent[::-1]


def _reversed(data):
    return data[::-1]


def test_master_and_workers_share_a_queue(loop, cluster):
    async def run():
        async with Client(cluster, asynchronous=True) as client:
            todo, done = await Queue("todo", client=client), await Queue("done", client=client)
            jobs = [client.submit(_take_until_none, "todo", "done", pure=False) for _ in range(2)]
            for number in (*range(20), None, None):
                await todo.put(number)
            results = sorted([await done.get(timeout=30) for _ in range(20)])
            assert sum(await client.gather(jobs)) == 20
            for queue in (todo, done):
                queue.close()
            return results

    assert finish(loop, run(), 60) == [n * n for n in range(20)]


def _take_until_none(todo, done):
    todo, done = Queue(todo), Queue(done)
    count = 0
    while (number := todo.get(timeout=30)) is not None:
        done.put(number * number)
        count += 1
    return count


def test_a_job_that_takes_too_long_is_cancelled_and_its_worker_goes_on(loop, cluster):
    async def run():
        async with Client(cluster, asynchronous=True, set_as_default=False) as client:
            gate = await Event("cancelling", client=client)
            # The cluster outlives a test, and so does what was set in it.
            await gate.clear()
            held = client.submit(_wait_for, "cancelling", workers=["one"], pure=False)
            # It needs the other's result, so it cannot be done before.
            queued = client.submit(_square_after, 4, held, pure=False)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await queued
            await queued.cancel()
            assert queued.cancelled()
            with pytest.raises(FutureCancelledError):
                await queued
            await gate.set()
            assert await held == "went on"
            assert await client.submit(square, 5, workers=["one"], pure=False) == 25

    finish(loop, run(), 60)


def _square_after(number, _other):
    return number * number


def _wait_for(name):
    assert Event(name).wait(60)
    return "went on"


def test_results_kept_by_a_killed_worker_are_made_anew(loop, cluster):
    async def run():
        async with Client(cluster, asynchronous=True, set_as_default=False) as client:
            with worker(cluster, "keeper") as keeper:
                jobs = client.map(square, range(10), workers=["keeper"], allow_other_workers=True, pure=False)
                who = await client.submit(where, 0, workers=["keeper"], pure=False)
                assert who == keeper.process.pid
                await until(lambda: all(job.status == "finished" for job in jobs), 30)
                keeper.process.kill()
                await _gone(client, "keeper")
            return await client.gather(jobs)

    assert finish(loop, run(), 60) == [n * n for n in range(10)]


async def _gone(client, name):
    """Wait until the scheduler has noticed that a worker is not there any more."""
    async with asyncio.timeout(30):
        while name in await client.run_on_scheduler(_names):
            pass


def _names(dask_scheduler):
    return [worker.name for worker in dask_scheduler.workers.values()]


# Four interpreters are started one after the other, which takes its time on a machine with other things to do.
@pytest.mark.timeout(300)
@pytest.mark.epicycle_only
def test_a_nanny_s_next_worker_is_on_epicycle_too(loop):
    async def run():
        with scheduler(ALLOWED_FAILURES="0") as address, worker(address, "kept", "--nanny"):
            async with Client(address, asynchronous=True, set_as_default=False) as client:
                first = await client.submit(where, 0, pure=False)
                assert await loops_of(client) == ["epicycle.loop.EventLoop"] * 2
                # The job kills its worker, and is not tried with another.
                with pytest.raises(KilledWorker):
                    await client.submit(die, 0, pure=False)
                await client.wait_for_workers(1, timeout=60)
                assert await client.submit(where, 1, pure=False) != first
                assert await loops_of(client) == ["epicycle.loop.EventLoop"] * 2

    finish(loop, run(), 250)


BLOCKING = """
import asyncio, epicycle
epicycle.install()
from distributed import Client
from concurrent.futures import ThreadPoolExecutor

async def loop_name():
    return type(asyncio.get_running_loop()).__module__

with Client({address!r}, set_as_default=False) as client:
    print(type(client.loop.asyncio_loop).__module__, client.submit(pow, 7, 2).result(), client.sync(loop_name))
"""

LOCAL = """
import asyncio, epicycle
from distributed import Client, LocalCluster

async def loop_name():
    return type(asyncio.get_running_loop()).__module__

async def main():
    async with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, asynchronous=True, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0", memory_limit=0,
    ) as cluster, Client(cluster, asynchronous=True) as client:
        print(await client.run_on_scheduler(loop_name), sorted((await client.run(loop_name)).values()))
        print(await client.submit(pow, 7, 2))

epicycle.run(main())
"""


def test_the_blocking_client_has_an_epicycle_loop_in_its_thread(cluster):
    done = script("epicycle", BLOCKING.format(address=cluster), timeout=60)
    assert done.stdout == "epicycle.loop 49 epicycle.loop\n"


def test_a_cluster_within_one_process_shares_its_loop():
    done = script("epicycle", LOCAL, timeout=60)
    assert done.stdout == "epicycle.loop ['epicycle.loop', 'epicycle.loop']\n49\n"

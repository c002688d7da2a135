"""`run_in_executor` with Dask's executor, and the same jobs on threads and processes: one line is another."""

import asyncio
import concurrent.futures
import contextlib

import pytest
from dask_processes import fail, first_time_never, loops_of, register_jobs, square, where, worker

from toolkit import finish, until

pytest.importorskip(
    "distributed",
    reason="the package distributed is not installed: pip install -r requirements/ecosystem.txt",
)

from distributed import Client

register_jobs()


@contextlib.asynccontextmanager
async def executor(kind, cluster):
    if kind == "dask":
        async with Client(cluster, asynchronous=True, set_as_default=False) as client:
            pool = client.get_executor(pure=False)
            yield pool
            await asyncio.to_thread(pool.shutdown)
    else:
        pools = {
            "threads": concurrent.futures.ThreadPoolExecutor,
            "processes": concurrent.futures.ProcessPoolExecutor,
        }
        pool = pools[kind](2)
        yield pool
        await asyncio.to_thread(pool.shutdown)


def test_scheduler_and_workers_run_on_epicycle(loop, cluster):
    async def ask():
        async with Client(cluster, asynchronous=True, set_as_default=False) as client:
            await client.wait_for_workers(2, timeout=30)
            return await loops_of(client)

    assert finish(loop, ask(), 60) == ["epicycle.loop.EventLoop"] * 3


@pytest.mark.parametrize("kind", ["threads", "processes", "dask"])
def test_the_same_jobs_give_the_same_wherever_they_run(loop, cluster, kind):
    async def run():
        async with executor(kind, cluster) as pool:
            running = asyncio.get_running_loop()
            squares = await asyncio.gather(*(running.run_in_executor(pool, square, n) for n in range(50)))
            try:
                await running.run_in_executor(pool, fail, "nothing there")
            except LookupError as error:
                return squares, str(error)

    assert finish(loop, run(), 60) == ([n * n for n in range(50)], "nothing there")


def test_an_executor_may_be_the_default_one_too(loop, cluster):
    async def run():
        async with executor("dask", cluster) as pool:
            results = [asyncio.get_running_loop().run_in_executor(pool, where, n) for n in range(40)]
            return set(await asyncio.gather(*results))

    # Two workers of one thread each, and neither was idle while there were forty jobs.
    assert len(finish(loop, run(), 60)) == 2


def test_a_worker_killed_in_mid_job_loses_no_result(loop, cluster, tmp_path):
    async def run():
        async with Client(cluster, asynchronous=True, set_as_default=False) as client:
            # Anybody may do these jobs, but as long as it lives the third worker is preferred.
            pool = client.get_executor(pure=False, workers=["doomed"], allow_other_workers=True)
            running = asyncio.get_running_loop()
            with worker(cluster, "doomed") as doomed:
                job = running.run_in_executor(pool, first_time_never, str(tmp_path), "the result")
                await until((tmp_path / f"first-{doomed.process.pid}").exists, 60)
                behind = [running.run_in_executor(pool, square, n) for n in range(20)]
                doomed.process.kill()
                assert await job == "the result"
                assert await asyncio.gather(*behind) == [n * n for n in range(20)]
                await asyncio.to_thread(pool.shutdown)
                return doomed.process.pid

    killed = finish(loop, run(), 90)
    (again,) = tmp_path.glob("again-*")
    assert again.name != f"again-{killed}"

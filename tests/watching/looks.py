"""What the tests of snapshots share: tasks that are left to wait, and looked at."""

import asyncio
import contextlib

from epicycle.watching.inside import snapshot


async def settle(turns=10):
    """Goes round the loop, so that what was started comes to wait."""
    for _ in range(turns):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def waiting(**coroutines):
    """Tasks by name, which have come to wait; ended at the end."""
    tasks = {name: asyncio.create_task(coroutine, name=name) for name, coroutine in coroutines.items()}
    await settle()
    try:
        yield tasks
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


def look(loop):
    """A snapshot, and its tasks by name."""
    taken = snapshot.take(loop)
    assert "error" not in taken, taken
    return taken, {task["name"]: task for task in taken["tasks"]["list"]}


async def waits_of(coroutine):
    """What a task that runs `coroutine` is said to wait for."""
    async with waiting(subject=coroutine):
        return look(asyncio.get_running_loop())[1]["subject"]["waits"]

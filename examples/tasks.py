"""Tasks at once, and how to wait for them: `gather`, `wait`, `as_completed`, `TaskGroup`, `timeout`.

Run it: `epicycle run examples/tasks.py`
"""

import asyncio
import sys


async def work(name: str, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return name


async def fail(message: str) -> None:
    await asyncio.sleep(0)
    raise ValueError(message)


async def forever(name: str) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        print(f"  {name} was cancelled")


async def show_gather() -> None:
    print("gather: results in the order given")
    print(" ", await asyncio.gather(work("slow", 0.03), work("quick", 0.01), work("medium", 0.02)))
    results = await asyncio.gather(work("good", 0), fail("bad luck"), return_exceptions=True)
    print(" ", results)


async def show_wait() -> None:
    print("wait: what is done when the time is up, and what is not")
    tasks = [
        asyncio.create_task(work("quick", 0), name="quick"),
        asyncio.create_task(forever("endless"), name="endless"),
    ]
    done, pending = await asyncio.wait(tasks, timeout=0.2)
    print("  done:", [task.get_name() for task in done], "pending:", [task.get_name() for task in pending])
    for task in pending:
        task.cancel()
    await asyncio.wait(pending)


async def show_as_completed() -> None:
    print("as_completed: results in the order they come")
    gate = asyncio.Event()

    async def second() -> str:
        await gate.wait()
        return "second"

    async def first() -> str:
        asyncio.get_running_loop().call_soon(gate.set)
        return "first"

    print(" ", [await each for each in asyncio.as_completed([second(), first()])])


async def show_task_group() -> None:
    print("TaskGroup: all together, or none")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(name, 0.01)) for name in ("one", "two", "three")]
    print(" ", [task.result() for task in tasks])
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(forever("sibling"))
            group.create_task(fail("one failed"))
    except* ValueError as failures:
        print("  caught", failures.exceptions)


async def show_timeout() -> None:
    print("timeout: a limit round any piece of code")
    try:
        async with asyncio.timeout(0.02):
            await forever("late")
    except TimeoutError:
        print("  too late")
    async with asyncio.timeout(None) as limit:
        limit.reschedule(asyncio.get_running_loop().time() + 60)
        print("  in time:", await work("soon", 0.01), "expired:", limit.expired())


async def show_shield() -> None:
    print("shield: the waiter is cancelled, the work is not")
    inner = asyncio.create_task(work("finished all the same", 0.05))
    try:
        await asyncio.wait_for(asyncio.shield(inner), timeout=0.001)
    except TimeoutError:
        print("  waiter gave up")
    print(" ", await inner)


async def main() -> None:
    print("loop:", type(asyncio.get_running_loop()))
    for show in (show_gather, show_wait, show_as_completed, show_task_group, show_timeout, show_shield):
        await show()
    print("tasks left:", len(asyncio.all_tasks()) - 1)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)

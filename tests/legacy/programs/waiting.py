"""Coroutines given to wait, and the loop passed to everything."""

import asyncio


@asyncio.coroutine
def factorial(name, number, loop):
    value = 1
    for i in range(2, number + 1):
        yield from asyncio.sleep(0.001, loop=loop)
        value *= i
    print("Task %s: factorial(%s) = %s" % (name, number, value))
    return value


async def slow(loop):
    await asyncio.sleep(3600, loop=loop)


def values(futures):
    return sorted(future.result() for future in futures)


async def each(loop):
    seen = []
    for future in asyncio.as_completed([factorial("f", 2, loop), factorial("g", 3, loop)], loop=loop):
        seen.append(await future)
    return sorted(seen)


async def timed_out(loop):
    try:
        await asyncio.wait_for(slow(loop), 0.001, loop=loop)
    except asyncio.TimeoutError:
        return "timed out"


async def some(loop):
    quick = asyncio.ensure_future(asyncio.sleep(0, "quick", loop=loop), loop=loop)
    done, pending = await asyncio.wait([slow(loop), quick], loop=loop, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return len(done), len(pending), done == {quick}


loop = asyncio.get_event_loop()
run = loop.run_until_complete
done, pending = run(asyncio.wait([factorial("A", 2, loop)]))
print(values(done), pending)
done, pending = run(asyncio.wait({factorial("B", 3, loop), factorial("B", 3, loop)}, loop=loop, timeout=5))
print(values(done), pending)
print(run(asyncio.gather(factorial("C", 4, loop), loop=loop)))
print(run(asyncio.gather(loop=loop)))
print(run(asyncio.shield(factorial("D", 3, loop), loop=loop)))
print(run(asyncio.wait_for(factorial("E", 3, loop), 5, loop=loop)))
print(run(timed_out(loop)))
print(run(each(loop)))
print(run(some(loop)))
loop.close()

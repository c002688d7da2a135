"""A loop that is never the current one, passed to everything by hand."""

import asyncio

loop = asyncio.new_event_loop()
asyncio.set_event_loop(None)
run = loop.run_until_complete


async def value(x):
    return x


print(run(asyncio.gather(value(1), value(2), loop=loop)))
print(run(asyncio.gather(loop=loop)))
print(run(asyncio.shield(value(3), loop=loop)))
lock = asyncio.Lock(loop=loop)
queue = asyncio.Queue(2, loop=loop)


async def use():
    async with lock:
        await queue.put("item")
    return await queue.get()


print(run(use()))
try:
    asyncio.get_event_loop()
except RuntimeError:
    print("no current loop")
loop.close()

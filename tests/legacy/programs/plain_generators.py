"""Generators without the decorator were coroutines too."""

import asyncio


def countdown(future, count):
    while count:
        count -= 1
        yield
    yield from future
    print("waited for", future.result())


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
future = loop.create_future()
loop.call_later(0.001, future.set_result, "it")
task = loop.create_task(countdown(future, 3))
loop.run_until_complete(task)
loop.run_until_complete(asyncio.wait_for(countdown(future, 2), 5))
done, pending = loop.run_until_complete(asyncio.wait([asyncio.ensure_future(countdown(future, 1))]))
print(len(done), len(pending))
loop.close()

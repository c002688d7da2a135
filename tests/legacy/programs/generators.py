"""Coroutines as they were written before 'async def'."""

import asyncio


@asyncio.coroutine
def compute(x, y):
    yield
    yield from asyncio.sleep(0.001)
    return x + y


@asyncio.coroutine
def print_sum(x, y):
    result = yield from compute(x, y)
    print("%s + %s = %s" % (x, y, result))
    return result


@asyncio.coroutine
def no_yield(value):
    return value


@asyncio.coroutine
def returns_a_coroutine(value):
    return compute(value, 1)


@asyncio.coroutine
def from_future(loop):
    future = asyncio.Future(loop=loop)
    loop.call_soon(future.set_result, "from a future")
    return (yield from future)


async def native():
    return "native"


@asyncio.coroutine
def mixed():
    return (yield from native())


async def awaits_a_generator():
    return await print_sum(10, 20)


@asyncio.coroutine
def fails():
    yield from asyncio.sleep(0)
    raise ValueError("from a generator")


@asyncio.coroutine
def cancelled():
    try:
        yield from asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("cancelled")
        raise


@asyncio.coroutine
def cancels(loop):
    task = asyncio.Task(cancelled(), loop=loop)
    yield from asyncio.sleep(0)
    task.cancel()
    try:
        yield from task
    except asyncio.CancelledError:
        print("and seen so:", task.cancelled())


class Session:
    @asyncio.coroutine
    def login(self, name):
        yield from asyncio.sleep(0)
        return "hello " + name


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
run = loop.run_until_complete
print(run(print_sum(1, 2)))
print(run(no_yield("plain")))
print(run(returns_a_coroutine(4)))
print(run(from_future(loop)))
print(run(mixed()))
print(run(awaits_a_generator()))
print(run(Session().login("world")))
task = loop.create_task(print_sum(3, 4))
print(isinstance(task, asyncio.Task), run(task))
task = asyncio.Task(print_sum(5, 6), loop=loop)
print(isinstance(task, asyncio.Future), run(task))
task = asyncio.ensure_future(print_sum(7, 8), loop=loop)
print(run(task))
print(run(getattr(asyncio, "async", asyncio.ensure_future)(no_yield("async"))))
print(run(asyncio.gather(compute(1, 1), native(), compute(2, 2))))
try:
    run(fails())
except ValueError as error:
    print("ValueError:", error)
run(cancels(loop))
print(run(asyncio.wait_for(compute(20, 22), 5)))
try:
    run(asyncio.wait_for(cancelled(), 0.001))
except asyncio.TimeoutError:
    print("timed out")
print(asyncio.iscoroutinefunction(compute), asyncio.iscoroutinefunction(Session().login))
print(asyncio.iscoroutine(run), asyncio.iscoroutinefunction(print))
loop.close()

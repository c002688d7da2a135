"""Locks and queues that are given a loop, held with 'with (yield from lock)'."""

import asyncio

loop = asyncio.get_event_loop()
order = []


class Job(asyncio.PriorityQueue):
    def __init__(self, maxsize=0, *, loop=None):
        super().__init__(maxsize, loop=loop)
        self.label = "jobs"


@asyncio.coroutine
def hold(name, lock):
    with (yield from lock):
        order.append(name + " in")
        yield from asyncio.sleep(0.001)
        order.append(name + " out")


async def hold_natively(name, lock):
    async with lock:
        order.append(name + " in")
        order.append(name + " out")


@asyncio.coroutine
def consumer(condition, event):
    with (yield from condition):
        yield from condition.wait()
        order.append("notified")
    event.set()


@asyncio.coroutine
def producer(condition, event):
    yield from asyncio.sleep(0.001)
    with (yield from condition):
        condition.notify_all()
    yield from event.wait()
    order.append("event")


@asyncio.coroutine
def queues():
    for kind in (asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue, Job):
        queue = kind(loop=loop)
        for item in (2, 3, 1):
            yield from queue.put(item)
        items = []
        while not queue.empty():
            items.append((yield from queue.get()))
            queue.task_done()
        yield from queue.join()
        print(kind.__name__, items)


lock = asyncio.Lock(loop=loop)
semaphore = asyncio.Semaphore(1, loop=loop)
bounded = asyncio.BoundedSemaphore(value=1, loop=loop)
condition = asyncio.Condition(loop=loop)
event = asyncio.Event(loop=loop)
for one in (lock, semaphore, bounded):
    loop.run_until_complete(asyncio.gather(hold("a", one), hold("b", one), hold_natively("c", one)))
    # Who is first differs; that nobody is let in before the other is out does not.
    print(one.locked(), [step.split()[1] for step in order], len(set(order)))
    del order[:]
loop.run_until_complete(asyncio.gather(consumer(condition, event), producer(condition, event)))
loop.run_until_complete(queues())
print(order)
loop.close()

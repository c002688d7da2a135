"""The current task and all tasks, asked of the class."""

import asyncio


@asyncio.coroutine
def sleeper():
    yield from asyncio.sleep(3600)


@asyncio.coroutine
def main(loop):
    me = asyncio.Task.current_task()
    print(
        isinstance(me, asyncio.Task), me in asyncio.Task.all_tasks(), len(asyncio.Task.all_tasks(loop=loop))
    )
    print(asyncio.Task.current_task(loop=loop) is me)


class Named(asyncio.Task):
    pass


loop = asyncio.get_event_loop()
sleeping = asyncio.ensure_future(sleeper())
named = Named(sleeper(), loop=loop)
loop.run_until_complete(main(loop))
print(asyncio.Task.current_task(loop=loop))
pending = [task for task in asyncio.Task.all_tasks() if not task.done()]
for task in pending:
    task.cancel()
print(loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True)) != [], len(pending))
print(type(named) is Named, isinstance(named, asyncio.Task), issubclass(Named, asyncio.Future))
print(
    isinstance(sleeping, asyncio.Task),
    isinstance(1, asyncio.Task),
    isinstance(loop.create_future(), asyncio.Task),
)
loop.close()

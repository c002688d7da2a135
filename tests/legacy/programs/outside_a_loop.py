"""Everything made before the loop runs, without naming it."""

import asyncio
import threading

future = asyncio.Future()
queue = asyncio.Queue()
task = asyncio.ensure_future(queue.get())
both = asyncio.gather(future, task)
loop = asyncio.get_event_loop()
print(future._loop is loop, task._loop is loop, loop is asyncio.get_event_loop())
loop.call_soon(future.set_result, "future")
loop.call_soon(queue.put_nowait, "item")
print(loop.run_until_complete(both))


def elsewhere():
    try:
        asyncio.get_event_loop()
    except RuntimeError as error:
        print("in another thread:", type(error).__name__)


thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
loop.close()

"""A child process, with a watcher and with the loop passed along."""

import asyncio
import sys


@asyncio.coroutine
def output(loop):
    process = yield from asyncio.create_subprocess_exec(
        sys.executable, "-c", "print('from the child')", stdout=asyncio.subprocess.PIPE, loop=loop
    )
    text, _ = yield from process.communicate()
    return process.returncode, text


loop = asyncio.get_event_loop()
watcher = asyncio.get_child_watcher()
watcher.attach_loop(loop)
print(loop.run_until_complete(output(loop)))
loop.close()

"""Work for other processes, in a module that every start method can import."""

import asyncio
import hashlib
import os
import time

import epicycle


def digest(number):
    """Some arithmetic that keeps a processor busy for a moment."""
    return hashlib.pbkdf2_hmac("sha256", str(number).encode(), b"salt", 2000).hex()


def in_process():
    return os.getpid()


def fail(text):
    raise ValueError(text)


def wait_for_file(path, begun):
    """Say which process is at it in the file `begun`, then wait for the file at `path`."""
    part = begun.with_suffix(".part")
    part.write_text(str(os.getpid()))
    part.rename(begun)
    while not path.exists():
        time.sleep(0.01)


def own_loop(loop_name):
    """Run a coroutine on a new loop of this process."""
    factory = {"asyncio": asyncio.SelectorEventLoop, "epicycle": epicycle.EventLoop}[loop_name]

    async def main():
        await asyncio.sleep(0)
        return await asyncio.to_thread(os.getpid)

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main()) == os.getpid()

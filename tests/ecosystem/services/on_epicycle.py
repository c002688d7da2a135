"""Coroutine tests run on Epicycle: a conftest.py imports the hook, and its folder's tests are `async def`."""

import asyncio
import gc
import inspect
import logging

import pytest

import epicycle
from toolkit import new_descriptors, open_descriptors, pending_tasks

SECONDS = 90.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run a coroutine test on a new Epicycle loop; it must leave no task, descriptor or unhandled error."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    gc.collect()
    before = open_descriptors()
    reported = run_on_epicycle(test(**arguments))
    gc.collect()
    assert not reported, f"reported to the exception handler: {reported}"
    assert not pending_tasks(), "tasks left pending"
    assert not new_descriptors(before), "descriptors left open"
    return True


def run_on_epicycle(test):
    """Run to its end; return what the loop's exception handler was told."""
    reported = []

    async def body():
        loop = asyncio.get_running_loop()
        assert type(loop) is epicycle.EventLoop, loop
        loop.set_exception_handler(lambda loop, context: reported.append(context))
        async with asyncio.timeout(SECONDS):
            await test

    logging.getLogger("asyncio").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=epicycle.new_event_loop) as runner:
        runner.run(body())
    return reported


async def until(condition, patience=60.0):
    """Ask `condition()`, a coroutine function, until it is true; a service's state has no other way to be told."""
    async with asyncio.timeout(patience):
        while not await condition():
            await asyncio.sleep(0.01)

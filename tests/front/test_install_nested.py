"""``install(nested=True)``: asyncio's own functions where a loop is running."""

from __future__ import annotations

import sys

import pytest

PRELUDE = """
import asyncio, asyncio.runners, sys
import epicycle

async def inner(value):
    await asyncio.sleep(0)
    return value, type(asyncio.get_running_loop()).__name__
"""


@pytest.fixture
def tell(process):
    """Run a piece of code after PRELUDE and return the lines it prints."""

    def tell(code: str) -> list[str]:
        return process(PRELUDE + code).splitlines()

    return tell


def test_asyncio_run_may_be_called_while_a_loop_runs(tell):
    code = """
epicycle.install(nested=True)

async def outer():
    loop = asyncio.get_running_loop()
    print(asyncio.run(inner("by run")))
    print(asyncio.get_event_loop().run_until_complete(inner("by the loop")))
    print(asyncio.new_event_loop is not None and asyncio.get_running_loop() is loop)

asyncio.run(outer())
"""
    assert tell(code) == ["('by run', 'NestedEventLoop')", "('by the loop', 'NestedEventLoop')", "True"]


def test_a_new_loop_may_be_run_while_another_runs(tell):
    code = """
epicycle.install(nested=True)

async def outer():
    loop = asyncio.new_event_loop()
    print(loop.run_until_complete(inner("new")))
    loop.close()

asyncio.run(outer())
"""
    assert tell(code) == ["('new', 'NestedEventLoop')"]


def test_it_may_be_installed_where_asyncios_loop_is_running(tell):
    """As in a notebook whose kernel knows nothing of Epicycle."""
    code = """
async def cell():
    epicycle.install(nested=True)
    me = asyncio.current_task()
    print(asyncio.run(inner("cell")))
    print(asyncio.current_task() is me, type(asyncio.get_running_loop()).__name__)

with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
    runner.run(cell())
"""
    assert tell(code) == ["('cell', 'NestedEventLoop')", "True _UnixSelectorEventLoop"]


def test_a_loop_factory_makes_a_loop_beside_the_running_one(tell):
    code = """
async def outer():
    print(epicycle.run(inner("other"), loop_factory=asyncio.SelectorEventLoop, nested=True))
    print(epicycle.run(inner("same")))

epicycle.run(outer(), nested=True)
"""
    assert tell(code) == ["('other', '_UnixSelectorEventLoop')", "('same', 'NestedEventLoop')"]


def test_uninstall_puts_asyncios_functions_back(tell):
    code = """
before = asyncio.run, asyncio.runners.run
epicycle.install(nested=True)
print((asyncio.run, asyncio.runners.run) == before, asyncio.run.__name__, asyncio.run.__module__)
epicycle.uninstall()
print((asyncio.run, asyncio.runners.run) == before, epicycle.installed())

async def outer():
    coroutine = inner(1)
    try:
        asyncio.run(coroutine)
    except RuntimeError as error:
        print(error)
    coroutine.close()

asyncio.run(outer())
"""
    assert tell(code) == [
        "False run asyncio.runners",
        "True False",
        "asyncio.run() cannot be called from a running event loop",
    ]


def test_a_plain_installation_changes_nothing_of_that(tell):
    code = """
before = asyncio.run, asyncio.runners.run
epicycle.install()
print((asyncio.run, asyncio.runners.run) == before)

async def outer():
    coroutine = inner(1)
    for run in (asyncio.run, asyncio.get_running_loop().run_until_complete):
        try:
            run(coroutine)
        except RuntimeError as error:
            print(error)
    coroutine.close()

asyncio.run(outer())
"""
    assert tell(code) == [
        "True",
        "asyncio.run() cannot be called from a running event loop",
        "This event loop is already running",
    ]


def test_it_can_be_added_to_an_installation_and_is_not_lost(tell):
    code = """
epicycle.install()
print(asyncio.run(inner(1)))
epicycle.install(nested=True)
print(asyncio.run(inner(2)))
epicycle.install()
print(asyncio.run(inner(3)))
run = asyncio.run
epicycle.install(nested=True)
print(asyncio.run is run)
epicycle.uninstall()
print(asyncio.run(inner(4)), asyncio.run is not run)
"""
    assert tell(code) == [
        "(1, 'EventLoop')",
        "(2, 'NestedEventLoop')",
        "(3, 'NestedEventLoop')",
        "True",
        "(4, '_UnixSelectorEventLoop') True",
    ]


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="asyncio has no policies any more")
def test_adding_it_keeps_the_current_loop(tell):
    code = """
epicycle.install()
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
epicycle.install(nested=True)
print(asyncio.get_event_loop() is loop)
loop.close()
"""
    assert tell(code) == ["True"]


def test_threads_have_runs_of_their_own(tell):
    code = """
epicycle.install(nested=True)

def blocking(value):
    return asyncio.run(inner(value))

async def outer():
    print(await asyncio.gather(*[asyncio.to_thread(blocking, number) for number in range(3)]))
    return asyncio.run(inner("here"))

print(asyncio.run(outer()))
"""
    kind = "NestedEventLoop"
    assert tell(code) == [f"[(0, '{kind}'), (1, '{kind}'), (2, '{kind}')]", f"('here', '{kind}')"]

"""``epicycle.run`` is ``asyncio.run`` on an Epicycle loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading

import pytest

import epicycle


async def kind_of_loop():
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop())


def test_runs_on_our_loop_and_returns_the_result():
    assert epicycle.run(kind_of_loop()) is epicycle.EventLoop


def test_takes_what_asyncio_run_takes():
    ours = inspect.signature(epicycle.run).parameters
    theirs = inspect.signature(asyncio.run).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for name in theirs:
        assert (ours[name].kind, ours[name].default) == (theirs[name].kind, theirs[name].default)


@pytest.mark.parametrize("debug", [True, False])
def test_debug(debug):
    async def main():
        return asyncio.get_running_loop().get_debug()

    assert epicycle.run(main(), debug=debug) is debug


def test_loop_factory_makes_the_loop():
    made = []

    def factory():
        made.append(epicycle.new_event_loop())
        return made[-1]

    async def main():
        return asyncio.get_running_loop()

    assert epicycle.run(main(), loop_factory=factory) is made[0]
    assert made[0].is_closed()


def test_exception_passes():
    async def main():
        raise LookupError("out")

    with pytest.raises(LookupError, match="out"):
        epicycle.run(main())


def test_refuses_a_running_loop():
    async def main():
        coroutine = kind_of_loop()
        try:
            with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
                epicycle.run(coroutine)
        finally:
            coroutine.close()

    epicycle.run(main())


@pytest.mark.parametrize("wrong", [None, 1, print, kind_of_loop])
def test_refuses_what_is_no_coroutine(wrong):
    with pytest.raises((TypeError, ValueError)) as ours:
        epicycle.run(wrong)
    with pytest.raises((TypeError, ValueError)) as theirs:
        asyncio.run(wrong)
    assert (ours.type, str(ours.value)) == (theirs.type, str(theirs.value))


def test_cleans_up():
    seen = []

    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("task")

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            seen.append("generator")

    async def main():
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        generator = numbers()
        await anext(generator)
        return asyncio.get_running_loop(), task, generator

    loop, task, _ = epicycle.run(main())
    assert loop.is_closed()
    assert task.cancelled()
    assert seen == ["task", "generator"]


def test_sees_the_callers_context():
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("set outside")

    async def main():
        seen = variable.get()
        variable.set("set inside")
        return seen

    assert epicycle.run(main()) == "set outside"
    assert variable.get() == "set outside"


def test_runs_in_many_threads_at_once():
    barrier = threading.Barrier(8)
    kinds = []

    def work():
        barrier.wait()
        kinds.append(epicycle.run(kind_of_loop()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds == [epicycle.EventLoop] * 8


def test_leaves_the_policy_alone(process):
    code = """
        import asyncio, epicycle
        async def main(): pass
        before = asyncio.events._event_loop_policy
        epicycle.run(main())
        print(before is None, asyncio.events._event_loop_policy is before, epicycle.installed())
    """
    if sys.version_info >= (3, 16):
        pytest.skip("no policies")
    assert process(code) == "True True False\n"

"""Async generators: closed when dropped or when the loop is told to, with hooks given back afterwards."""

import asyncio
import gc
import sys
import warnings

import pytest

from toolkit import finish, turn


async def count(log, fail=False):
    try:
        for number in range(100):
            yield number
    finally:
        await asyncio.sleep(0)
        log.append("closed")
        if fail:
            raise LookupError("while closing")


def test_hooks_are_set_while_running_and_given_back(loop):
    def firstiter(generator):
        pass

    outside = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=firstiter)
    try:
        seen = []
        loop.call_soon(lambda: seen.append(sys.get_asyncgen_hooks()))
        turn(loop)
        assert sys.get_asyncgen_hooks().firstiter is firstiter
        assert seen[0].firstiter not in (None, firstiter) and seen[0].finalizer is not None
    finally:
        sys.set_asyncgen_hooks(*outside)


def test_a_dropped_generator_is_closed(loop):
    log = []

    async def drop():
        generator = count(log)
        assert await anext(generator) == 0
        del generator
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)

    finish(loop, drop())
    assert log == ["closed"]


def test_shutdown_closes_those_that_are_left(loop):
    log = []
    kept = []

    async def start():
        for _ in range(3):
            generator = count(log)
            kept.append(generator)
            await anext(generator)

    finish(loop, start())
    assert log == []
    finish(loop, loop.shutdown_asyncgens())
    assert log == ["closed"] * 3
    finish(loop, loop.shutdown_asyncgens())


def test_an_error_while_closing_is_reported(loop, errors):
    log = []
    generator = count(log, fail=True)

    async def start():
        await anext(generator)

    finish(loop, start())
    finish(loop, loop.shutdown_asyncgens())
    (context,) = errors
    assert context["message"] == f"an error occurred during closing of asynchronous generator {generator!r}"
    assert context["asyncgen"] is generator
    assert isinstance(context["exception"], LookupError)


def test_one_started_after_the_shutdown_warns(loop):
    generator = count([])

    async def start():
        await loop.shutdown_asyncgens()
        await anext(generator)
        await generator.aclose()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        finish(loop, start())
    texts = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
    assert texts == [
        f"asynchronous generator {generator!r} was scheduled after loop.shutdown_asyncgens() call"
    ]


def test_one_finished_needs_no_closing(loop):
    log = []

    async def whole():
        assert [number async for number in count(log)] == list(range(100))

    finish(loop, whole())
    finish(loop, loop.shutdown_asyncgens())
    assert log == ["closed"]


def test_cancelling_the_shutdown_leaves_no_task(loop):
    async def stubborn():
        try:
            yield 1
        finally:
            await asyncio.sleep(3600)

    generator = stubborn()

    async def main():
        await anext(generator)
        task = loop.create_task(loop.shutdown_asyncgens())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    finish(loop, main())
    assert asyncio.all_tasks(loop) == set()

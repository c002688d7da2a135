"""A spawn that is cancelled or fails half way leaves no child, no descriptor and no zombie."""

import asyncio
import os
import threading

import pytest
from children import Watcher, children

from toolkit import finish, open_descriptors, until


async def nothing_remains(before):
    await until(lambda: not children())
    await until(lambda: open_descriptors() == before)
    await until(lambda: len(asyncio.all_tasks()) == 1)


@pytest.mark.parametrize("turns", range(6))
def test_cancelled_at_every_point(loop, turns):
    async def main():
        before = open_descriptors()
        task = asyncio.ensure_future(loop.subprocess_exec(Watcher, "cat"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            transport, _ = await task
        except asyncio.CancelledError:
            pass
        else:
            transport.close()
            await until(lambda: transport._loop is None)
        await nothing_remains(before)

    finish(loop, main())


@pytest.mark.epicycle_only
@pytest.mark.parametrize("turns", range(1, 5))
def test_cancelled_again_while_it_waits_for_the_end(loop, turns):
    async def main():
        before = open_descriptors()
        task = asyncio.ensure_future(loop.subprocess_exec(Watcher, "cat"))
        await asyncio.sleep(0)
        task.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await nothing_remains(before)

    finish(loop, main())


@pytest.mark.epicycle_only
@pytest.mark.parametrize("method", ["connect_write_pipe", "connect_read_pipe"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_pipe_that_cannot_be_connected(loop, monkeypatch, method, after):
    connect = getattr(loop, method)
    calls = []

    async def failing(factory, pipe):
        calls.append(pipe)
        if len(calls) > after:
            raise OSError("no more")
        return await connect(factory, pipe)

    monkeypatch.setattr(loop, method, failing)

    async def main():
        before = open_descriptors()
        protocol = Watcher()
        command = loop.subprocess_exec(lambda: protocol, "cat")
        if method == "connect_write_pipe" and after:
            transport, _ = await command
            transport.close()
            await until(lambda: transport._loop is None)
        else:
            with pytest.raises(OSError, match="no more"):
                await command
            assert not protocol.events
        await nothing_remains(before)

    finish(loop, main())


@pytest.mark.epicycle_only
def test_a_child_that_cannot_be_watched(loop, monkeypatch):
    def failing(*args):
        raise OSError("no descriptor")

    def failing_too(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(os, "pidfd_open", failing)
    monkeypatch.setattr(threading.Thread, "start", failing_too)

    async def main():
        before = open_descriptors()
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await loop.subprocess_exec(Watcher, "cat")
        await nothing_remains(before)

    finish(loop, main())


def test_cancelled_many_times_with_descriptors_used_again(loop):
    async def main():
        before = open_descriptors()

        async def spawn():
            transport, protocol = await loop.subprocess_exec(Watcher, "cat")
            try:
                transport.get_pipe_transport(0).write(str(transport.get_pid()).encode())
                transport.get_pipe_transport(0).write_eof()
                await until(lambda: protocol.is_lost)
                assert int(protocol.data[1]) == transport.get_pid()
            finally:
                transport.close()

        for round_ in range(20):
            tasks = [asyncio.ensure_future(spawn()) for _ in range(6)]
            for _ in range(round_ % 5):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert outcomes[1::2] == [None] * 3
            assert {type(outcome) for outcome in outcomes[::2]} <= {asyncio.CancelledError, type(None)}
        await nothing_remains(before)

    finish(loop, main(), timeout=60)


# Older asyncio waits for ever here.
@pytest.mark.epicycle_only
def test_asyncio_run_cancels_what_is_being_started(loop_factory):
    async def main():
        task = asyncio.ensure_future(asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1))
        await asyncio.sleep(0)
        assert not task.done()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())

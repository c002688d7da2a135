"""Children are reaped by the loop that started them: in any thread, many at once, whatever SIGCHLD does."""

import asyncio
import errno
import os
import signal
import subprocess
import threading

import pytest
from children import Watcher, python

from toolkit import FACTORIES, finish, join_all, parked_thread, until


async def run_one(number):
    process = await asyncio.create_subprocess_shell(f"cat; exit {number}", stdin=-1, stdout=-1)
    output, _ = await process.communicate(b"data")
    assert (output, process.returncode) == (b"data", number)
    await until(lambda: process._transport._loop is None)
    process._transport.close()


def test_a_loop_in_a_thread_has_children(loop_factory):
    def body():
        loop = loop_factory()
        try:
            finish(loop, run_one(3))
        finally:
            loop.close()

    join_all(parked_thread(body))


def test_loops_in_several_threads_have_children_at_once(loop_factory):
    barrier = threading.Barrier(3)

    def body():
        loop = loop_factory()

        async def main():
            barrier.wait(10)
            await asyncio.gather(*map(run_one, range(10)))

        try:
            finish(loop, main(), timeout=30)
        finally:
            loop.close()

    join_all(*[parked_thread(body) for _ in range(3)], timeout=60)


@pytest.mark.epicycle_only
def test_loops_one_after_the_other_and_beside_asyncios(loop_name):
    for name in ("epicycle", "asyncio", "epicycle"):
        loop = FACTORIES[name]()
        try:
            finish(loop, run_one(1))
        finally:
            loop.close()


def test_a_storm_of_exits(loop):
    """All of them at the same moment: they wait for one descriptor to close."""

    async def main():
        read_end, write_end = os.pipe()
        processes = [
            await asyncio.create_subprocess_exec(
                "sh", "-c", f"read nothing; exit {number % 7}", stdin=read_end, pass_fds=()
            )
            for number in range(80)
        ]
        os.close(read_end)
        waiting = asyncio.gather(*[process.wait() for process in processes])
        os.close(write_end)
        assert await waiting == [number % 7 for number in range(80)]
        for process in processes:
            process._transport.close()

    finish(loop, main(), timeout=60)


def test_children_of_others_are_left_to_them(loop):
    async def main():
        stranger = subprocess.Popen(["sh", "-c", "exit 9"])
        await run_one(2)
        assert stranger.wait() == 9

    finish(loop, main())


def test_a_handler_of_sigchld_is_left_alone(loop):
    seen = []
    before = signal.signal(signal.SIGCHLD, lambda number, frame: seen.append(number))
    try:
        finish(loop, run_one(2))
        assert signal.getsignal(signal.SIGCHLD) is not before
        assert set(seen) == {signal.SIGCHLD}
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_ignored_exits_still_give_a_return_code(loop, ignored_sigchld, caplog):
    async def main():
        transport, protocol = await loop.subprocess_exec(Watcher, "cat")
        transport.get_pipe_transport(0).close()
        await until(lambda: protocol.is_lost)
        assert transport.get_returncode() == 255
        transport.close()
        return transport.get_pid()

    pid = finish(loop, main())
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert f"child process pid {pid}" in record.getMessage()
    assert "will report returncode 255" in record.getMessage()


@pytest.mark.epicycle_only
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EMFILE, errno.EPERM])
def test_without_a_pidfd_a_thread_waits(loop, monkeypatch, number):
    def refused(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", refused)
    threads = set()

    async def main():
        transport, protocol = await loop.subprocess_shell(Watcher, "read nothing; exit 6", stderr=None)
        threads.update(thread.name for thread in threading.enumerate())
        transport.get_pipe_transport(0).close()
        await until(lambda: protocol.is_lost)
        assert transport.get_returncode() == 6
        transport.close()
        assert f"waitpid-{transport.get_pid()}" in threads
        await asyncio.gather(*map(run_one, range(5)))

    finish(loop, main())


@pytest.mark.epicycle_only
def test_a_pidfd_that_cannot_be_watched_is_closed_and_a_thread_waits(loop, monkeypatch):
    def refused(*args):
        raise OSError(errno.ENOSPC, "no more watches")

    monkeypatch.setattr(loop, "_add_reader", refused)
    finish(loop, run_one(4))


@pytest.mark.epicycle_only
def test_the_thread_reaps_when_the_loop_is_closed(loop_factory, monkeypatch, caplog):
    monkeypatch.delattr(os, "pidfd_open")
    loop = loop_factory()
    read_end, write_end = os.pipe()

    async def main():
        return await loop.subprocess_exec(Watcher, "cat", stdin=read_end, stdout=None, stderr=None)

    try:
        transport, _ = finish(loop, main())
        os.close(read_end)
        loop.close()
    finally:
        os.close(write_end)
    [thread] = [thread for thread in threading.enumerate() if thread.name == f"waitpid-{transport.get_pid()}"]
    thread.join(10)
    assert not thread.is_alive()
    assert "that handles pid" in caplog.text
    transport.close()


@pytest.mark.epicycle_only
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_loop_that_closes_lets_go_of_running_children(loop_factory):
    loop = loop_factory()

    async def main():
        return await loop.subprocess_exec(Watcher, "sleep", "1000", stdin=None, stdout=None, stderr=None)

    transport, _ = finish(loop, main())
    loop.close()
    assert not loop._children
    process = transport.get_extra_info("subprocess")
    transport.close()
    assert process.wait() == -signal.SIGKILL


def test_the_exit_is_told_once_even_if_the_child_is_stopped_and_continued(loop):
    async def main():
        code = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); os._exit(8)"
        transport, protocol = await loop.subprocess_exec(Watcher, *python(code), stdin=None)
        os.waitid(os.P_PID, transport.get_pid(), os.WSTOPPED | os.WNOWAIT)
        transport.send_signal(signal.SIGCONT)
        await until(lambda: protocol.is_lost)
        assert transport.get_returncode() == 8
        assert protocol.events.count("exited") == 1
        transport.close()

    finish(loop, main())

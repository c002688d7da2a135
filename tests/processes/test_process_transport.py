"""The process transport and what its protocol is told."""

import asyncio
import contextlib
import gc
import os
import signal
import subprocess

import pytest
from children import Watcher, python

from toolkit import finish, until


def test_callbacks_come_in_asyncios_order(loop):
    async def main():
        code = "import sys; sys.stdin.read(); sys.stdout.write('out'); sys.stderr.write('err')"
        transport, protocol = await loop.subprocess_exec(Watcher, *python(code))
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert protocol.events == ["made"]
        assert protocol.transport is transport
        assert transport.get_pid() == transport.get_extra_info("subprocess").pid
        assert transport.get_returncode() is None
        assert transport.get_protocol() is protocol
        assert not transport.is_closing()
        transport.get_pipe_transport(0).write_eof()
        await until(lambda: protocol.is_lost)
        assert protocol.data == {1: b"out", 2: b"err"}
        assert protocol.lost_pipes == {0: None, 1: None, 2: None}
        assert protocol.lost is None
        assert transport.get_returncode() == 0
        assert sorted(map(str, protocol.events)) == sorted(
            map(
                str,
                ["made", ("data", 1), ("data", 2)]
                + [("pipe lost", fd) for fd in (0, 1, 2)]
                + ["exited", "lost"],
            )
        )
        assert protocol.events[0] == "made"
        assert protocol.events[-1] == "lost"
        for fd in (1, 2):
            assert protocol.events.index(("data", fd)) < protocol.events.index(("pipe lost", fd))
        transport.close()

    finish(loop, main())


def test_pipe_transports_are_those_of_the_options(loop):
    async def main():
        transport, protocol = await loop.subprocess_exec(
            Watcher, "true", stdin=None, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert transport.get_pipe_transport(0) is None
        assert transport.get_pipe_transport(1) is None
        assert isinstance(transport.get_pipe_transport(2), asyncio.ReadTransport)
        await until(lambda: protocol.is_lost)
        assert set(protocol.lost_pipes) == {2}
        transport.close()

    finish(loop, main())


def test_a_shell_command_with_its_error_output_in_the_same_pipe(loop):
    async def main():
        transport, protocol = await loop.subprocess_shell(
            Watcher, "printf a; printf b >&2; exit 7", stdin=None, stderr=subprocess.STDOUT
        )
        await until(lambda: protocol.is_lost)
        assert protocol.data[1] == b"ab"
        assert transport.get_returncode() == 7
        transport.close()

    finish(loop, main())


@pytest.mark.parametrize("how", ["terminate", "kill", "send_signal"])
def test_signals_reach_the_child(loop, how):
    async def main():
        transport, protocol = await loop.subprocess_exec(Watcher, "cat")
        if how == "send_signal":
            transport.send_signal(signal.SIGHUP)
        else:
            getattr(transport, how)()
        await until(lambda: protocol.is_lost)
        expected = {"terminate": signal.SIGTERM, "kill": signal.SIGKILL, "send_signal": signal.SIGHUP}
        assert transport.get_returncode() == -expected[how]
        with pytest.raises(ProcessLookupError):
            transport.send_signal(signal.SIGTERM)
        with pytest.raises(ProcessLookupError):
            transport.terminate()
        with pytest.raises(ProcessLookupError):
            transport.kill()
        transport.close()

    finish(loop, main())


def test_a_signal_to_a_child_that_has_exited_goes_nowhere(loop):
    async def main():
        # A grandchild holds the pipe open, so the transport is not finished when the child is.
        transport, protocol = await loop.subprocess_shell(Watcher, "cat <&3 3<&- & exit 5", **grandchild)
        await until(lambda: transport.get_returncode() is not None)
        assert not protocol.is_lost
        transport.send_signal(signal.SIGTERM)
        transport.terminate()
        transport.kill()
        os.close(write_end)
        await until(lambda: protocol.is_lost)
        assert transport.get_returncode() == 5
        assert protocol.events[-2:] == [("pipe lost", 1), "lost"]
        transport.close()

    read_end, write_end = os.pipe()
    grandchild = {"stdin": None, "stderr": None, "preexec_fn": lambda: os.dup2(read_end, 3), "pass_fds": (3,)}
    try:
        finish(loop, main())
    finally:
        os.close(read_end)


def test_closing_kills_the_child(loop):
    async def main():
        transport, protocol = await loop.subprocess_exec(Watcher, "cat")
        pid = transport.get_pid()
        transport.close()
        assert transport.is_closing()
        transport.close()
        await until(lambda: protocol.is_lost)
        assert transport.get_returncode() == -signal.SIGKILL
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    finish(loop, main())


def test_closing_after_the_exit_keeps_the_return_code(loop):
    async def main():
        transport, protocol = await loop.subprocess_shell(Watcher, "exit 4")
        # Dead, but the loop has not turned since.  A thread of asyncio's may have reaped it before us.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
        transport.close()
        await until(lambda: protocol.is_lost)
        assert "exited" in protocol.events

    finish(loop, main())


@pytest.mark.epicycle_only
def test_a_child_reaped_by_its_popen_object_keeps_its_return_code(loop, caplog):
    async def main():
        transport, protocol = await loop.subprocess_shell(Watcher, "exit 4")
        assert transport.get_extra_info("subprocess").wait() == 4
        await until(lambda: protocol.is_lost)
        assert transport.get_returncode() == 4
        transport.close()

    finish(loop, main())
    assert not caplog.records


def test_waiting_gives_the_return_code_more_than_once(loop):
    async def main():
        transport, protocol = await loop.subprocess_shell(Watcher, "exit 3")
        assert await asyncio.gather(transport._wait(), transport._wait()) == [3, 3]
        await until(lambda: protocol.is_lost)
        assert await transport._wait() == 3
        transport.close()

    finish(loop, main())


def test_an_abandoned_transport_warns_and_kills_the_child(loop):
    async def main():
        transport, protocol = await loop.subprocess_exec(Watcher, "sleep", "1000", stdin=None)
        transport.__del__()
        await until(lambda: protocol.is_lost)
        assert transport.get_returncode() == -signal.SIGKILL

    with pytest.warns(ResourceWarning, match="unclosed transport <"):
        finish(loop, main())


@pytest.mark.epicycle_only
def test_a_transport_of_a_closed_loop_goes_away_quietly(loop_factory, recwarn):
    loop = loop_factory()

    async def main():
        transport, protocol = await loop.subprocess_shell(Watcher, "cat", stdout=None, stderr=None)
        protocol.transport = None
        return transport

    transport = finish(loop, main())
    process = transport.get_extra_info("subprocess")
    loop.close()
    del transport
    gc.collect()
    assert process.wait() == -signal.SIGKILL
    # The transport's and its pipe's.
    assert {str(warning.message).partition(" <")[0] for warning in recwarn} == {"unclosed transport"}


def test_repr_tells_pid_and_state(loop):
    async def main():
        transport, protocol = await loop.subprocess_exec(Watcher, "cat")
        pid = transport.get_pid()
        assert f"pid={pid} running stdin=<" in repr(transport)
        transport.kill()
        await until(lambda: protocol.is_lost)
        assert "returncode=-9" in repr(transport)
        transport.close()
        assert f" closed pid={pid}" in repr(transport)

    finish(loop, main())


def test_debug_mode_logs_the_program_but_not_its_arguments(loop, caplog):
    loop.set_debug(True)

    async def main():
        with caplog.at_level("DEBUG", "asyncio"):
            transport, protocol = await loop.subprocess_exec(Watcher, "echo", "secret", stdin=None)
            await until(lambda: protocol.is_lost)
            transport.close()
        text = caplog.text
        assert "execute program 'echo' stdout=<pipe> stderr=<pipe>" in text
        assert "process 'echo' created: pid" in text
        assert "exited with return code 0" in text
        assert "secret" not in text

    finish(loop, main())

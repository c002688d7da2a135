"""Child processes: subprocess_exec and subprocess_shell.

Children are started by the standard `subprocess.Popen`, so every option of it works, and its pipes are real ones.

A child is reaped by the loop that started it, in that loop's thread, as soon as it has exited: a pidfd among the loop's
descriptors tells of that; where none can be had, a thread waits for the child without reaping it.  So no handler of
SIGCHLD is involved, loops in other threads do not matter, and a process number cannot pass to a stranger between the
reaping and a signal sent through the transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
import threading
from asyncio import base_subprocess
from asyncio.log import logger
from collections.abc import Callable
from typing import Any

from epicycle.loop._part import Part


class ProcessTransport(base_subprocess.BaseSubprocessTransport):
    """A child process: an `asyncio.SubprocessTransport`.

    What a protocol is told, and when, is left to asyncio's own class, which is not quite the same in every version.
    """

    _closed: bool
    _loop: Any
    _pending_calls: Any
    _pipes: dict[int, Any]
    _proc: subprocess.Popen[bytes] | None
    _protocol: Any

    def _start(
        self, args: Any, shell: bool, stdin: Any, stdout: Any, stderr: Any, bufsize: int, **options: Any
    ) -> None:
        self._proc = subprocess.Popen(
            args,
            shell=shell,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            universal_newlines=False,
            bufsize=bufsize,
            **options,
        )

    async def _connect_pipes(self, waiter: asyncio.Future[None] | None) -> None:
        """Makes the transports of the child's pipes, then begins to call the protocol."""
        try:
            await self._connect_each_pipe()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._give_up_pipes()
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)
            return
        self._loop.call_soon(self._protocol.connection_made, self)
        self._release_calls()
        if self._closed:
            # Whoever closed the transport meanwhile did not see every pipe.
            for pipe in self._pipes.values():
                pipe.pipe.close()
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _connect_each_pipe(self) -> None:
        proc, loop = self._proc, self._loop
        assert proc is not None
        if proc.stdin is not None:
            factory: Any = functools.partial(base_subprocess.WriteSubprocessPipeProto, self, 0)
            _, self._pipes[0] = await loop.connect_write_pipe(factory, proc.stdin)
        for fd, file in ((1, proc.stdout), (2, proc.stderr)):
            if file is not None:
                factory = functools.partial(base_subprocess.ReadSubprocessPipeProto, self, fd)
                _, self._pipes[fd] = await loop.connect_read_pipe(factory, file)

    def _give_up_pipes(self) -> None:
        """A pipe could not be connected.  The protocol never hears of this child."""
        proc = self._proc
        assert proc is not None
        self._protocol = asyncio.SubprocessProtocol()
        self._release_calls()
        for fd, file in enumerate((proc.stdin, proc.stdout, proc.stderr)):
            pipe = self._pipes.get(fd)
            if pipe is not None:
                pipe.pipe.close()
            elif file is not None:
                self._pipes.pop(fd, None)
                file.close()

    def _release_calls(self) -> None:
        calls, self._pending_calls = self._pending_calls, None
        for callback, data in calls:
            self._loop.call_soon(callback, *data)

    def send_signal(self, signal: int) -> None:
        """Sends a signal, unless the child has exited.  Raises ProcessLookupError once the transport is finished."""
        self._check_proc()
        assert self._proc is not None
        # Until the child is reaped, its number is its own.
        if self._proc.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._proc.pid, signal)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Closes the pipes, and kills the child if it still runs.  Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            for pipe in self._pipes.values():
                if pipe is not None:
                    pipe.pipe.close()
        proc = self._proc
        if proc is None or not self._is_running():
            return
        if self._loop.get_debug():
            logger.warning("Close running child process: kill %r", self)
        # One that runs as somebody else may not be killed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            proc.kill()

    def _is_running(self) -> bool:
        """Whether the child has not exited yet; it is not reaped by being asked."""
        proc = self._proc
        if proc is None or proc.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, proc.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def _reap(self) -> int:
        """The return code of a child that has exited, which is a zombie no longer."""
        proc = self._proc
        assert proc is not None
        try:
            _, status = os.waitpid(proc.pid, 0)
        except ChildProcessError:
            if proc.returncode is None:
                # SIGCHLD is ignored, or somebody waits for every child.
                logger.warning("Unknown child process pid %d, will report returncode 255", proc.pid)
                proc.returncode = 255
        else:
            proc.returncode = os.waitstatus_to_exitcode(status)
        return proc.returncode


class Processes(Part):
    """subprocess_exec, subprocess_shell."""

    def _start_processes(self) -> None:
        # Running children by their pidfd.
        self._children: dict[int, ProcessTransport] = {}

    def _close_processes(self) -> None:
        for pidfd, transport in list(self._children.items()):
            self._forget_child(pidfd)
            if transport._proc is not None:
                # One that was killed may be dead by now.
                transport._proc.poll()

    async def subprocess_exec(
        self,
        protocol_factory: Callable[[], Any],
        program: Any,
        *args: Any,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = False,
        bufsize: int = 0,
        encoding: str | None = None,
        errors: str | None = None,
        text: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Runs a program and returns (transport, protocol); other options are those of `subprocess.Popen`.

        Raises ValueError for options of text mode, and what `subprocess.Popen` raises.
        """
        _refuse_text(universal_newlines, bufsize, encoding, errors, text, shell_fits=not shell, shell=False)
        what = f"execute program {program!r}"
        command = (program, *args)
        return await self._subprocess(
            protocol_factory, what, command, False, stdin, stdout, stderr, bufsize, kwargs
        )

    async def subprocess_shell(
        self,
        protocol_factory: Callable[[], Any],
        cmd: str | bytes,
        *,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = True,
        bufsize: int = 0,
        encoding: str | None = None,
        errors: str | None = None,
        text: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Runs a shell command and returns (transport, protocol); the rest is as with `subprocess_exec`."""
        if not isinstance(cmd, bytes | str):
            raise ValueError("cmd must be a string")
        _refuse_text(universal_newlines, bufsize, encoding, errors, text, shell_fits=shell, shell=True)
        what = f"run shell command {cmd!r}"
        return await self._subprocess(
            protocol_factory, what, cmd, True, stdin, stdout, stderr, bufsize, kwargs
        )

    async def _subprocess(
        self,
        protocol_factory: Callable[[], Any],
        what: str,
        command: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        options: dict[str, Any],
    ) -> tuple[Any, Any]:
        protocol = protocol_factory()
        debug = self.get_debug()
        if debug:
            # Not the arguments: there may be many, and passwords among them.
            logger.debug(_described(what, stdin, stdout, stderr))
        transport = await self._make_subprocess_transport(
            protocol, command, shell, stdin, stdout, stderr, bufsize, **options
        )
        if debug:
            logger.info("%s: %r", what, transport)
        return transport, protocol

    async def _make_subprocess_transport(
        self,
        protocol: Any,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: Any = None,
        **kwargs: Any,
    ) -> ProcessTransport:
        # Before there is a child that nobody would watch.
        self._check_closed()
        waiter: asyncio.Future[None] = self.create_future()
        transport = ProcessTransport(
            self, protocol, args, shell, stdin, stdout, stderr, bufsize, waiter=waiter, extra=extra, **kwargs
        )
        try:
            self._watch_child(transport)
        except BaseException:
            transport.close()
            transport._reap()
            raise
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await asyncio.shield(transport._wait())
            raise
        return transport

    # ---- reaping ----

    def _watch_child(self, transport: ProcessTransport) -> None:
        pid = transport.get_pid()
        assert pid is not None
        pidfd = -1
        try:
            pidfd = os.pidfd_open(pid)
            self._add_reader(pidfd, self._child_exited, pidfd)
        except (AttributeError, OSError):
            # An old kernel, no descriptor left, or a child that is gone already.
            if pidfd >= 0:
                os.close(pidfd)
            name = f"waitpid-{pid}"
            threading.Thread(target=self._await_child, args=(transport, pid), name=name, daemon=True).start()
        else:
            self._children[pidfd] = transport

    def _forget_child(self, pidfd: int) -> ProcessTransport:
        transport = self._children.pop(pidfd)
        self.remove_reader(pidfd)
        os.close(pidfd)
        return transport

    def _child_exited(self, pidfd: int) -> None:
        self._reap_child(self._forget_child(pidfd))

    def _reap_child(self, transport: ProcessTransport) -> None:
        # A turn later, as asyncio: what the child has written last may come first.
        self.call_soon(transport._process_exited, transport._reap())

    def _await_child(self, transport: ProcessTransport, pid: int) -> None:
        """In a thread of its own: waits until the child has exited, and leaves it to the loop to reap it."""
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        try:
            self.call_soon_threadsafe(self._reap_child, transport)
        except RuntimeError:
            if not self.is_closed():
                raise
            logger.warning("Loop %r that handles pid %r is closed", self, pid)
            transport._reap()


def _refuse_text(
    universal_newlines: Any,
    bufsize: int,
    encoding: str | None,
    errors: str | None,
    text: Any,
    *,
    shell_fits: Any,
    shell: bool,
) -> None:
    """Refuses what the pipes' transports cannot do.  Raises ValueError, worded as asyncio words it."""
    if universal_newlines:
        raise ValueError("universal_newlines must be False")
    if not shell_fits:
        raise ValueError(f"shell must be {shell}")
    if bufsize != 0:
        raise ValueError("bufsize must be 0")
    if text:
        raise ValueError("text must be False")
    if encoding is not None:
        raise ValueError("encoding must be None")
    if errors is not None:
        raise ValueError("errors must be None")


def _described(what: str, stdin: Any, stdout: Any, stderr: Any) -> str:
    """A line for the debug log."""
    parts = [what]
    if stdin is not None:
        parts.append(f"stdin={_file(stdin)}")
    if stdout is not None and stderr == subprocess.STDOUT:
        parts.append(f"stdout=stderr={_file(stdout)}")
    else:
        parts += [
            f"{name}={_file(file)}"
            for name, file in (("stdout", stdout), ("stderr", stderr))
            if file is not None
        ]
    return " ".join(parts)


def _file(file: Any) -> str:
    names = {subprocess.PIPE: "<pipe>", subprocess.STDOUT: "<stdout>"}
    return names.get(file, repr(file)) if isinstance(file, int) else repr(file)

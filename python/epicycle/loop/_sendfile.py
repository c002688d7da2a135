"""sendfile and sock_sendfile: by the kernel where it can, by reading and writing where it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import socket
import stat
import sys
from asyncio import constants, exceptions
from collections.abc import Awaitable, Callable
from typing import Any

from epicycle.loop._part import Part
from epicycle.loop._sockets import refuse_ssl

# Newer versions put the file's position where the sending ended even if nothing was sent.
_ALWAYS_SEEKS = sys.version_info >= (3, 14)

# What the kernel is asked to copy at once, in bytes: a size on every system.
_LARGEST_BLOCK = sys.maxsize // 2 + 1


class SendingFiles(Part):
    """sendfile, sock_sendfile."""

    async def sendfile(
        self, transport: Any, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool = True
    ) -> int:
        """Sends `count` bytes of a file, or all from `offset` on, and returns how many were sent.

        The file is open in binary mode; afterwards its position is where the sending ended.  Raises
        SendfileNotAvailableError where the kernel cannot do it and `fallback` is false, RuntimeError for a transport
        that is closing or unfit, ConnectionError when the connection ends meanwhile.
        """
        if transport.is_closing():
            raise RuntimeError("Transport is closing")
        mode = getattr(transport, "_sendfile_compatible", constants._SendfileMode.UNSUPPORTED)
        if mode is constants._SendfileMode.UNSUPPORTED:
            raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
        if mode is constants._SendfileMode.TRY_NATIVE:
            try:
                return await self._sendfile_native(transport, file, offset, count)
            except exceptions.SendfileNotAvailableError:
                if not fallback:
                    raise
        if not fallback:
            raise RuntimeError(
                f"fallback is disabled and native sendfile is not supported for transport {transport!r}"
            )
        return await self._sendfile_fallback(transport, file, offset, count)

    async def _sendfile_native(self, transp: Any, file: Any, offset: int, count: int | None) -> int:
        """By the kernel, past the transport's queue: once that is empty, and with reading paused."""
        sock = transp.get_extra_info("socket")
        waiter = transp._make_empty_waiter()
        try:
            resumes = transp.is_reading()
            transp.pause_reading()
            try:
                await waiter
                check_sendfile(sock, file, offset, count)
                if transp.is_closing():
                    raise ConnectionError("Connection is closed by peer")
                return await _pump(sock, file, offset, count, transp._make_room_waiter)
            finally:
                if resumes:
                    transp.resume_reading()
        finally:
            transp._reset_empty_waiter()

    async def _sendfile_fallback(self, transp: Any, file: Any, offset: int, count: int | None) -> int:
        stand_in = _StandIn(self, transp)

        async def write(data: memoryview) -> None:
            transp.write(data)
            await stand_in.drain()

        try:
            return await self._read_and_write(file, offset, count, write)
        finally:
            stand_in.restore()

    async def sock_sendfile(
        self,
        sock: socket.socket,
        file: Any,
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool | None = True,
    ) -> int:
        """The same on a plain non-blocking stream socket."""
        self._check_socket(sock)
        check_sendfile(sock, file, offset, count)
        try:
            return await self._sock_sendfile_native(sock, file, offset, count)
        except exceptions.SendfileNotAvailableError:
            if not fallback:
                raise
        return await self._sock_sendfile_fallback(sock, file, offset, count)

    async def _sock_sendfile_native(
        self, sock: socket.socket, file: Any, offset: int, count: int | None
    ) -> int:
        refuse_ssl(sock)
        return await _pump(sock, file, offset, count, functools.partial(self._room, sock))

    async def _room(self, sock: socket.socket) -> None:
        """Waits until the socket can be written to."""
        done = self.create_future()
        fd = sock.fileno()
        handle = self._add_writer(fd, _set_done, done)
        done.add_done_callback(functools.partial(self._stop_writing, fd, handle))
        await done

    async def _sock_sendfile_fallback(
        self, sock: socket.socket, file: Any, offset: int, count: int | None
    ) -> int:
        return await self._read_and_write(file, offset, count, functools.partial(self.sock_sendall, sock))

    async def _read_and_write(
        self, file: Any, offset: int, count: int | None, write: Callable[[memoryview], Awaitable[None]]
    ) -> int:
        """Copies a file in blocks.  Files may block, so they are read in the executor."""
        seekable = is_seekable(file)
        if seekable or offset:
            file.seek(offset)
        block = constants.SENDFILE_FALLBACK_READBUFFER_SIZE
        buffer = memoryview(bytearray(min(count, block) if count else block))
        sent = 0
        try:
            while not count or sent < count:
                room = buffer[: count - sent] if count else buffer
                read = await self.run_in_executor(None, file.readinto, room)
                if not read:
                    break
                await write(room[:read])
                sent += read
            return sent
        finally:
            if sent > 0 and seekable:
                file.seek(offset + sent)


def _set_done(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def is_seekable(file: Any) -> bool:
    """Whether the file has a position that can be set."""
    return hasattr(file, "seek") and (not hasattr(file, "seekable") or bool(file.seekable()))


def check_sendfile(sock: Any, file: Any, offset: Any, count: Any) -> None:
    """Refuses what cannot be sent.  Raises ValueError and TypeError."""
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")
    if sock.type != socket.SOCK_STREAM:
        raise ValueError("only SOCK_STREAM type sockets are supported")
    if count is not None:
        if not isinstance(count, int):
            raise TypeError(f"count must be a positive integer (got {count!r})")
        if count <= 0:
            raise ValueError(f"count must be a positive integer (got {count!r})")
    if not isinstance(offset, int):
        raise TypeError(f"offset must be a non-negative integer (got {offset!r})")
    if offset < 0:
        raise ValueError(f"offset must be a non-negative integer (got {offset!r})")


async def _pump(
    sock: Any, file: Any, offset: int, count: int | None, room: Callable[[], Awaitable[None]]
) -> int:
    """Has the kernel copy from file to socket, waiting with `room` between two calls.

    Raises SendfileNotAvailableError when it will not do so for this file or this socket.
    """
    if not hasattr(os, "sendfile"):
        raise exceptions.SendfileNotAvailableError("os.sendfile() is not available")
    try:
        status = os.fstat(file.fileno())
    except (AttributeError, OSError):
        # Also what `io` raises for a file that has no descriptor.
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise exceptions.SendfileNotAvailableError("not a regular file")
    size = status.st_size
    if not (count or size):
        return 0
    sent = 0
    waited = False
    try:
        while True:
            block = min(count - sent if count else size, _LARGEST_BLOCK)
            try:
                # Asked for again each time: what was closed meanwhile may have left its number to something else.
                taken = os.sendfile(sock.fileno(), file.fileno(), offset + sent, block)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                if sent == 0:
                    raise exceptions.SendfileNotAvailableError("os.sendfile call failed") from error
                if waited and error.errno == errno.ENOTCONN:
                    # Closed in the middle: the same error on every system.
                    raise ConnectionError("socket is not connected", errno.ENOTCONN) from error
                raise
            else:
                sent += taken
                if taken == 0 or sent == count:
                    return sent
            await room()
            waited = True
    finally:
        if sent > 0 or _ALWAYS_SEEKS:
            # What is closed, or no file, has no position.
            with contextlib.suppress(OSError, ValueError):
                os.lseek(file.fileno(), offset + sent, os.SEEK_SET)


class _StandIn(asyncio.Protocol):
    """The transport's protocol while a file is copied by hand: nothing is read, and drain() waits for room."""

    def __init__(self, loop: Any, transport: Any) -> None:
        if not hasattr(transport, "_protocol_paused"):
            raise TypeError("transport should be _FlowControlMixin instance")
        self._loop = loop
        self._transport = transport
        self._protocol = transport.get_protocol()
        self._was_reading = transport.is_reading()
        self._was_paused = transport._protocol_paused
        transport.pause_reading()
        transport.set_protocol(self)
        self._room: asyncio.Future[None] | None = loop.create_future() if self._was_paused else None

    async def drain(self) -> None:
        """Waits until the transport wants more.  Raises ConnectionError once it is closing."""
        if self._transport.is_closing():
            raise ConnectionError("Connection closed by peer")
        if self._room is not None:
            await self._room

    def restore(self) -> None:
        """Puts the protocol back, and tells it if it may write now and could not before, or the other way round."""
        self._transport.set_protocol(self._protocol)
        if self._was_reading:
            self._transport.resume_reading()
        if self._room is not None and not self._room.cancel() and not self._room.cancelled():
            # Nobody waits for it any more; what it says has been said by connection_lost().
            self._room.exception()
        paused = self._transport._protocol_paused
        if self._was_paused and not paused:
            self._protocol.resume_writing()
        elif paused and not self._was_paused:
            self._protocol.pause_writing()

    def connection_made(self, transport: Any) -> None:
        raise RuntimeError("Invalid state: connection should have been established already.")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._room is not None and not self._room.done():
            # A connection that ends before the file does is an error, even without one.
            self._room.set_exception(exc or ConnectionError("Connection is closed by peer"))
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    def data_received(self, data: bytes) -> None:
        raise RuntimeError("Invalid state: reading should be paused")

    def eof_received(self) -> None:
        raise RuntimeError("Invalid state: reading should be paused")

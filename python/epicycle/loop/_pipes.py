"""connect_read_pipe and connect_write_pipe."""

from __future__ import annotations

import asyncio
import os
import stat
from asyncio.log import logger
from collections.abc import Callable
from typing import Any

from epicycle.loop._part import Part


class Pipes(Part):
    """Transports for the ends of pipes, for terminals and for sockets used as such."""

    async def connect_read_pipe(self, protocol_factory: Callable[[], Any], pipe: Any) -> tuple[Any, Any]:
        """Reads a pipe, a socket or a character device into a protocol.  Returns (transport, protocol).

        `pipe` is a file object; it is set not to block, and the transport closes it.  Raises ValueError for a file of
        another kind, OSError for one that is closed.
        """
        protocol = protocol_factory()
        waiter: asyncio.Future[None] = self.create_future()
        transport = self._make_read_pipe_transport(pipe, protocol, waiter)
        await _made(transport, waiter)
        if self.get_debug():
            logger.debug("Read pipe %r connected: (%r, %r)", pipe.fileno(), transport, protocol)
        return transport, protocol

    async def connect_write_pipe(self, protocol_factory: Callable[[], Any], pipe: Any) -> tuple[Any, Any]:
        """Writes to a pipe, a socket or a character device.  Returns (transport, protocol).

        Files and errors as with `connect_read_pipe`.  When the last reader of a pipe has gone, the transport closes.
        """
        protocol = protocol_factory()
        waiter: asyncio.Future[None] = self.create_future()
        transport = self._make_write_pipe_transport(pipe, protocol, waiter)
        await _made(transport, waiter)
        if self.get_debug():
            logger.debug("Write pipe %r connected: (%r, %r)", pipe.fileno(), transport, protocol)
        return transport, protocol

    def _make_read_pipe_transport(
        self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None
    ) -> Any:
        fd = pipe.fileno()
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)):
            raise ValueError("Pipe transport is for pipes/sockets only.")
        os.set_blocking(fd, False)
        return self._open_read_pipe(pipe, fd, protocol, waiter, extra)

    def _make_write_pipe_transport(
        self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None
    ) -> Any:
        fd = pipe.fileno()
        mode = os.fstat(fd).st_mode
        # A terminal is readable for its own sake, not because nobody listens any more.
        notices = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        if not (notices or stat.S_ISCHR(mode)):
            raise ValueError("Pipe transport is only for pipes, sockets and character devices")
        os.set_blocking(fd, False)
        return self._open_write_pipe(pipe, fd, notices, protocol, waiter, extra)


async def _made(transport: Any, waiter: asyncio.Future[None]) -> None:
    """Waits until `connection_made` has been called."""
    try:
        await waiter
    except BaseException:
        transport.close()
        raise

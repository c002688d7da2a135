"""The low-level socket calls: a non-blocking socket of the user's, awaited."""

from __future__ import annotations

import _socket
import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

from epicycle import _epicycle
from epicycle.loop._part import Part

# The one of the compiled part, whatever a program has put in its place.
_CONNECT = _socket.socket.connect
# What Python raises BlockingIOError and InterruptedError for.
_ON_ITS_WAY = frozenset({errno.EINPROGRESS, errno.EAGAIN, errno.EALREADY, errno.EINTR})


def refuse_ssl(sock: socket.socket) -> None:
    """The loop cannot work with a socket that does TLS by itself."""
    if isinstance(sock, ssl.SSLSocket):
        raise TypeError("Socket cannot be of type SSLSocket")


class Sockets(Part):
    """sock_recv, sock_recv_into, sock_sendall, sock_connect, sock_accept."""

    def _check_socket(self, sock: socket.socket) -> None:
        if type(sock) is not socket.socket:
            refuse_ssl(sock)
        if self.get_debug() and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")

    async def _readable(self, sock: socket.socket, attempt: Callable[..., Any], *args: Any) -> Any:
        """What `attempt(*args)` returns once it does not block any more.  It looks up the socket's method each time."""
        try:
            return attempt(*args)
        except (BlockingIOError, InterruptedError):
            return await self._tried(sock, False, attempt, *args)

    async def _writable(self, sock: socket.socket, attempt: Callable[..., Any], *args: Any) -> Any:
        """The same for sending."""
        try:
            return attempt(*args)
        except (BlockingIOError, InterruptedError):
            return await self._tried(sock, True, attempt, *args)

    async def _tried(
        self, sock: socket.socket, writing: bool, attempt: Callable[..., Any], *args: Any
    ) -> Any:
        """What `attempt(*args)` returns, tried whenever the socket is ready.

        Until then the descriptor stays open even if the socket is closed.
        """
        tried = self._attempt(sock, writing, attempt, *args)
        try:
            return await tried.future
        finally:
            tried.stop()
            # The exception's traceback would keep the future, and so the loop, alive.
            tried = None  # type: ignore[assignment]

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """Receives up to `n` bytes; empty when the peer has ended its side."""
        # Awaited here and not in a method that both share: that would be one more coroutine for each call.
        tried = self._receive(sock, n)
        if not isinstance(tried, _epicycle.Attempt):
            return tried
        try:
            return await tried.future
        finally:
            tried.stop()
            del tried

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        """Receives into `buf`; the number of bytes."""
        tried = self._receive_into(sock, buf)
        if not isinstance(tried, _epicycle.Attempt):
            return tried
        try:
            return await tried.future
        finally:
            tried.stop()
            del tried

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """Accepts a connection: its socket, non-blocking, and the peer's address."""
        self._check_socket(sock)
        accepted: tuple[socket.socket, Any] = await self._readable(sock, _accept, sock)
        return accepted

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        """Sends all of `data`."""
        sent = self._send(sock, data)
        if sent is None:
            return
        rest = memoryview(data).cast("B")[sent:]
        if not rest:
            return
        await self._tried(sock, True, _send_more, sock, [rest])

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connects to `address`; a host name is looked up."""
        self._check_socket(sock)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            found = await self._resolve(address, family=sock.family, type=sock.type, proto=sock.proto)
            address = found[0][4]
        await self._connect(sock, address)

    async def _connect(self, sock: socket.socket, address: Any) -> None:
        """The same to an address that needs no look-up."""
        if getattr(type(sock), "connect", None) is _CONNECT and sock.gettimeout() == 0:
            # That the connection is on its way is told as a number, which costs less than an exception.
            number = sock.connect_ex(address)
            if number == 0:
                return
            if number not in _ON_ITS_WAY:
                raise OSError(number, os.strerror(number))
            # Between two programs on one machine it is there by now, and there is nothing to wait for.
            if number == errno.EINPROGRESS and self._is_connected(sock.fileno()):
                return
        else:
            try:
                sock.connect(address)
                return
            except (BlockingIOError, InterruptedError):
                pass
        await self._tried(sock, True, _check_connected, sock, address)

    def _stop_writing(self, fd: int, handle: asyncio.Handle, done: asyncio.Future[Any]) -> None:
        # A later writer of the same descriptor has cancelled our handle, and stays.
        if not handle.cancelled():
            self.remove_writer(fd)


def _send_more(sock: socket.socket, rest: list[memoryview]) -> None:
    rest[0] = rest[0][sock.send(rest[0]) :]
    if rest[0]:
        raise BlockingIOError


def _check_connected(sock: socket.socket, address: Any) -> None:
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number != 0:
        raise OSError(number, f"Connect call failed {address}")


def _accept(sock: socket.socket) -> tuple[socket.socket, Any]:
    connection, address = sock.accept()
    connection.setblocking(False)
    return connection, address

"""The low-level socket calls: a non-blocking socket of the user's, awaited."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from typing import Any

from epicycle.loop._part import Part


def refuse_ssl(sock: socket.socket) -> None:
    """The loop cannot work with a socket that does TLS by itself."""
    if isinstance(sock, ssl.SSLSocket):
        raise TypeError("Socket cannot be of type SSLSocket")


class Sockets(Part):
    """sock_recv, sock_recv_into, sock_sendall, sock_connect, sock_accept."""

    def _check_socket(self, sock: socket.socket) -> None:
        refuse_ssl(sock)
        if self.get_debug() and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")

    async def _readable(self, sock: socket.socket, attempt: Any) -> Any:
        """What `attempt` returns once it does not block any more."""
        try:
            return attempt()
        except (BlockingIOError, InterruptedError):
            pass
        done = self.create_future()
        fd = sock.fileno()
        handle = self._add_reader(fd, self._try_again, done, attempt)
        done.add_done_callback(functools.partial(self._stop_reading, fd, handle))
        return await done

    def _try_again(self, done: asyncio.Future[Any], attempt: Any) -> None:
        if done.done():
            return
        try:
            result = attempt()
        except (BlockingIOError, InterruptedError):
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(result)

    def _stop_reading(self, fd: int, handle: asyncio.Handle, done: asyncio.Future[Any]) -> None:
        # A later reader of the same descriptor has cancelled our handle, and stays.
        if not handle.cancelled():
            self.remove_reader(fd)

    def _stop_writing(self, fd: int, handle: asyncio.Handle, done: asyncio.Future[Any]) -> None:
        if not handle.cancelled():
            self.remove_writer(fd)

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """Receives up to `n` bytes; empty when the peer has ended its side."""
        self._check_socket(sock)
        data: bytes = await self._readable(sock, functools.partial(sock.recv, n))
        return data

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        """Receives into `buf`; the number of bytes."""
        self._check_socket(sock)
        count: int = await self._readable(sock, functools.partial(sock.recv_into, buf))
        return count

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """Accepts a connection: its socket, non-blocking, and the peer's address."""
        self._check_socket(sock)
        accepted: tuple[socket.socket, Any] = await self._readable(sock, functools.partial(_accept, sock))
        return accepted

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        """Sends all of `data`."""
        self._check_socket(sock)
        try:
            sent = sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        rest = memoryview(data).cast("B")[sent:]
        if not rest:
            return
        done = self.create_future()
        fd = sock.fileno()
        handle = self._add_writer(fd, self._send_more, done, sock, [rest])
        done.add_done_callback(functools.partial(self._stop_writing, fd, handle))
        await done

    def _send_more(self, done: asyncio.Future[None], sock: socket.socket, rest: list[memoryview]) -> None:
        if done.done():
            return
        try:
            sent = sock.send(rest[0])
        except (BlockingIOError, InterruptedError):
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            done.set_exception(error)
            return
        rest[0] = rest[0][sent:]
        if not rest[0]:
            done.set_result(None)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connects to `address`; a host name is looked up."""
        self._check_socket(sock)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            found = await self._resolve(address, family=sock.family, type=sock.type, proto=sock.proto)
            address = found[0][4]
        try:
            sock.connect(address)
            return
        except (BlockingIOError, InterruptedError):
            pass
        done = self.create_future()
        fd = sock.fileno()
        handle = self._add_writer(fd, self._connected, done, sock, address)
        done.add_done_callback(functools.partial(self._stop_writing, fd, handle))
        try:
            await done
        finally:
            # The exception's traceback would keep the future, and so the loop, alive.
            done = None  # type: ignore[assignment]

    def _connected(self, done: asyncio.Future[None], sock: socket.socket, address: Any) -> None:
        if done.done():
            return
        try:
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number != 0:
                raise OSError(number, f"Connect call failed {address}")
        except (BlockingIOError, InterruptedError):
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)


def _accept(sock: socket.socket) -> tuple[socket.socket, Any]:
    connection, address = sock.accept()
    connection.setblocking(False)
    return connection, address

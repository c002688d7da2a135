"""create_server and the `Server` it returns."""

from __future__ import annotations

import asyncio
import collections.abc
import errno
import itertools
import os
import socket
import sys
import weakref
from asyncio import trsock
from asyncio.log import logger
from collections.abc import Callable, Iterable
from typing import Any

from epicycle import _epicycle
from epicycle.loop._connecting import bind_failure
from epicycle.loop._names import AddressInfo
from epicycle.loop._part import Part
from epicycle.loop._sockets import refuse_ssl

# Newer versions pass over an address whose family is switched off, as long as another can be bound.
_SKIPS_UNAVAILABLE = sys.version_info >= (3, 13)


class Server(asyncio.Server):
    """A server and its listening sockets; see the asyncio documentation, "Server Objects".

    An `asyncio.Server` to `isinstance`; nothing of that class's own is used.
    """

    def __init__(
        self,
        loop: Any,
        sockets: list[socket.socket],
        protocol_factory: Callable[[], Any],
        backlog: int,
    ) -> None:
        self._loop = loop
        self._sockets: list[socket.socket] | None = sockets
        self._protocol_factory = protocol_factory
        self._backlog = backlog
        self._listeners: list[_epicycle.Listener] = []
        # Weak, so that a transport that everybody else has dropped can still be found abandoned.
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()
        self._waiters: list[asyncio.Future[None]] | None = []
        self._serving = False
        self._forever: asyncio.Future[None] | None = None
        # Path and inode of a Unix socket's file that is to go when the server closes.
        self._socket_file: tuple[str | bytes, int] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    # ---- connections come and go ----

    def _attach(self, transport: Any) -> None:
        self._clients.add(transport)

    def _detach(self, transport: Any) -> None:
        self._clients.discard(transport)
        self._tell_if_over()

    def _tell_if_over(self) -> None:
        """Everybody in `wait_closed` may go once the server is closed and the last connection has gone."""
        if self._sockets is not None or self._clients or self._waiters is None:
            return
        waiters, self._waiters = self._waiters, None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # ---- listening ----

    def _start_serving(self) -> None:
        if self._serving:
            return
        assert self._sockets is not None
        for sock in self._sockets:
            sock.listen(self._backlog)
            self._listeners.append(
                self._loop._start_listening(self._protocol_factory, sock, self, max(self._backlog, 0))
            )
        self._serving = True

    def get_loop(self) -> Any:
        """The loop that the server belongs to."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._serving

    @property
    def sockets(self) -> tuple[trsock.TransportSocket, ...]:  # type: ignore[override]
        """The listening sockets; empty once closed."""
        return tuple(trsock.TransportSocket(sock) for sock in self._sockets or ())

    async def start_serving(self) -> None:
        """Starts to accept; nothing happens if it does already."""
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._start_serving()
        await asyncio.sleep(0)

    def close(self) -> None:
        """Stops accepting and closes the listening sockets.  Connections go on."""
        sockets, self._sockets = self._sockets, None
        if sockets is None:
            return
        for listener in self._listeners:
            listener.stop()
        self._listeners.clear()
        for sock in sockets:
            sock.close()
        self._remove_socket_file()
        self._serving = False
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
            self._forever = None
        self._tell_if_over()

    def _give_up(self, *, keep_sockets: bool) -> None:
        """Closes a server that nobody has seen.  Sockets that were given, and refused, are left to their owner."""
        if keep_sockets:
            self._sockets = None
        else:
            self.close()

    def _remove_socket_file(self) -> None:
        """Removes the file of our Unix socket, unless somebody has put another one in its place."""
        file, self._socket_file = self._socket_file, None
        if file is None:
            return
        path, inode = file
        try:
            if os.stat(path).st_ino == inode:
                os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.error("Unable to clean up listening UNIX socket %r: %r", path, error)

    def close_clients(self) -> None:
        """Closes every connection, after what is queued has been sent."""
        for transport in self._clients.copy():
            transport.close()

    def abort_clients(self) -> None:
        """Closes every connection at once."""
        for transport in self._clients.copy():
            transport.abort()

    async def serve_forever(self) -> None:
        """Accepts until cancelled; then closes the server.  Raises RuntimeError when closed or called twice."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._start_serving()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            self.close()
            if sys.version_info >= (3, 14):
                # Or a client that stays would keep us here.
                self.close_clients()
            await self.wait_closed()
            raise
        finally:
            self._forever = None

    async def wait_closed(self) -> None:
        """Waits until the server is closed and its last connection gone.

        Python 3.11 returns at once when the server is closed, whatever its connections do; so does this there.
        """
        if self._waiters is None or (sys.version_info < (3, 12) and self._sockets is None):
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter


class Serving(Part):
    """create_server."""

    async def create_server(
        self,
        protocol_factory: Callable[[], Any],
        host: Any = None,
        port: Any = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Makes a TCP server (asyncio documentation, "Creating network servers").

        `host` may be a name, an address, a sequence of them, or empty for every interface.  Raises OSError for a
        port in use, ValueError and TypeError for options that do not fit together.
        """
        check_tls_options(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            refuse_ssl(sock)
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            if reuse_address is None:
                reuse_address = os.name == "posix" and sys.platform != "cygwin"
            found = await self._resolve_hosts(host, port, family, flags)
            sockets = self._bind_all(found, reuse_address, reuse_port, keep_alive)
        elif sock is None:
            raise ValueError("Neither host/port nor sock were specified")
        elif sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        else:
            sockets = [sock]
        for each in sockets:
            each.setblocking(False)
        factory = self._over_tls(protocol_factory, ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        server = Server(self, sockets, factory, backlog)
        if start_serving:
            try:
                server._start_serving()
                await asyncio.sleep(0)
            except BaseException:
                # Cancelled or refused: nobody will ever see this server.
                server._give_up(keep_sockets=host is None and port is None and not server.is_serving())
                raise
        if self.get_debug():
            logger.info("%r is serving", server)
        return server

    async def _resolve_hosts(self, host: Any, port: Any, family: int, flags: int) -> list[AddressInfo]:
        """The addresses to bind to, each once."""
        if host == "":
            hosts: Iterable[Any] = [None]
        elif isinstance(host, str) or not isinstance(host, collections.abc.Iterable):
            hosts = [host]
        else:
            hosts = host
        found = await asyncio.gather(*(self._resolve_host(each, port, family, flags) for each in hosts))
        return list(dict.fromkeys(itertools.chain.from_iterable(found)))

    async def _resolve_host(self, host: Any, port: Any, family: int, flags: int) -> list[AddressInfo]:
        found: list[AddressInfo] = await self._resolve(
            (host, port), family=family, type=socket.SOCK_STREAM, flags=flags
        )
        if not found:
            raise OSError(f"getaddrinfo({host!r}) returned empty list")
        return found

    def _bind_all(
        self,
        found: list[AddressInfo],
        reuse_address: bool,
        reuse_port: bool | None,
        keep_alive: bool | None,
    ) -> list[socket.socket]:
        """A bound socket for each address; all or none."""
        sockets: list[socket.socket] = []
        try:
            for family, kind, proto, _, address in found:
                try:
                    sock = socket.socket(family, kind, proto)
                except OSError:
                    # A family that this system does not have.
                    if self.get_debug():
                        logger.warning(
                            "create_server() failed to create socket.socket(%r, %r, %r)",
                            family,
                            kind,
                            proto,
                            exc_info=True,
                        )
                    continue
                sockets.append(sock)
                set_options(sock, family, reuse_address, reuse_port, keep_alive)
                try:
                    sock.bind(address)
                except OSError as error:
                    failure = bind_failure(address, error)
                    if error.errno != errno.EADDRNOTAVAIL or not _SKIPS_UNAVAILABLE:
                        raise failure from None
                    # The family is known but switched off.
                    sockets.pop().close()
                    if self.get_debug():
                        logger.warning(failure.strerror)
            if not sockets and _SKIPS_UNAVAILABLE:
                raise OSError(f"could not bind on any address out of {[info[4] for info in found]!r}")
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        return sockets


def set_options(
    sock: socket.socket, family: int, reuse_address: bool, reuse_port: bool | None, keep_alive: bool | None
) -> None:
    """Sets what a listening socket is asked to be.  Raises ValueError where the system cannot share ports."""
    if reuse_address:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
    if reuse_port:
        share_port(sock)
    if keep_alive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
    if family == socket.AF_INET6:
        # IPv4 has a socket of its own.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)


def share_port(sock: socket.socket) -> None:
    """SO_REUSEPORT.  Raises ValueError where there is none."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ValueError("reuse_port not supported by socket module")
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        raise ValueError(
            "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented."
        ) from None


def check_tls_options(
    ssl: Any, ssl_handshake_timeout: float | None, ssl_shutdown_timeout: float | None
) -> None:
    """Refuses what a server cannot do with `ssl`.  Raises TypeError and ValueError."""
    if isinstance(ssl, bool):
        raise TypeError("ssl argument must be an SSLContext or None")
    options = {"ssl_handshake_timeout": ssl_handshake_timeout, "ssl_shutdown_timeout": ssl_shutdown_timeout}
    for name, value in options.items():
        if value is not None and ssl is None:
            raise ValueError(f"{name} is only meaningful with ssl")

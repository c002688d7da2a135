"""Unix sockets, and connections that somebody else has accepted."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from asyncio.log import logger
from collections.abc import Callable
from typing import Any

from epicycle.loop._connecting import check_tls_options as check_client_tls
from epicycle.loop._datagrams import remove_stale
from epicycle.loop._part import Part
from epicycle.loop._serving import Server
from epicycle.loop._serving import check_tls_options as check_server_tls
from epicycle.loop._sockets import refuse_ssl

# Since then a server removes its socket's file when it closes.
_CLEANS_UP = sys.version_info >= (3, 13)


class UnixSockets(Part):
    """create_unix_connection, create_unix_server, connect_accepted_socket."""

    async def create_unix_connection(
        self,
        protocol_factory: Callable[[], Any],
        path: Any = None,
        *,
        ssl: Any = None,
        sock: socket.socket | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Any, Any]:
        """Connects to a Unix socket and returns (transport, protocol).

        Parameters and errors are asyncio's.  `path` is a `str`, `bytes` or path object; a leading NUL stands for an
        abstract name.
        """
        assert server_hostname is None or isinstance(server_hostname, str)
        if ssl and server_hostname is None:
            raise ValueError("you have to pass server_hostname when using ssl")
        check_client_tls(ssl, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            path = os.fspath(path)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await self.sock_connect(sock, path)
            except BaseException:
                sock.close()
                raise
        elif sock is None:
            raise ValueError("no path and sock were specified")
        else:
            _check_kind(sock)
        connected: tuple[Any, Any] = await self._connect_transport(
            sock,
            protocol_factory,
            ssl,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        return connected

    async def create_unix_server(
        self,
        protocol_factory: Callable[[], Any],
        path: Any = None,
        *,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool = _CLEANS_UP,
    ) -> Server:
        """Makes a server on a Unix socket (asyncio documentation, "Creating network servers").

        With `cleanup_socket` (the default from Python 3.13 on) the socket's file goes when the server closes, unless
        it is another one by then.  Raises OSError for a path in use, ValueError and TypeError for options that do
        not fit together.
        """
        check_server_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is not None and sock is not None:
            raise ValueError("path and sock can not be specified at the same time")
        if path is None and sock is None:
            raise ValueError("path was not specified, and no sock specified")
        if sock is not None:
            _check_kind(sock)
        factory = self._over_tls(protocol_factory, ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is None:
            sock = _bound(os.fspath(path))
        sock.setblocking(False)
        server = Server(self, [sock], factory, backlog)
        if cleanup_socket:
            server._socket_file = _file_of(sock)
        if start_serving:
            try:
                server._start_serving()
                await asyncio.sleep(0)
            except BaseException:
                # Cancelled or refused: nobody will ever see this server.
                server._give_up(keep_sockets=path is None and not server.is_serving())
                raise
        return server

    async def connect_accepted_socket(
        self,
        protocol_factory: Callable[[], Any],
        sock: socket.socket,
        *,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Any, Any]:
        """Transport and protocol for a connection that was accepted outside asyncio."""
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        check_client_tls(ssl, None, ssl_handshake_timeout, ssl_shutdown_timeout)
        refuse_ssl(sock)
        transport, protocol = await self._connect_transport(
            sock,
            protocol_factory,
            ssl,
            "",
            server_side=True,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        if self.get_debug():
            logger.debug("%r handled: (%r, %r)", transport.get_extra_info("socket"), transport, protocol)
        return transport, protocol


def _check_kind(sock: socket.socket) -> None:
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")


def _bound(path: str | bytes) -> socket.socket:
    """A socket bound to `path`, from which an earlier socket's file is removed."""
    remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            # The system does not say which address.
            raise OSError(errno.EADDRINUSE, f"Address {path!r} is already in use") from None
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def _file_of(sock: socket.socket) -> tuple[str | bytes, int] | None:
    """Path and inode of a socket's file; None for a socket without one."""
    path = sock.getsockname()
    if not path or path[0] in (0, "\0"):
        return None
    try:
        return path, os.stat(path).st_ino
    except FileNotFoundError:
        return None

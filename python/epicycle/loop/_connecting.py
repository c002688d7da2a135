"""create_connection: from a name to a transport."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import socket
import sys
from asyncio import staggered
from asyncio.log import logger
from collections.abc import Callable, Iterable
from typing import Any

from epicycle.loop._names import AddressInfo, known_address
from epicycle.loop._part import Part
from epicycle.loop._sockets import Sockets, refuse_ssl

# Newer versions tell the number of the error as well.
_TELLS_NUMBER = sys.version_info >= (3, 13)


class Connecting(Part):
    """create_connection."""

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: Any = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[Any, Any]:
        """Connects to a TCP server and returns (transport, protocol).

        Parameters and errors are asyncio's (asyncio documentation, "Opening network connections").  With
        `happy_eyeballs_delay` (seconds) several addresses are tried at once, as in RFC 8305.
        """
        if not ssl:
            check_tls_options(ssl, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
        elif server_hostname is None:
            # A certificate is for a name; without one there is nothing to compare it with.
            if not host:
                raise ValueError("You must set server_hostname when using ssl without a host")
            server_hostname = host
        if sock is not None:
            refuse_ssl(sock)
        if happy_eyeballs_delay is not None and interleave is None:
            interleave = 1

        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            options = {"family": family, "type": socket.SOCK_STREAM, "proto": proto, "flags": flags}
            known = known_address((host, port), family, socket.SOCK_STREAM, proto)
            remote = [known] if known is not None else await self._resolve_all((host, port), options)
            local = None if local_addr is None else await self._resolve_all(local_addr, options)
            if interleave:
                remote = interleaved(remote, interleave)
            sock = await self._connect_to_one_of(remote, local, happy_eyeballs_delay, all_errors)
        elif sock is None:
            raise ValueError("host and port was not specified and no sock specified")
        elif sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")

        transport, protocol = await self._connect_transport(
            sock,
            protocol_factory,
            ssl,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            made_here=host is not None or port is not None,
        )
        if self.get_debug():
            shown = transport.get_extra_info("socket")
            logger.debug("%r connected to %s:%r: (%r, %r)", shown, host, port, transport, protocol)
        return transport, protocol

    async def _resolve_all(self, address: Any, options: dict[str, int]) -> list[AddressInfo]:
        found: list[AddressInfo] = await self._resolve(address, **options)
        if not found:
            raise OSError("getaddrinfo() returned empty list")
        return found

    async def _connect_to_one_of(
        self,
        remote: list[AddressInfo],
        local: list[AddressInfo] | None,
        happy_eyeballs_delay: float | None,
        all_errors: bool,
    ) -> socket.socket:
        """A socket connected to the first address that answers."""
        failures: list[list[OSError]] = []
        connected: socket.socket | None = None
        try:
            if happy_eyeballs_delay is None:
                for info in remote:
                    try:
                        connected = await self._connect_to(failures, info, local)
                    except OSError:
                        continue
                    break
            else:
                attempts = (functools.partial(self._connect_to, failures, info, local) for info in remote)
                connected = await self._race(attempts, happy_eyeballs_delay)
            if connected is not None:
                return connected
            raise the_one([error for each in failures for error in each], all_errors)
        finally:
            # Exceptions keep their frames alive, and these the exceptions.
            failures.clear()

    async def _race(self, attempts: Iterable[Callable[[], Any]], delay: float) -> socket.socket | None:
        """The first attempt that succeeds; the sockets of the others are closed.

        Two attempts may succeed in the same turn; only one of them is returned, and the other would leak.
        """
        opened: list[socket.socket] = []

        async def remembered(attempt: Callable[[], Any]) -> socket.socket:
            sock: socket.socket = await attempt()
            opened.append(sock)
            return sock

        winner: socket.socket | None = None
        try:
            racers = [functools.partial(remembered, attempt) for attempt in attempts]
            winner = (await staggered.staggered_race(racers, delay, loop=self))[0]
        finally:
            for sock in opened:
                if sock is not winner:
                    sock.close()
        return winner

    async def _connect_to(
        self, failures: list[list[OSError]], info: AddressInfo, local: list[AddressInfo] | None
    ) -> socket.socket:
        """A socket bound as asked and connected to one address.  What goes wrong is also noted in `failures`."""
        mine: list[OSError] = []
        failures.append(mine)
        family, kind, proto, _, address = info
        sock: socket.socket | None = None
        try:
            try:
                sock = socket.socket(family=family, type=kind, proto=proto)
                sock.setblocking(False)
                if local is not None:
                    bind_to_one_of(sock, family, local, mine)
                # The address has been looked up already.
                await (self._connect(sock, address) if _is_own(self) else self.sock_connect(sock, address))
            except OSError as error:
                if error not in mine:
                    mine.append(error)
                raise
            connected, sock = sock, None
            return connected
        finally:
            if sock is not None:
                # What goes wrong here matters less than what is on its way.
                with contextlib.suppress(OSError):
                    sock.close()
            mine = failures = None  # type: ignore[assignment]

    def _belongs_to_transport(self, sock: socket.socket) -> bool:
        try:
            self._ensure_fd_no_transport(sock)
        except RuntimeError:
            return True
        except ValueError:
            # Closed already.
            return False
        return False

    async def _connect_transport(
        self,
        sock: socket.socket,
        protocol_factory: Callable[[], Any],
        ssl: Any,
        server_hostname: str | None,
        server_side: bool = False,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        made_here: bool = False,
    ) -> tuple[Any, Any]:
        """Transport and protocol for a connected socket, once `connection_made` has been called.

        One that was `made_here` does not block already.
        """
        try:
            if not made_here:
                sock.setblocking(False)
            protocol = protocol_factory()
            waiter: asyncio.Future[None] = self.create_future()
            transport: Any
            if ssl:
                transport = self._make_ssl_transport(
                    sock,
                    protocol,
                    None if isinstance(ssl, bool) else ssl,
                    waiter,
                    server_side=server_side,
                    server_hostname=server_hostname,
                    ssl_handshake_timeout=ssl_handshake_timeout,
                    ssl_shutdown_timeout=ssl_shutdown_timeout,
                )
            else:
                # What is no protocol is found out here, not when it is told of its connection.
                _ = protocol.connection_made
                transport = self._make_socket_transport(sock, protocol, waiter)
        except BaseException:
            # Without a transport nobody else would close it; with one it is somebody else's connection.
            if not self._belongs_to_transport(sock):
                sock.close()
            raise
        try:
            await waiter
        except BaseException:
            transport.close()
            # Its exception's traceback holds this frame.
            waiter = None  # type: ignore[assignment]
            raise
        return transport, protocol


def _is_own(loop: Any) -> bool:
    """Whether nobody has put another `sock_connect` into the loop or a class of it."""
    return type(loop).sock_connect is Sockets.sock_connect and "sock_connect" not in loop.__dict__


def check_tls_options(
    ssl: Any,
    server_hostname: str | None,
    ssl_handshake_timeout: float | None,
    ssl_shutdown_timeout: float | None,
) -> None:
    """Refuses options that mean something only with TLS.  Raises ValueError."""
    if ssl:
        return
    options = {
        "server_hostname": server_hostname,
        "ssl_handshake_timeout": ssl_handshake_timeout,
        "ssl_shutdown_timeout": ssl_shutdown_timeout,
    }
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"{name} is only meaningful with ssl")


def interleaved(found: list[AddressInfo], first_family_count: int) -> list[AddressInfo]:
    """The addresses with their families taking turns (RFC 8305, section 4).

    `first_family_count` addresses of the first family come before the first of another.
    """
    by_family: dict[Any, list[AddressInfo]] = {}
    for info in found:
        by_family.setdefault(info[0], []).append(info)
    families = list(by_family.values())
    head = families[0][: first_family_count - 1] if first_family_count > 1 else []
    families[0] = families[0][len(head) :]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*families))
    return head + [info for info in turns if info is not None]


def bind_to_one_of(
    sock: socket.socket, family: int, local: list[AddressInfo], failures: list[OSError]
) -> None:
    """Binds to the first address of the family that can be had."""
    for local_family, _, _, _, address in local:
        if local_family != family:
            continue
        try:
            sock.bind(address)
        except OSError as error:
            failures.append(bind_failure(address, error))
        else:
            return
    raise failures.pop() if failures else OSError(f"no matching local address with family={family!r} found")


def bind_failure(address: Any, error: OSError) -> OSError:
    """The error of a bind that says which address it was about."""
    reason = str(error) if _TELLS_NUMBER or error.strerror is None else error.strerror
    return OSError(error.errno, f"error while attempting to bind on address {address!r}: {reason.lower()}")


def the_one(failures: list[OSError], all_errors: bool) -> BaseException:
    """The one exception that stands for all attempts."""
    if all_errors:
        return ExceptionGroup("create_connection failed", failures)
    if not failures:
        # Every attempt was called off before it could fail by itself.
        return TimeoutError("create_connection failed")
    first = failures[0]
    if all(str(error) == str(first) for error in failures):
        return first
    return OSError(f"Multiple exceptions: {', '.join(map(str, failures))}")

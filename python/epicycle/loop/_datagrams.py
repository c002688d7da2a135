"""create_datagram_endpoint, and the low-level calls for datagram sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from asyncio.log import logger
from collections.abc import Callable
from typing import Any

from epicycle.loop._part import Part
from epicycle.loop._serving import share_port

# Newer versions take every kind of socket that keeps messages apart.
_ONLY_UDP = sys.version_info < (3, 13)

_Addresses = tuple[Any, Any]


class Datagrams(Part):
    """create_datagram_endpoint."""

    async def create_datagram_endpoint(  # type: ignore[override]  # reuse_address is gone since 3.11
        self,
        protocol_factory: Callable[[], Any],
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket.socket | None = None,
    ) -> tuple[Any, Any]:
        """Makes an endpoint of datagrams and returns (transport, protocol).

        Parameters and errors are asyncio's (asyncio documentation, "Opening network connections").  `local_addr` and
        `remote_addr` are (host, port), or paths with `family=socket.AF_UNIX`.
        """
        destination = None
        ours = sock is None
        if sock is not None:
            _check_kind(sock)
            options = {
                "local_addr": local_addr,
                "remote_addr": remote_addr,
                "family": family,
                "proto": proto,
                "flags": flags,
                "reuse_port": reuse_port,
                "allow_broadcast": allow_broadcast,
            }
            given = ", ".join(f"{name}={value}" for name, value in options.items() if value)
            if given:
                raise ValueError(
                    f"socket modifier keyword arguments can not be used when sock is specified. ({given})"
                )
            sock.setblocking(False)
        else:
            pairs = await self._address_pairs(local_addr, remote_addr, family, proto, flags)
            sock, destination = await self._open_one_of(pairs, reuse_port, allow_broadcast)

        waiter: asyncio.Future[None] = self.create_future()
        try:
            protocol = protocol_factory()
            # What is no protocol is found out here, not when it is told of its connection.
            _ = protocol.connection_made
            transport = self._make_datagram_transport(sock, protocol, destination, waiter)
        except BaseException:
            if ours:
                sock.close()
            raise
        if self.get_debug():
            if local_addr:
                logger.info(
                    "Datagram endpoint local_addr=%r remote_addr=%r created: (%r, %r)",
                    local_addr,
                    remote_addr,
                    transport,
                    protocol,
                )
            else:
                logger.debug(
                    "Datagram endpoint remote_addr=%r created: (%r, %r)", remote_addr, transport, protocol
                )
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def _address_pairs(
        self, local_addr: Any, remote_addr: Any, family: int, proto: int, flags: int
    ) -> list[tuple[tuple[int, int], _Addresses]]:
        """For each (family, protocol) to try, the address to bind to and the one to send to."""
        if not (local_addr or remote_addr):
            if family == 0:
                raise ValueError("unexpected address family")
            return [((family, proto), (None, None))]
        if family == socket.AF_UNIX:
            for path in (local_addr, remote_addr):
                if path is not None and not isinstance(path, str):
                    raise TypeError("string is expected")
            if local_addr:
                remove_stale(local_addr)
            return [((family, proto), (local_addr, remote_addr))]
        sides: list[dict[tuple[int, int], Any]] = []
        # In the order in which either address named them.
        keys: dict[tuple[int, int], None] = {}
        for address in (local_addr, remote_addr):
            side: dict[tuple[int, int], Any] = {}
            sides.append(side)
            if address is None:
                continue
            if not (isinstance(address, tuple) and len(address) == 2):
                raise TypeError("2-tuple is expected")
            found = await self._resolve(
                address, family=family, type=socket.SOCK_DGRAM, proto=proto, flags=flags
            )
            if not found:
                raise OSError("getaddrinfo() returned empty list")
            # Of several addresses of one family the last one counts, as in asyncio.
            side.update({(info[0], info[2]): info[4] for info in found})
            keys.update(dict.fromkeys(side))
        local, remote = sides
        pairs = [
            (key, (local.get(key), remote.get(key)))
            for key in keys
            if not (local_addr and key not in local) and not (remote_addr and key not in remote)
        ]
        if not pairs:
            raise ValueError("can not get address information")
        return pairs

    async def _open_one_of(
        self,
        pairs: list[tuple[tuple[int, int], _Addresses]],
        reuse_port: bool | None,
        allow_broadcast: bool | None,
    ) -> tuple[socket.socket, Any]:
        """The first socket that can be had, and where it sends.  Raises what went wrong with the first pair."""
        failures: list[OSError] = []
        try:
            for (family, proto), (local, remote) in pairs:
                try:
                    return await self._open_datagrams(
                        family, proto, local, remote, reuse_port, allow_broadcast
                    ), remote
                except OSError as error:
                    failures.append(error)
            raise failures[0]
        finally:
            # Exceptions keep their frames alive, and these the exceptions.
            failures.clear()

    async def _open_datagrams(
        self,
        family: int,
        proto: int,
        local: Any,
        remote: Any,
        reuse_port: bool | None,
        allow_broadcast: bool | None,
    ) -> socket.socket:
        sock = socket.socket(family=family, type=socket.SOCK_DGRAM, proto=proto)
        try:
            if reuse_port:
                share_port(sock)
            if allow_broadcast:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setblocking(False)
            if local:
                sock.bind(local)
            # Who may broadcast hears from others than the address it sends to.
            if remote and not allow_broadcast:
                await self.sock_connect(sock, remote)
        except BaseException:
            sock.close()
            raise
        return sock

    # ---- low level ----

    async def sock_recvfrom(self, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
        """Receives a datagram of up to `bufsize` bytes, and its sender."""
        self._check_socket(sock)
        received: tuple[bytes, Any] = await self._readable(sock, lambda: sock.recvfrom(bufsize))
        return received

    async def sock_recvfrom_into(self, sock: socket.socket, buf: Any, nbytes: int = 0) -> tuple[int, Any]:
        """Receives a datagram into `buf`, at most `nbytes` if given; the number of bytes, and the sender."""
        self._check_socket(sock)
        most = nbytes or len(buf)
        received: tuple[int, Any] = await self._readable(sock, lambda: sock.recvfrom_into(buf, most))
        return received

    async def sock_sendto(self, sock: socket.socket, data: Any, address: Any) -> int:
        """Sends a datagram to `address`; the number of bytes."""
        self._check_socket(sock)
        sent: int = await self._writable(sock, lambda: sock.sendto(data, address))
        return sent


def _check_kind(sock: socket.socket) -> None:
    if _ONLY_UDP and sock.type != socket.SOCK_DGRAM:
        raise ValueError(f"A UDP Socket was expected, got {sock!r}")
    if sock.type == socket.SOCK_STREAM:
        raise ValueError(f"A datagram socket was expected, got {sock!r}")


def remove_stale(path: str | bytes) -> None:
    """Removes the file that an earlier socket left at `path`; an abstract name has none."""
    if path[0] in (0, "\0"):
        return
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        # The directory may allow nothing but making a socket.
        logger.error("Unable to check or remove stale UNIX socket %r: %r", path, error)

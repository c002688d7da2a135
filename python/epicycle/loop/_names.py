"""Names and addresses.

Look-ups block and may take half a minute, so they run in threads: a few of the loop's own, not the default
executor's, which slow look-ups would otherwise starve (and which blocked jobs would starve of look-ups).
A numeric host needs no look-up at all.
"""

from __future__ import annotations

import concurrent.futures
import functools
import socket
from asyncio import futures
from asyncio.log import logger
from typing import Any

from epicycle.loop._part import Part

_RESOLVER_THREADS = 4

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class Names(Part):
    """getaddrinfo and getnameinfo."""

    slow_callback_duration: float
    _resolver: concurrent.futures.ThreadPoolExecutor | None

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        """`socket.getaddrinfo` without blocking the loop.  Raises `socket.gaierror`."""
        if (known := numeric(host, port, family, type, proto, flags)) is not None:
            return known
        look_up = self._look_up_and_tell if self.get_debug() else socket.getaddrinfo
        found: list[AddressInfo] = await self._in_resolver(look_up, host, port, family, type, proto, flags)
        return found

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """`socket.getnameinfo` without blocking the loop.  Raises `socket.gaierror`."""
        found: tuple[str, str] = await self._in_resolver(socket.getnameinfo, sockaddr, flags)
        return found

    def _in_resolver(self, function: Any, *args: Any) -> Any:
        self._check_closed()
        if self._resolver is None:
            self._resolver = concurrent.futures.ThreadPoolExecutor(
                _RESOLVER_THREADS, thread_name_prefix="epicycle-resolver"
            )
        return futures.wrap_future(self._resolver.submit(function, *args), loop=self)

    def _look_up_and_tell(
        self, host: Any, port: Any, family: int, type: int, proto: int, flags: int
    ) -> list[AddressInfo]:
        asked = ", ".join(
            [
                f"{host}:{port!r}",
                *(
                    f"{name}={value!r}"
                    for name, value in (
                        ("family", family),
                        ("type", type),
                        ("proto", proto),
                        ("flags", flags),
                    )
                    if value
                ),
            ]
        )
        logger.debug("Get address info %s", asked)
        started = self.time()
        found = socket.getaddrinfo(host, port, family, type, proto, flags)
        taken = self.time() - started
        level = logger.info if taken >= self.slow_callback_duration else logger.debug
        level(f"Getting address info {asked} took {taken * 1e3:.3f}ms: {found!r}")
        return found

    async def _resolve(
        self, address: tuple[Any, ...], *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[AddressInfo]:
        """The addresses that `address` (host, port, and for IPv6 flow and zone) stands for."""
        host, port = address[:2]
        known = numeric(host, port, family, type, proto, int(flags) & _PASSIVE)
        if known is not None and len(address) > 2 and known[0][0] == socket.AF_INET6:
            family_, type_, proto_, name, found = known[0]
            return [(family_, type_, proto_, name, (*found[:2], *address[2:4], *found[len(address) : 4]))]
        if known is not None:
            return known
        return await self.getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)


# Plain numbers: the operators of enumerations are Python code, and this runs for every connection.
_PASSIVE = int(socket.AI_PASSIVE)
# What does not change the answer for a numeric host.
_HARMLESS_FLAGS = (
    _PASSIVE | int(socket.AI_NUMERICHOST) | int(socket.AI_NUMERICSERV) | int(socket.AI_ADDRCONFIG)
)
_PROTOCOLS: dict[int, int] = {socket.SOCK_STREAM: socket.IPPROTO_TCP, socket.SOCK_DGRAM: socket.IPPROTO_UDP}


@functools.cache
def _zone_index(zone: str) -> int | None:
    try:
        return int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    except OSError:
        return None


def numeric(host: Any, port: Any, family: int, type: int, proto: int, flags: int) -> list[AddressInfo] | None:
    """What `socket.getaddrinfo` would say of a numeric host and port, or None where it has to be asked.

    An IPv6 zone (`fe80::1%eth0`) is kept, as a number in the address's last part.
    """
    if (
        not isinstance(host, str)
        or not isinstance(port, int)
        or isinstance(port, bool)
        or type not in _PROTOCOLS
    ):
        return None
    if proto not in (0, _PROTOCOLS[type]) or flags & ~_HARMLESS_FLAGS:
        return None
    # The kernel, not we, is to say what it thinks of such a port.
    if not 0 <= port <= 65535:
        return None
    kind, protocol = socket.SocketKind(type), _PROTOCOLS[type]
    try:
        if ":" not in host:
            socket.inet_pton(socket.AF_INET, host)
            if family not in (socket.AF_UNSPEC, socket.AF_INET):
                return None
            return [(socket.AF_INET, kind, protocol, "", (host, port))]
        plain, _, zone = host.partition("%")
        packed = socket.inet_pton(socket.AF_INET6, plain)
    except (OSError, ValueError):
        return None
    if family not in (socket.AF_UNSPEC, socket.AF_INET6):
        return None
    if zone and not (packed[0] == 0xFF or (packed[0] == 0xFE and packed[1] & 0xC0 == 0x80)):
        # Only multicast and link-local addresses have zones; what the resolver makes of others is its business.
        return None
    index = _zone_index(zone) if zone else 0
    if index is None:
        return None
    # Written the way the system writes it.
    written = socket.inet_ntop(socket.AF_INET6, packed)
    return [(socket.AF_INET6, kind, protocol, "", (written, port, 0, index))]

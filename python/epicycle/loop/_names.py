"""Names and addresses.

Look-ups block and may take half a minute, so they run in threads: a few of the loop's own, not the default
executor's, which slow look-ups would otherwise starve (and which blocked jobs would starve of look-ups).
A numeric host needs no look-up at all.
"""

from __future__ import annotations

import functools
import socket
from asyncio.log import logger
from typing import Any

from epicycle.loop._part import Part
from epicycle.loop._threads import Threads

_RESOLVER_THREADS = 4

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class Names(Part):
    """getaddrinfo and getnameinfo."""

    slow_callback_duration: float
    _resolver: Threads | None

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
        self._count_lookup()
        if self._resolver is None:
            self._resolver = Threads(_RESOLVER_THREADS, thread_name_prefix="epicycle-resolver")
        return self._resolver.run(self, function, args)

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
        known = known_address(address, family, type, proto)
        if known is not None:
            return [known]
        host, port = address[:2]
        return await self.getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)


def known_address(address: tuple[Any, ...], family: int, type: int, proto: int) -> AddressInfo | None:
    """What a numeric host and a port stand for, whatever the flags; None for what has to be looked up.

    What is no port, the call that takes it will say.  Raises ValueError for a host with a NUL in it.
    """
    host, port = address[:2]
    if not isinstance(host, str):
        return None
    if "\0" in host:
        raise ValueError("embedded null character")
    number = port_number(port)
    parsed = None if number is None else _parsed(host, family, type, proto)
    if parsed is None:
        return None
    found, kind, protocol, written, rest = parsed
    if rest and len(address) > 2:
        # Flow and zone as they were given.
        rest = (*address[2:4], *rest[len(address) - 2 :])
    return found, kind, protocol, "", (written, number, *rest)


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


def port_number(port: Any) -> int | None:
    """The number that a port is, whatever its type; None for the name of a service."""
    if port in (None, "", b""):
        return 0
    try:
        return int(port)
    except (TypeError, ValueError):
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
    # The kernel, not we, is to say what it thinks of such a port.
    if flags & ~_HARMLESS_FLAGS or not 0 <= port <= 65535:
        return None
    parsed = _parsed(host, family, type, proto)
    if parsed is None:
        return None
    found, kind, protocol, written, rest = parsed
    return [(found, kind, protocol, "", (written, port, *rest))]


@functools.lru_cache(1024)
def _parsed(
    host: str, family: int, type: int, proto: int
) -> tuple[Any, Any, int, str, tuple[int, ...]] | None:
    """A numeric host: family, type, protocol, the host as the system writes it, and what follows the port."""
    if type not in _PROTOCOLS or proto not in (0, _PROTOCOLS[type]):
        return None
    kind, protocol = socket.SocketKind(type), _PROTOCOLS[type]
    try:
        if ":" not in host:
            socket.inet_pton(socket.AF_INET, host)
            if family not in (socket.AF_UNSPEC, socket.AF_INET):
                return None
            return socket.AF_INET, kind, protocol, host, ()
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
    return socket.AF_INET6, kind, protocol, socket.inet_ntop(socket.AF_INET6, packed), (0, index)

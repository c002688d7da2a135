"""Connections, listeners and watched descriptors of a loop.

The native half knows them all; here they are asked for in portions, and it is told which side is slow.
"""

from __future__ import annotations

from typing import Any

from epicycle.watching.inside.pacing import Pace

Connection = dict[str, Any]

MOST = 2000
_PORTION = 100


def collect(loop: Any, pace: Pace) -> list[Connection]:
    """Every connection, in no particular order.

    Each is a dict of `kind`, `fd`, `local`, `peer`, `buffer` (bytes waiting to be sent), `limits` ([low, high], bytes),
    `reading`, `writing_paused`, `unread` (bytes that wait in the kernel; asked only while not reading), `slow`, and
    `objects`, the `id`s of its transports, which is not for others.

    Raises RuntimeError where the loop's state is in use.
    """
    found: dict[int, Connection] = {}
    first, more = 0, True
    while more:
        portion, more = loop._connections(first, _PORTION)
        for connection in portion:
            connection["slow"] = slow_side(connection)
            # The newest, should a number have changed hands in between.
            found[connection["fd"]] = connection
        first += _PORTION
        pace()
    return list(found.values())


def slow_side(connection: Connection) -> str:
    """Which side is slow: `"peer"`, which does not take what we send; `"us"`, who do not read; or empty."""
    limits = connection["limits"]
    if limits is not None and connection["buffer"] > limits[0]:
        return "peer"
    return "us" if connection["unread"] else ""


def listed(found: list[Connection], most: int = MOST) -> list[Connection]:
    """Those to be shown in detail: slow ones, then those with the most to send."""
    if len(found) > most:
        found = sorted(found, key=lambda it: (it["slow"] == "", -it["buffer"]))[:most]
    return [{key: value for key, value in it.items() if key != "objects"} for it in found]


def by_object(found: list[Connection]) -> dict[int, Connection]:
    """The connections by the `id` of each of their transports."""
    return {number: connection for connection in found for number in connection["objects"]}

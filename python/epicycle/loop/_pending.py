"""What does not exist yet, and says so instead of failing in some other way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from epicycle import _epicycle
from epicycle.loop._part import Part


def _refuse(what: str) -> NoReturn:
    raise NotImplementedError(f"epicycle {_epicycle.build_facts()['version']} does not have {what} yet")


class Pending(Part):
    """TLS."""

    def _make_ssl_transport(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse("TLS (ssl=)")

    def _over_tls(
        self,
        protocol_factory: Callable[[], Any],
        ssl: Any,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None,
    ) -> Callable[[], Any]:
        if ssl is None:
            return protocol_factory
        _refuse("TLS (ssl=)")

    async def start_tls(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("start_tls")

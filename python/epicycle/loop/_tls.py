"""TLS: on accepted connections, and on connections that were plain so far."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from epicycle import _epicycle
from epicycle.loop._part import Part


class Tls(Part):
    """start_tls, and what create_server needs."""

    def _over_tls(
        self,
        protocol_factory: Callable[[], Any],
        ssl: Any,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None,
    ) -> Callable[[], Any]:
        """What a listening socket is given: with a context, a factory that the native half knows to speak TLS."""
        if ssl is None:
            return protocol_factory
        return _epicycle.SecureFactory(protocol_factory, ssl, ssl_handshake_timeout, ssl_shutdown_timeout)

    async def start_tls(
        self,
        transport: Any,
        protocol: Any,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Any:
        """Has an open connection speak TLS from here on, and returns the transport to use instead.

        `protocol` goes on with the new transport; its `connection_made` is not called again.  Raises TypeError for a
        context that is none and for a transport that cannot be secured, ValueError for time-outs (in seconds) that
        are not positive, and what the handshake fails with (asyncio documentation, "TLS Upgrade").
        """
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter: asyncio.Future[None] = self.create_future()
        secured = self._secure(
            transport,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            _taken_early(protocol) if server_side else b"",
        )
        try:
            await waiter
        except BaseException:
            transport.close()
            # Its exception's traceback holds this frame.
            waiter = None  # type: ignore[assignment]
            raise
        return secured


def _taken_early(protocol: Any) -> bytes:
    """Bytes of a client's handshake that came before the switch and lie in the reader of a stream."""
    if not isinstance(protocol, asyncio.StreamReaderProtocol):
        return b""
    reader = protocol._stream_reader  # type: ignore[attr-defined]
    if reader is None or not reader._buffer:
        return b""
    taken = bytes(reader._buffer)
    reader._buffer.clear()
    return taken

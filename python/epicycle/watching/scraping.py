"""One page over HTTP: as much of HTTP/1.1 as a scraper needs, on asyncio's streams.

In: a function that renders the page.  Out: a server that answers ``GET /metrics``, and everything else with an error.

What a client may cost is bounded: how many there are, how long each may take, and how much it may send.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from email.utils import formatdate

__all__ = ("Scraping",)

_PATH = "/metrics"
_LARGEST_HEAD = 8192
_SECONDS = 10.0
_CLIENTS = 32
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class Scraping:
    """A server of one page. ``render`` makes it anew for every request."""

    def __init__(self, render: Callable[[], str], content_type: str, *, seconds: float = _SECONDS) -> None:
        self._render = render
        self._content_type = content_type
        self._seconds = seconds
        self._clients = 0

    async def start(self, host: str, port: int) -> asyncio.Server:
        """Listen; returns the server. Raises OSError."""
        return await asyncio.start_server(self._serve, host, port, limit=_LARGEST_HEAD)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            # Whoever goes away or dawdles only loses its answer. A loop that ends cancels this, which is no error,
            # and before Python 3.12 the streams report it as one.
            with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                answer = await self._answer(reader) if self._clients <= _CLIENTS else self._error(503)
                async with asyncio.timeout(self._seconds):
                    writer.write(answer)
                    writer.write_eof()
                    # To close on what has come and was not read would reset the connection, and the answer with it.
                    while await reader.read(_LARGEST_HEAD):
                        pass
        finally:
            self._clients -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self._seconds):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return self._error(408)
        except asyncio.LimitOverrunError:
            return self._error(431)
        except asyncio.IncompleteReadError:
            return self._error(400)
        return self._respond(head)

    def _respond(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not all(words) or not words[2].startswith(b"HTTP/"):
            return self._error(400)
        method, target, version = words
        if version not in (b"HTTP/1.0", b"HTTP/1.1"):
            return self._error(505)
        with_body = method != b"HEAD"
        if target.split(b"?", 1)[0] != _PATH.encode():
            return self._error(404, with_body)
        if method not in (b"GET", b"HEAD"):
            return self._error(405)
        try:
            body = self._render().encode()
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "the metrics could not be rendered", "exception": error}
            )
            return self._error(500, with_body)
        return self._message(200, self._content_type, body, with_body)

    def _error(self, status: int, with_body: bool = True) -> bytes:
        return self._message(status, "text/plain; charset=utf-8", f"{_REASONS[status]}\n".encode(), with_body)

    def _message(self, status: int, content_type: str, body: bytes, with_body: bool) -> bytes:
        lines = [
            f"HTTP/1.1 {status} {_REASONS[status]}",
            f"Date: {formatdate(usegmt=True)}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        if status == 405:
            lines.append("Allow: GET, HEAD")
        return "\r\n".join([*lines, "", ""]).encode() + (body if with_body else b"")

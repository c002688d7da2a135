"""asyncio's streams with native reads and a native ``drain``: what ``install()`` has asyncio make.

The classes derive from asyncio's and keep their state in the same attributes, so that everything not replaced here is
asyncio's own code. ``open_connection`` and the like are asyncio's own code too, with these classes in place of the
others: its functions have no parameter for them.
"""

from __future__ import annotations

import asyncio
import functools
from asyncio import streams
from collections.abc import Callable
from types import FunctionType
from typing import Any

from epicycle import _epicycle

__all__ = ("StreamReader", "StreamReaderProtocol", "StreamWriter", "makers")


class StreamReader(asyncio.StreamReader):
    """An ``asyncio.StreamReader`` whose reads run no Python code."""

    __slots__ = (
        *("_buffer", "_eof", "_exception", "_limit", "_loop", "_paused"),
        *("_transport", "_waiter"),
    )


class StreamWriter(asyncio.StreamWriter):
    """An ``asyncio.StreamWriter`` whose ``drain`` runs no Python code unless it has to wait."""

    __slots__ = ("_loop", "_protocol", "_reader", "_transport")

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        protocol: asyncio.BaseProtocol,
        reader: asyncio.StreamReader | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        # Not asyncio's, which makes a future for each writer that is done at once, and that nobody asks for.
        self._transport = transport
        self._protocol = protocol
        assert reader is None or isinstance(reader, asyncio.StreamReader)
        self._reader = reader
        self._loop = loop

    @property
    def _complete_fut(self) -> asyncio.Future[None]:
        future = self._loop.create_future()
        future.set_result(None)
        return future


class StreamReaderProtocol(asyncio.StreamReaderProtocol):
    """An ``asyncio.StreamReaderProtocol`` that makes such a writer."""

    __slots__ = (
        *("_client_connected_cb", "_closed", "_connection_lost", "_drain_waiters", "_loop", "_over_ssl"),
        *("_paused", "_reject_connection", "_stream_reader_wr", "_strong_reader", "_task", "_transport"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # An empty deque is as large as all the rest of an idle connection's protocol.
        self._drain_waiters: list[asyncio.Future[None]] = []


_epicycle.add_stream_methods(StreamReader, StreamWriter, StreamReaderProtocol)

_CLASSES = {cls.__name__: cls for cls in (StreamReader, StreamWriter, StreamReaderProtocol)}


def _with_our_classes(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as asyncio wrote it, to whose code the names of the classes mean ours."""
    if not isinstance(function, FunctionType) or function.__code__.co_filename != streams.__file__:
        # A program has put another one there.
        return function
    namespace = {**function.__globals__, **_CLASSES}
    made = FunctionType(function.__code__, namespace, function.__name__, function.__defaults__)
    made.__kwdefaults__ = function.__kwdefaults__
    return functools.update_wrapper(made, function)


StreamReaderProtocol.connection_made = _with_our_classes(  # type: ignore[method-assign]
    asyncio.StreamReaderProtocol.connection_made
)


def makers() -> dict[str, Callable[..., Any]]:
    """The functions of asyncio that make streams, by name, with streams of these classes."""
    names = ("open_connection", "start_server", "open_unix_connection", "start_unix_server")
    return {name: _with_our_classes(getattr(streams, name)) for name in names if hasattr(streams, name)}

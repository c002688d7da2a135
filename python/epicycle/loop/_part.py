"""What the parts of the loop, each in a file of its own, may ask of one another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from epicycle import _epicycle

if TYPE_CHECKING:
    import asyncio
    import socket

    from epicycle.loop._names import AddressInfo

    class Part(_epicycle.Loop):
        """For the type checker: the whole of which each part is one."""

        slow_callback_duration: float
        _current_handle: Any

        def _note_report(self, context: dict[str, Any]) -> None: ...
        def _close_executors(self) -> None: ...
        def _close_processes(self) -> None: ...
        def _close_signals(self) -> None: ...
        def _signals_arriving(self) -> AbstractContextManager[None]: ...
        async def _resolve(
            self, address: tuple[Any, ...], *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
        ) -> list[AddressInfo]: ...
        async def _connect(self, sock: socket.socket, address: Any) -> None: ...
        def _check_socket(self, sock: socket.socket) -> None: ...
        def _stop_writing(self, fd: int, handle: asyncio.Handle, done: asyncio.Future[Any]) -> None: ...
        async def _readable(self, sock: socket.socket, attempt: Callable[..., Any], *args: Any) -> Any: ...
        async def _writable(self, sock: socket.socket, attempt: Callable[..., Any], *args: Any) -> Any: ...
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
        ) -> tuple[Any, Any]: ...
        def _over_tls(
            self,
            protocol_factory: Callable[[], Any],
            ssl: Any,
            ssl_handshake_timeout: float | None,
            ssl_shutdown_timeout: float | None,
        ) -> Callable[[], Any]: ...

else:
    Part = _epicycle.Loop

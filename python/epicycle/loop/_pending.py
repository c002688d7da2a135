"""What does not exist yet, and says so instead of failing in some other way."""

from __future__ import annotations

from typing import Any, NoReturn

from epicycle import _epicycle
from epicycle.loop._part import Part


def _refuse(what: str) -> NoReturn:
    raise NotImplementedError(f"epicycle {_epicycle.build_facts()['version']} does not have {what} yet")


class Pending(Part):
    """UDP, Unix sockets, pipes, subprocesses, sendfile."""

    async def create_unix_server(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("create_unix_server")

    async def create_unix_connection(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("create_unix_connection")

    async def connect_accepted_socket(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("connect_accepted_socket")

    async def create_datagram_endpoint(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("create_datagram_endpoint")

    async def connect_read_pipe(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("connect_read_pipe")

    async def connect_write_pipe(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("connect_write_pipe")

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("subprocess_exec")

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("subprocess_shell")

    async def sendfile(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("sendfile")

    async def sock_sendfile(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("sock_sendfile")

    async def sock_recvfrom(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("sock_recvfrom")

    async def sock_recvfrom_into(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("sock_recvfrom_into")

    async def sock_sendto(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there yet: raises NotImplementedError."""
        _refuse("sock_sendto")

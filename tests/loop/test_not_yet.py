"""What the loop does not offer yet says so by name."""

import asyncio
import io
import socket
import ssl

import pytest

from toolkit import Recorder, attached, finish, tcp_pair

pytestmark = pytest.mark.epicycle_only


# By the method, or the option, that the message names.
CALLS = {
    "create_unix_server": lambda loop, sock: loop.create_unix_server(asyncio.Protocol, "/nowhere"),
    "create_unix_connection": lambda loop, sock: loop.create_unix_connection(asyncio.Protocol, "/nowhere"),
    "create_datagram_endpoint": lambda loop, sock: loop.create_datagram_endpoint(
        asyncio.Protocol, ("127.0.0.1", 0)
    ),
    "connect_read_pipe": lambda loop, sock: loop.connect_read_pipe(asyncio.Protocol, io.BytesIO()),
    "connect_write_pipe": lambda loop, sock: loop.connect_write_pipe(asyncio.Protocol, io.BytesIO()),
    "subprocess_exec": lambda loop, sock: loop.subprocess_exec(asyncio.SubprocessProtocol, "true"),
    "subprocess_shell": lambda loop, sock: loop.subprocess_shell(asyncio.SubprocessProtocol, "true"),
    "sock_sendfile": lambda loop, sock: loop.sock_sendfile(sock, io.BytesIO(b"x")),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 1),
    "sock_recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(1)),
    "sock_sendto": lambda loop, sock: loop.sock_sendto(sock, b"x", ("127.0.0.1", 1)),
}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("name", list(CALLS))
def test_it_says_so(loop, name):
    async def main():
        with tcp_pair() as (one, _), pytest.raises(NotImplementedError, match=name):
            await CALLS[name](loop, one)

    finish(loop, main())


def test_connect_accepted_socket_with_tls_says_so(loop):
    async def main():
        context = ssl.create_default_context()
        with socket.socket() as sock, pytest.raises(NotImplementedError, match="connect_accepted_socket"):
            await loop.connect_accepted_socket(asyncio.Protocol, sock, ssl=context)

    finish(loop, main())


def test_sendfile_says_so(loop):
    async def main():
        async with attached(Recorder()) as (transport, _):
            with pytest.raises(NotImplementedError, match="sendfile"):
                await loop.sendfile(transport, io.BytesIO(b"x"))

    finish(loop, main())

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
    "sock_sendfile": lambda loop, sock: loop.sock_sendfile(sock, io.BytesIO(b"x")),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 1),
    "sock_recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(1)),
    "sock_sendto": lambda loop, sock: loop.sock_sendto(sock, b"x", ("127.0.0.1", 1)),
    "ssl=": lambda loop, sock: loop.create_connection(
        asyncio.Protocol, sock=sock.dup(), ssl=ssl.create_default_context(), server_hostname="localhost"
    ),
    "TLS": lambda loop, sock: loop.create_server(
        asyncio.Protocol, "127.0.0.1", 0, ssl=ssl.create_default_context()
    ),
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


@pytest.mark.parametrize("name", ["sendfile", "start_tls"])
def test_what_takes_a_transport_says_so(loop, name):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, _):
            with pytest.raises(NotImplementedError, match=name):
                if name == "sendfile":
                    await loop.sendfile(transport, io.BytesIO(b"x"))
                else:
                    await loop.start_tls(transport, protocol, ssl.create_default_context())

    finish(loop, main())

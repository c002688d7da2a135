"""What the loop does not offer yet says so by name."""

import asyncio
import ssl

import pytest

from toolkit import Recorder, attached, finish, tcp_pair

pytestmark = pytest.mark.epicycle_only


# By the method, or the option, that the message names.
CALLS = {
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


def test_start_tls_says_so(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, _):
            with pytest.raises(NotImplementedError, match="start_tls"):
                await loop.start_tls(transport, protocol, ssl.create_default_context())

    finish(loop, main())

"""Handshakes that do not go as they should."""

import asyncio
import contextlib
import ssl

import pytest
from secured import Peer, secured

from toolkit import (
    Recorder,
    finish,
    listener,
    new_descriptors,
    open_descriptors,
    script,
    serving,
    tcp_pair,
    turn,
    until,
)


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("value", [0, -1, 0.0])
def test_timeouts_have_to_be_positive(loop, client_context, name, value):
    async def main():
        with (
            tcp_pair() as (sock, _),
            pytest.raises(ValueError, match=f"{name} should be a positive number, got "),
        ):
            await loop.create_connection(
                Recorder, sock=sock, ssl=client_context, server_hostname="localhost", **{name: value}
            )

    finish(loop, main())


def test_a_server_needs_a_context(loop):
    async def main():
        with pytest.raises(TypeError, match="ssl argument must be an SSLContext or None"):
            await loop.create_server(Recorder, "127.0.0.1", 0, ssl=True)

    finish(loop, main())


def test_a_silent_server_is_given_up(loop, errors, client_context):
    async def main():
        with listener() as silent:
            expected = "SSL handshake is taking longer than 0.05 seconds: aborting the connection"
            protocol = Recorder()
            with pytest.raises(ConnectionAbortedError, match=expected):
                await loop.create_connection(
                    lambda: protocol,
                    *silent.getsockname(),
                    ssl=client_context,
                    server_hostname="localhost",
                    ssl_handshake_timeout=0.05,
                )
            assert protocol.events == []

    finish(loop, main())
    assert errors == []


def test_a_silent_client_is_given_up(loop, errors, server_context):
    async def main():
        async with serving(ssl=server_context, ssl_handshake_timeout=0.05) as (_, port, protocols):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            assert [protocol.events for protocol in protocols] == [[]]

    finish(loop, main())
    assert errors == []


def test_garbage_is_no_handshake(loop, errors, client_context):
    async def main():
        with listener() as listening:
            listening.setblocking(False)
            connecting = asyncio.ensure_future(
                loop.create_connection(
                    Recorder, *listening.getsockname(), ssl=client_context, server_hostname="localhost"
                )
            )
            sock, _ = await loop.sock_accept(listening)
            with sock:
                await loop.sock_sendall(sock, b"220 this is not TLS\r\n" * 10)
                with pytest.raises(ssl.SSLError):
                    await connecting

    finish(loop, main())
    assert errors == []


def test_a_server_survives_garbage(loop, errors, server_context, client_context):
    async def main():
        async with serving(ssl=server_context) as (_, port, protocols):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            # An alert may come; then the end, in one way or the other.
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            transport, protocol = await loop.create_connection(
                Recorder, "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
            )
            transport.write(b"well")
            await until(lambda: any(protocol.data == b"well" for protocol in protocols))
            transport.close()
            await until(lambda: protocol.is_lost)

    finish(loop, main())
    assert errors == []


def test_in_debug_mode_a_server_tells_of_a_failed_handshake(loop, errors, server_context):
    loop.set_debug(True)

    async def main():
        async with serving(ssl=server_context) as (_, port, protocols):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await until(lambda: errors)
            writer.transport.abort()
            assert errors[0]["message"] == "Error on transport creation for incoming connection"
            assert isinstance(errors[0]["exception"], ssl.SSLError)
            assert errors[0]["protocol"] is protocols[0]
            assert isinstance(errors[0]["transport"], asyncio.Transport)

    finish(loop, main())


def test_a_peer_that_hangs_up_has_reset_the_connection(loop, errors, client_context):
    async def main():
        with listener() as listening:
            listening.setblocking(False)
            connecting = asyncio.ensure_future(
                loop.create_connection(
                    Recorder, *listening.getsockname(), ssl=client_context, server_hostname="localhost"
                )
            )
            sock, _ = await loop.sock_accept(listening)
            await loop.sock_recv(sock, 1 << 16)
            sock.close()
            with pytest.raises(ConnectionResetError):
                await connecting

    finish(loop, main())
    assert errors == []


@pytest.mark.parametrize("turns", range(6))
def test_a_cancelled_handshake_leaves_nothing(loop, client_context, turns):
    async def main():
        with listener() as silent:
            before = open_descriptors()
            protocol = Recorder()
            connecting = asyncio.ensure_future(
                loop.create_connection(
                    lambda: protocol, *silent.getsockname(), ssl=client_context, server_hostname="localhost"
                )
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            for _ in range(4):
                await asyncio.sleep(0)
            assert not new_descriptors(before)
            assert protocol.events == []

    finish(loop, main())


def test_a_connection_that_is_aborted_in_the_handshake_is_over(loop, client_context):
    async def main(end):
        with tcp_pair() as (sock, peer):
            protocol = Recorder()
            waiter = loop.create_future()
            transport = loop._make_ssl_transport(
                sock.dup(), protocol, client_context, waiter, server_hostname="localhost"
            )
            assert transport.is_closing() is False
            await loop.sock_recv(peer, 1)
            getattr(transport, end)()
            assert transport.is_closing()
            await asyncio.wait([waiter])
            transport.close()
            transport.abort()
            assert protocol.events == []

    for end in ("close", "abort"):
        finish(loop, main(end))


def test_an_error_in_connection_made_ends_the_connection(loop, errors, server_context, client_context):
    class Broken(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise LookupError("not today")

    async def main():
        async with serving(ssl=server_context) as (_, port, _protocols):
            protocol = Broken()
            with pytest.raises(LookupError, match="not today"):
                await loop.create_connection(
                    lambda: protocol, "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
                )
            await until(lambda: protocol.is_lost)
            assert isinstance(protocol.lost, LookupError)

    finish(loop, main())
    assert isinstance(errors[0]["exception"], LookupError)


def test_a_wrong_host_name_opens_nothing(loop, client_context):
    async def main():
        with tcp_pair() as (sock, _), pytest.raises(ValueError, match="idna|server_hostname cannot"):
            await loop.create_connection(
                Recorder, sock=sock, ssl=client_context, server_hostname=".localhost"
            )

    finish(loop, main())


def test_a_slow_handshake_is_no_failure(loop, server_context, client_context):
    async def main():
        with listener() as listening:
            listening.setblocking(False)
            connecting = asyncio.ensure_future(
                loop.create_connection(
                    Recorder, *listening.getsockname(), ssl=client_context, server_hostname="localhost"
                )
            )
            sock, _ = await loop.sock_accept(listening)
            with sock:
                peer = Peer(sock, server_context, server_side=True)
                while peer.session.version() is None or not connecting.done():
                    try:
                        peer.session.do_handshake()
                    except ssl.SSLWantReadError:
                        data = peer.outgoing.read()
                        for start in range(0, len(data), 50):
                            await loop.sock_sendall(sock, data[start : start + 50])
                            await asyncio.sleep(0)
                        peer.incoming.write(await loop.sock_recv(sock, 50))
                    else:
                        await peer.flush()
                        await asyncio.sleep(0)
                transport, protocol = await connecting
                transport.abort()
                await until(lambda: protocol.is_lost)

    finish(loop, main())


def test_the_time_for_the_handshake_ends_with_the_handshake(loop, server_context, client_context):
    async def main():
        options = {"ssl_handshake_timeout": 0.2, "serve": {"ssl_handshake_timeout": 0.2}}
        async with secured(server_context, client_context, **options) as (client, server):
            await asyncio.sleep(0.3)
            assert client.events == server.events == ["made"]

    finish(loop, main())


def test_debug_mode_logs_the_handshake(loop, caplog, server_context, client_context):
    loop.set_debug(True)
    caplog.set_level("DEBUG", logger="asyncio")

    async def main():
        async with secured(server_context, client_context):
            pass

    finish(loop, main())
    turn(loop, 2)
    assert "starts SSL handshake" in caplog.text and "SSL handshake took" in caplog.text


@pytest.mark.epicycle_only
@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_connection_can_be_ended_before_it_begins(loop, client_context, end):
    # asyncio's close() does nothing yet at that point, and the handshake goes on.
    async def main():
        with tcp_pair() as (sock, peer):
            protocol = Recorder()
            waiter = loop.create_future()
            transport = loop._make_ssl_transport(
                sock.dup(), protocol, client_context, waiter, server_hostname="localhost"
            )
            getattr(transport, end)()
            sock.close()
            assert await loop.sock_recv(peer, 1) == b""
            assert protocol.events == []

    finish(loop, main())


def test_connections_left_open_at_the_end_do_no_harm(loop_name, pki):
    code = f"""
import asyncio, ssl, warnings
warnings.simplefilter("ignore")
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain({str(pki.server.certificate)!r}, {str(pki.server.key)!r})
client_context = ssl.create_default_context(cafile={str(pki.authority.certificate)!r})
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=server_context)
    port = server.sockets[0].getsockname()[1]
    opened = [
        await loop.create_connection(asyncio.Protocol, "127.0.0.1", port, ssl=client_context,
                                     server_hostname="localhost")
        for _ in range(3)
    ]
    opened[0][0].close()
    opened[1][0].write(b"x" * 10_000_000)
    return opened
loop = new_loop()
kept = loop.run_until_complete(main())
if CLOSES:
    loop.close()
print("done")
"""
    for closes in (True, False):
        done = script(loop_name, f"CLOSES = {closes}\n{code}")
        assert done.stdout == "done\n" and done.stderr == "", done.stderr


@pytest.mark.epicycle_only
def test_the_peer_is_told_why_a_handshake_failed(loop, pki, server_context):
    # asyncio drops the alert.
    async def main():
        with listener() as listening:
            listening.setblocking(False)
            connecting = asyncio.ensure_future(
                loop.create_connection(
                    Recorder,
                    *listening.getsockname(),
                    ssl=pki.stranger.client_context(),
                    server_hostname="localhost",
                )
            )
            sock, _ = await loop.sock_accept(listening)
            with sock:
                peer = Peer(sock, server_context, server_side=True)
                with pytest.raises(ssl.SSLError, match="ALERT_UNKNOWN_CA"):
                    await peer.handshake()
                    await peer.receive(1)
            with pytest.raises(ssl.SSLCertVerificationError):
                await connecting

    finish(loop, main())

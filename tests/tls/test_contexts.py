"""The user's own context decides: names, versions, certificates, callbacks, and what is known afterwards."""

import asyncio
import ssl

import pytest
from secured import blocking_server, connected_peer, secured

from toolkit import Recorder, finish, serving, until


def test_what_is_known_of_a_connection(loop, server_context, client_context):
    async def main():
        async with secured(server_context, client_context) as (client, server):
            ask = client.transport.get_extra_info
            assert isinstance(client.transport, asyncio.Transport)
            assert isinstance(ask("ssl_object"), ssl.SSLObject)
            assert ask("sslcontext") is client_context
            assert ask("peercert")["subjectAltName"] == (("DNS", "localhost"),)
            assert ask("peercert") is ask("peercert")
            assert ask("cipher") == ask("ssl_object").cipher()
            assert ask("compression") is None
            assert ask("peername") == server.transport.get_extra_info("sockname")
            assert ask("socket").fileno() > 0
            assert ask("nothing") is None and ask("nothing", 5) == 5
            assert server.transport.get_extra_info("peercert") is None
            assert server.transport.get_extra_info("peercert", 1) is None
            client.transport.close()
            await until(lambda: client.is_lost)
            assert ask("ssl_object").version().startswith("TLS")
            assert ask("peername", "gone") == "gone"

    finish(loop, main())


def test_protocols_are_negotiated(loop, server_context, client_context):
    server_context.set_alpn_protocols(["h2", "http/1.1"])
    client_context.set_alpn_protocols(["http/1.1", "other"])

    async def main():
        async with secured(server_context, client_context) as (client, server):
            for protocol in (client, server):
                session = protocol.transport.get_extra_info("ssl_object")
                assert session.selected_alpn_protocol() == "http/1.1"

    finish(loop, main())


def test_the_name_decides_which_certificate_is_shown(loop, pki, server_context, client_context):
    asked = []
    other = pki.other.server_context()

    def choose(session, name, context):
        asked.append((type(session), name, context is server_context))
        session.context = other

    server_context.sni_callback = choose

    async def main():
        options = {"server_hostname": "other.example"}
        async with secured(server_context, client_context, **options) as (client, _):
            shown = client.transport.get_extra_info("peercert")
            assert shown["subjectAltName"] == (("DNS", "other.example"),)

    finish(loop, main())
    assert asked == [(ssl.SSLObject, "other.example", True)]


def test_a_client_shows_its_certificate(loop, pki, server_context, client_context):
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.load_verify_locations(pki.authority.certificate)
    pki.user.load_into(client_context)

    async def main():
        async with secured(server_context, client_context) as (_, server):
            shown = server.transport.get_extra_info("peercert")
            assert shown["subject"] == ((("commonName", "user"),),)

    finish(loop, main())


def test_a_client_without_a_certificate_is_refused(loop, pki, server_context, client_context):
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.load_verify_locations(pki.authority.certificate)
    # With TLS 1.3 a client is through with its handshake before the server has looked.
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def main():
        async with serving(ssl=server_context) as (_, port, protocols):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await loop.create_connection(
                    Recorder, "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
                )
            assert all(protocol.events == [] for protocol in protocols)

    finish(loop, main())


def test_a_session_is_used_again(loop, server_context, client_context):
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    sessions = []

    class Remembering(ssl.SSLObject):
        """Offers the last session to the server."""

        @classmethod
        def _create(cls, *args, **kwargs):
            kwargs["session"] = sessions[-1] if sessions else None
            return super()._create(*args, **kwargs)

    client_context.sslobject_class = Remembering

    async def main():
        reused = []
        for _ in range(2):
            async with secured(server_context, client_context) as (client, server):
                client.transport.write(b"question")
                await until(lambda: server.data == b"question")
                server.transport.write(b"answer" * 10_000)
                await until(lambda: client.data == b"answer" * 10_000)
                session = client.transport.get_extra_info("ssl_object")
                assert type(session) is Remembering
                reused.append(session.session_reused)
                sessions.append(session.session)
                client.transport.close()
                await until(lambda: client.is_lost and server.is_lost)
                assert client.lost is None
        return reused

    assert finish(loop, main()) == [False, True]


def test_keys_are_logged_where_the_context_says(loop, tmp_path, server_context, client_context):
    client_context.keylog_filename = str(tmp_path / "keys")

    async def main():
        async with secured(server_context, client_context):
            pass

    finish(loop, main())
    # The context keeps the file open.
    client_context.keylog_filename = None
    assert "CLIENT_TRAFFIC_SECRET" in (tmp_path / "keys").read_text()


def test_versions_have_to_fit(loop, errors, server_context, client_context):
    server_context.minimum_version = ssl.TLSVersion.TLSv1_3
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def main():
        async with serving(ssl=server_context) as (_, port, _protocols):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await loop.create_connection(
                    Recorder, "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
                )

    finish(loop, main())
    assert errors == [], "a client that does not fit is no error of the server"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_every_version_is_spoken(loop, server_context, client_context, version):
    client_context.minimum_version = client_context.maximum_version = version

    async def main():
        async with secured(server_context, client_context) as (client, server):
            client.transport.write(b"hello")
            await until(lambda: server.data == b"hello")
            server.transport.close()
            await until(lambda: client.is_lost and server.is_lost)
            assert client.lost is None and server.lost is None

    finish(loop, main())


def test_a_certificate_for_another_name_is_refused(loop, errors, server_context, client_context):
    async def main():
        async with serving(ssl=server_context) as (_, port, protocols):
            with pytest.raises(ssl.SSLCertVerificationError, match="ostname mismatch"):
                await loop.create_connection(
                    Recorder, "127.0.0.1", port, ssl=client_context, server_hostname="elsewhere"
                )
            assert all(protocol.events == [] for protocol in protocols)

    finish(loop, main())
    assert errors == []


def test_a_certificate_of_a_stranger_is_refused(loop, errors, pki, server_context):
    async def main():
        async with serving(ssl=server_context) as (_, port, _protocols):
            with pytest.raises(ssl.SSLCertVerificationError) as caught:
                await loop.create_connection(
                    Recorder,
                    "127.0.0.1",
                    port,
                    ssl=pki.stranger.client_context(),
                    server_hostname="localhost",
                )
            assert caught.value.reason == "CERTIFICATE_VERIFY_FAILED"

    finish(loop, main())
    assert errors == []


def test_the_default_context_trusts_nobody_unknown(loop, server_context):
    async def main():
        async with serving(ssl=server_context) as (_, port, _protocols):
            with pytest.raises(ssl.SSLCertVerificationError):
                await loop.create_connection(Recorder, "localhost", port, ssl=True)

    finish(loop, main())


def test_without_a_name_nothing_is_compared(loop, server_context, client_context):
    client_context.check_hostname = False

    async def main():
        options = {"server_hostname": ""}
        async with secured(server_context, client_context, **options) as (client, _):
            assert client.transport.get_extra_info("ssl_object").server_hostname is None

    finish(loop, main())


def test_the_name_of_the_host_is_the_name_that_is_looked_for(loop, server_context, client_context):
    def serve(connection):
        assert connection.recv(1) == b""

    async def main(port):
        transport, protocol = await loop.create_connection(
            Recorder, "localhost", port, ssl=client_context, family=2
        )
        assert transport.get_extra_info("ssl_object").server_hostname == "localhost"
        transport.close()
        await until(lambda: protocol.is_lost)

    with blocking_server(server_context, serve) as (_, port):
        finish(loop, main(port))


def test_renegotiation_is_refused_as_openssl_says(loop, server_context, client_context):
    async def main():
        protocol = Recorder()
        async with connected_peer(server_context, client_context, protocol) as (_, peer):
            assert not hasattr(peer.session, "renegotiate")
            # A second handshake is nothing to a session that is established.
            peer.session.do_handshake()
            await peer.send(b"still here")
            await until(lambda: protocol.data == b"still here")

    finish(loop, main())

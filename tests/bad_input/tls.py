"""start_tls, and the transport of a connection that speaks TLS."""

import ssl

from bad_input.cases import ODD, Case, odd
from bad_input.connecting import client, made
from bad_input.serving import server


async def start(stage, transport, **options):
    options = made(stage, options)
    context = options.pop("sslcontext", None) or client(stage)
    return await stage.loop.start_tls(transport, transport.get_protocol(), context, **options)


def starting(kind="transport", **options):
    async def attempt(stage):
        return await start(stage, await getattr(stage, kind)(), **options)

    return attempt


def odd_start(where):
    """The odd value in one place of start_tls, on an open transport."""

    async def attempt(stage, value):
        transport = await stage.transport()
        arguments = {
            "transport": transport,
            "protocol": transport.get_protocol(),
            "sslcontext": client(stage),
            "server_hostname": "localhost",
            "ssl_handshake_timeout": 0.01,
        } | {where: value}
        return await stage.loop.start_tls(**arguments)

    return attempt


PLAIN_TIMEOUTS = {"None", "a fraction", "a huge number"}
CASES = [
    *(
        Case(
            "start_tls",
            f"{where} is {kind}",
            lambda stage, where=where, kind=kind: odd_start(where)(stage, odd(kind)),
        )
        for where in (
            "transport",
            "sslcontext",
            "server_hostname",
            "ssl_handshake_timeout",
            "ssl_shutdown_timeout",
        )
        for kind in ODD
        if not (where.endswith("timeout") and kind in PLAIN_TIMEOUTS)
        and (where, kind) != ("server_hostname", "a word")
    ),
    Case("start_tls", "nothing", lambda stage: stage.loop.start_tls()),
    Case("start_tls", "an option there is not", starting(nonsense=1)),
    Case("start_tls", "no name where names are checked", starting(ssl_handshake_timeout=0.01)),
    Case(
        "start_tls",
        "an empty name where names are checked",
        starting(server_hostname="", ssl_handshake_timeout=0.01),
    ),
    Case(
        "start_tls",
        "a name for a server",
        starting(
            server_side=True, server_hostname="localhost", sslcontext=server, ssl_handshake_timeout=0.01
        ),
    ),
    Case(
        "start_tls",
        "a context of servers for a client",
        starting(sslcontext=server, server_hostname="localhost"),
    ),
    Case("start_tls", "a context of clients for a server", starting(server_side=True)),
    Case("start_tls", "a context class", lambda stage: odd_start("sslcontext")(stage, ssl.SSLContext)),
    Case("start_tls", "a time-out of zero", starting(server_hostname="localhost", ssl_handshake_timeout=0)),
    Case(
        "start_tls",
        "a shutdown time-out of zero",
        starting(server_hostname="localhost", ssl_shutdown_timeout=0),
    ),
    Case(
        "start_tls",
        "the peer says nothing",
        starting(server_hostname="localhost", ssl_handshake_timeout=0.01),
    ),
    Case("start_tls", "a transport of datagrams", starting("endpoint", server_hostname="localhost")),
    Case("start_tls", "the reading end of a pipe", starting("reading_pipe", server_hostname="localhost")),
    Case("start_tls", "the writing end of a pipe", starting("writing_pipe", server_hostname="localhost")),
    Case(
        "start_tls",
        "a closed transport",
        starting("closed_transport", server_hostname="localhost", ssl_handshake_timeout=0.01),
    ),
]

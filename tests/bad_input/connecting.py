"""create_connection, create_unix_connection, connect_accepted_socket."""

import asyncio
import socket
import ssl

from bad_input.cases import Arguments, Case, wrong_types
from toolkit import refusing


def broken_factory():
    raise LookupError("no protocol today")


def client(stage):
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def tcp(**options):
    """create_connection with these options, made from the stage where they are functions of it."""
    return lambda stage: stage.loop.create_connection(asyncio.Protocol, **made(stage, options))


def unix(**options):
    return lambda stage: stage.loop.create_unix_connection(asyncio.Protocol, **made(stage, options))


def accepted(**options):
    return lambda stage: stage.loop.connect_accepted_socket(asyncio.Protocol, **made(stage, options))


def made(stage, options):
    return {name: value(stage) if callable(value) else value for name, value in options.items()}


async def refused(stage, **options):
    with refusing() as (host, port):
        return await stage.loop.create_connection(asyncio.Protocol, host, port, **options)


PAIRED = {"sock": lambda stage: stage.paired()}
FACTORY = ("protocol_factory", lambda stage: asyncio.Protocol)
TLS_ONLY = {
    "server_hostname": "localhost",
    "ssl_handshake_timeout": 5,
    "ssl_shutdown_timeout": 5,
}

CASES = [
    *wrong_types(
        "create_connection",
        Arguments(
            FACTORY,
            ("host", lambda stage: "127.0.0.1"),
            ("port", lambda stage: 9),
            family=lambda stage: socket.AF_INET,
            proto=lambda stage: 0,
            flags=lambda stage: 0,
            local_addr=lambda stage: None,
            happy_eyeballs_delay=lambda stage: None,
            interleave=lambda stage: None,
        ),
        leave_out=[("host", "a word"), "protocol_factory"],
    ),
    *wrong_types(
        "create_connection",
        Arguments(
            FACTORY,
            sock=lambda stage: stage.paired(),
            ssl=lambda stage: None,
            server_hostname=lambda stage: None,
            ssl_handshake_timeout=lambda stage: None,
            ssl_shutdown_timeout=lambda stage: None,
        ),
    ),
    *wrong_types(
        "create_connection",
        Arguments(
            FACTORY,
            sock=lambda stage: stage.paired(),
            ssl=client,
            server_hostname=lambda stage: "localhost",
            ssl_handshake_timeout=lambda stage: 5,
            ssl_shutdown_timeout=lambda stage: 5,
        ),
        leave_out=[
            "protocol_factory",
            "ssl",
            ("server_hostname", "a word"),
            ("server_hostname", "bytes"),
            ("server_hostname", "a list"),
            ("ssl_handshake_timeout", "None"),
            ("ssl_handshake_timeout", "a fraction"),
            ("ssl_shutdown_timeout", "None"),
            ("ssl_handshake_timeout", "a huge number"),
            ("ssl_shutdown_timeout", "a huge number"),
            ("ssl_shutdown_timeout", "a fraction"),
        ],
    ),
    Case("create_connection", "nothing", lambda stage: stage.loop.create_connection()),
    Case("create_connection", "neither host nor socket", tcp()),
    Case("create_connection", "an option there is not", tcp(nonsense=1)),
    Case("create_connection", "a host and a socket", tcp(host="127.0.0.1", port=9, **PAIRED)),
    Case("create_connection", "a port and a socket", tcp(port=9, **PAIRED)),
    *(
        Case("create_connection", f"{name} without ssl", tcp(host="127.0.0.1", port=9, **{name: value}))
        for name, value in TLS_ONLY.items()
    ),
    Case("create_connection", "an empty server_hostname without ssl", tcp(server_hostname="", **PAIRED)),
    Case("create_connection", "ssl without a name", tcp(ssl=client, **PAIRED)),
    Case("create_connection", "ssl with an empty host", tcp(host="", port=9, ssl=client)),
    Case(
        "create_connection",
        "an empty name where names are checked",
        tcp(ssl=client, server_hostname="", ssl_handshake_timeout=0.01, **PAIRED),
    ),
    Case(
        "create_connection",
        "ssl is a context of servers",
        tcp(ssl=lambda stage: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), server_hostname="localhost", **PAIRED),
    ),
    Case("create_connection", "a name with a NUL", tcp(ssl=client, server_hostname="local\0host", **PAIRED)),
    Case(
        "create_connection",
        "a time-out of zero",
        tcp(ssl=client, server_hostname="localhost", ssl_handshake_timeout=0, **PAIRED),
    ),
    Case(
        "create_connection",
        "a shutdown time-out of zero",
        tcp(ssl=client, server_hostname="localhost", ssl_shutdown_timeout=0, **PAIRED),
    ),
    Case("create_connection", "a socket of datagrams", tcp(sock=lambda stage: stage.udp())),
    Case("create_connection", "a closed socket", tcp(sock=lambda stage: stage.closed_socket())),
    Case("create_connection", "a socket that is not connected", tcp(sock=lambda stage: stage.sock())),
    Case("create_connection", "a socket that listens", tcp(sock=lambda stage: stage.listening())),
    Case("create_connection", "a socket that does TLS", tcp(sock=lambda stage: stage.secured())),
    Case(
        "create_connection",
        "a blocking socket",
        lambda stage: stage.loop.create_connection(asyncio.Protocol, sock=blocking(stage.paired())),
        "debugging",
    ),
    Case(
        "create_connection",
        "the factory raises",
        lambda stage: stage.loop.create_connection(broken_factory, sock=stage.paired()),
    ),
    Case("create_connection", "nobody listens", refused),
    Case("create_connection", "nobody listens, all errors", lambda stage: refused(stage, all_errors=True)),
    Case(
        "create_connection",
        "a local address that is not ours",
        tcp(host="127.0.0.1", port=9, local_addr=("192.0.2.1", 0)),
    ),
    Case(
        "create_connection",
        "a local address of another family",
        tcp(host="127.0.0.1", port=9, local_addr=("::1", 0)),
    ),
    Case("create_connection", "a port that is too large", tcp(host="127.0.0.1", port=1 << 17)),
    Case("create_connection", "a port that is negative", tcp(host="127.0.0.1", port=-5)),
    Case("create_connection", "a service that is none", tcp(host="127.0.0.1", port="no-such-service")),
    Case("create_connection", "a NUL in the host", tcp(host="local\0host", port=9)),
    Case("create_connection", "all is right", tcp(host="127.0.0.1", port=9), "closed"),
    Case("create_connection", "a socket", tcp(**PAIRED), "closed"),
    # ---- Unix ----
    *wrong_types(
        "create_unix_connection",
        Arguments(
            FACTORY,
            sock=lambda stage: stage.paired(),
            ssl=lambda stage: None,
            server_hostname=lambda stage: None,
            ssl_handshake_timeout=lambda stage: None,
            ssl_shutdown_timeout=lambda stage: None,
        ),
    ),
    *wrong_types(
        "create_unix_connection",
        Arguments(FACTORY, path=lambda stage: stage.path("nowhere")),
        leave_out=["protocol_factory"],
    ),
    Case("create_unix_connection", "nothing", lambda stage: stage.loop.create_unix_connection()),
    Case("create_unix_connection", "neither path nor socket", unix()),
    Case("create_unix_connection", "an option there is not", unix(nonsense=1)),
    Case("create_unix_connection", "a path and a socket", unix(path="/nowhere", **PAIRED)),
    *(
        Case("create_unix_connection", f"{name} without ssl", unix(path="/nowhere", **{name: value}))
        for name, value in TLS_ONLY.items()
    ),
    Case("create_unix_connection", "ssl without a name", unix(path="/nowhere", ssl=client)),
    Case(
        "create_unix_connection",
        "an empty name where names are checked",
        unix(ssl=client, server_hostname="", ssl_handshake_timeout=0.01, **PAIRED),
    ),
    Case("create_unix_connection", "a TCP socket", unix(sock=lambda stage: stage.sock())),
    Case("create_unix_connection", "a closed socket", unix(sock=lambda stage: stage.closed_socket())),
    Case(
        "create_unix_connection",
        "a socket of datagrams",
        unix(sock=lambda stage: stage.pair(socket.SOCK_DGRAM)[0]),
    ),
    Case(
        "create_unix_connection", "a path that leads nowhere", unix(path=lambda stage: stage.path("nowhere"))
    ),
    Case("create_unix_connection", "a path that is no socket", unix(path=lambda stage: stage.file().name)),
    Case("create_unix_connection", "a path that is too long", unix(path="/" + "x" * 200)),
    Case("create_unix_connection", "an empty path", unix(path="")),
    Case("create_unix_connection", "a socket that does TLS", unix(sock=lambda stage: stage.secured())),
    Case("create_unix_connection", "all is right", unix(path="/nowhere"), "closed"),
    Case("create_unix_connection", "a socket", unix(**PAIRED), "closed"),
    # ---- accepted elsewhere ----
    *wrong_types(
        "connect_accepted_socket",
        Arguments(
            FACTORY,
            ("sock", lambda stage: stage.paired()),
            ssl=lambda stage: None,
            ssl_handshake_timeout=lambda stage: None,
            ssl_shutdown_timeout=lambda stage: None,
        ),
    ),
    Case("connect_accepted_socket", "nothing", lambda stage: stage.loop.connect_accepted_socket()),
    Case("connect_accepted_socket", "no socket", accepted()),
    Case("connect_accepted_socket", "an option there is not", accepted(nonsense=1, **PAIRED)),
    Case(
        "connect_accepted_socket",
        "a handshake time-out without ssl",
        accepted(ssl_handshake_timeout=1, **PAIRED),
    ),
    Case(
        "connect_accepted_socket",
        "a shutdown time-out without ssl",
        accepted(ssl_shutdown_timeout=1, **PAIRED),
    ),
    Case("connect_accepted_socket", "a socket of datagrams", accepted(sock=lambda stage: stage.udp())),
    Case("connect_accepted_socket", "a closed socket", accepted(sock=lambda stage: stage.closed_socket())),
    Case("connect_accepted_socket", "a socket that does TLS", accepted(sock=lambda stage: stage.secured())),
    Case(
        "connect_accepted_socket", "a socket that is not connected", accepted(sock=lambda stage: stage.sock())
    ),
    Case("connect_accepted_socket", "ssl is a context of clients", accepted(ssl=client, **PAIRED)),
    Case("connect_accepted_socket", "ssl is True", accepted(ssl=True, **PAIRED)),
    Case("connect_accepted_socket", "all is right", accepted(**PAIRED), "closed"),
]


def blocking(sock):
    sock.setblocking(True)
    return sock

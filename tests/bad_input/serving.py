"""create_server, create_unix_server, and what a server is asked afterwards."""

import asyncio
import socket
import ssl

from bad_input.cases import Arguments, Case, wrong_types
from bad_input.connecting import FACTORY, blocking, client, made


def tcp(**options):
    return lambda stage: stage.loop.create_server(asyncio.Protocol, **made(stage, options))


def unix(**options):
    return lambda stage: stage.loop.create_unix_server(asyncio.Protocol, **made(stage, options))


def server(stage):
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def unbound(stage):
    return stage.unix()


async def in_use(stage):
    """A port that somebody else listens on."""
    return await stage.loop.create_server(asyncio.Protocol, *stage.listening().getsockname())


async def path_in_use(stage):
    path = stage.path()
    stage.file()
    return await stage.loop.create_unix_server(asyncio.Protocol, stage.path("file") or path)


def after_close(call):
    """On a server that was closed."""

    async def attempt(stage):
        subject = await stage.server()
        subject.close()
        await asyncio.sleep(0)
        result = call(subject)
        return await result if asyncio.iscoroutine(result) else result

    return attempt


def on_server(call):
    async def attempt(stage):
        result = call(await stage.server())
        return await result if asyncio.iscoroutine(result) else result

    return attempt


async def served_twice(stage):
    subject = await stage.server()
    first = asyncio.ensure_future(subject.serve_forever())
    await asyncio.sleep(0)
    try:
        return await subject.serve_forever()
    finally:
        first.cancel()
        await asyncio.wait([first])


PUBLIC = (
    "close",
    "get_loop",
    "is_serving",
    "start_serving",
    "serve_forever",
    "wait_closed",
    # Of a server of asyncio's since 3.13.
    *(name for name in ("abort_clients", "close_clients") if hasattr(asyncio.Server, name)),
)

CASES = [
    *wrong_types(
        "create_server",
        Arguments(
            FACTORY,
            ("host", lambda stage: "127.0.0.1"),
            ("port", lambda stage: 0),
            family=lambda stage: socket.AF_INET,
            flags=lambda stage: 0,
            backlog=lambda stage: 10,
            reuse_address=lambda stage: None,
            reuse_port=lambda stage: None,
            start_serving=lambda stage: True,
        ),
        leave_out=["protocol_factory", ("host", "a word"), ("host", "None"), ("port", "None")],
    ),
    *wrong_types(
        "create_server",
        Arguments(
            FACTORY,
            sock=lambda stage: stage.listening(),
            ssl=lambda stage: None,
            ssl_handshake_timeout=lambda stage: None,
            ssl_shutdown_timeout=lambda stage: None,
        ),
        leave_out=["protocol_factory"],
    ),
    Case("create_server", "nothing", lambda stage: stage.loop.create_server()),
    Case("create_server", "neither host nor socket", tcp()),
    Case("create_server", "an option there is not", tcp(nonsense=1)),
    Case(
        "create_server", "a host and a socket", tcp(host="127.0.0.1", port=0, sock=lambda stage: stage.sock())
    ),
    Case("create_server", "a port and a socket", tcp(port=0, sock=lambda stage: stage.sock())),
    Case(
        "create_server",
        "a handshake time-out without ssl",
        tcp(host="127.0.0.1", port=0, ssl_handshake_timeout=1),
    ),
    Case(
        "create_server",
        "a shutdown time-out without ssl",
        tcp(host="127.0.0.1", port=0, ssl_shutdown_timeout=1),
    ),
    Case("create_server", "ssl is True", tcp(host="127.0.0.1", port=0, ssl=True)),
    Case("create_server", "ssl is False", tcp(host="127.0.0.1", port=0, ssl=False)),
    Case("create_server", "ssl is a context of clients", tcp(host="127.0.0.1", port=0, ssl=client)),
    Case(
        "create_server",
        "a time-out of zero",
        tcp(host="127.0.0.1", port=0, ssl=server, ssl_handshake_timeout=0),
    ),
    Case("create_server", "a socket of datagrams", tcp(sock=lambda stage: stage.udp())),
    Case("create_server", "a closed socket", tcp(sock=lambda stage: stage.closed_socket())),
    Case("create_server", "a socket that does TLS", tcp(sock=lambda stage: stage.secured())),
    Case("create_server", "a connected socket", tcp(sock=lambda stage: stage.paired())),
    Case(
        "create_server", "a blocking socket", tcp(sock=lambda stage: blocking(stage.listening())), "debugging"
    ),
    Case("create_server", "a negative backlog", tcp(host="127.0.0.1", port=0, backlog=-1)),
    Case("create_server", "a port in use", in_use),
    Case("create_server", "a port that is too large", tcp(host="127.0.0.1", port=1 << 17)),
    Case("create_server", "a negative port", tcp(host="127.0.0.1", port=-1)),
    Case("create_server", "an address that is not ours", tcp(host="192.0.2.1", port=0)),
    Case("create_server", "one of the addresses is not ours", tcp(host=["127.0.0.1", "192.0.2.1"], port=0)),
    Case("create_server", "no host in the list", tcp(host=[], port=0)),
    Case("create_server", "all is right", tcp(host="127.0.0.1", port=0), "closed"),
    Case("create_server", "a socket", tcp(sock=lambda stage: stage.listening()), "closed"),
    # ---- Unix ----
    *wrong_types(
        "create_unix_server",
        Arguments(FACTORY, path=lambda stage: stage.path(), backlog=lambda stage: 10),
        leave_out=["protocol_factory", ("path", "a word"), ("path", "bytes")],
    ),
    *wrong_types(
        "create_unix_server",
        Arguments(
            FACTORY,
            sock=unbound,
            ssl=lambda stage: None,
            ssl_handshake_timeout=lambda stage: None,
            ssl_shutdown_timeout=lambda stage: None,
        ),
        leave_out=["protocol_factory"],
    ),
    Case("create_unix_server", "nothing", lambda stage: stage.loop.create_unix_server()),
    Case("create_unix_server", "neither path nor socket", unix()),
    Case("create_unix_server", "an option there is not", unix(nonsense=1)),
    Case("create_unix_server", "a path and a socket", unix(path="/nowhere", sock=unbound)),
    Case(
        "create_unix_server",
        "a handshake time-out without ssl",
        unix(path=lambda stage: stage.path(), ssl_handshake_timeout=1),
    ),
    Case(
        "create_unix_server",
        "a shutdown time-out without ssl",
        unix(path=lambda stage: stage.path(), ssl_shutdown_timeout=1),
    ),
    Case("create_unix_server", "ssl is True", unix(path=lambda stage: stage.path(), ssl=True)),
    Case("create_unix_server", "a TCP socket", unix(sock=lambda stage: stage.listening())),
    Case("create_unix_server", "a closed socket", unix(sock=lambda stage: stage.closed_socket())),
    Case("create_unix_server", "a connected socket", unix(sock=lambda stage: stage.paired())),
    Case(
        "create_unix_server",
        "a socket of datagrams",
        unix(sock=lambda stage: stage.pair(socket.SOCK_DGRAM)[0]),
    ),
    Case("create_unix_server", "a path that is a file", path_in_use),
    Case("create_unix_server", "a folder that is not there", unix(path=lambda stage: stage.path("no/where"))),
    Case("create_unix_server", "a path that is too long", unix(path="/" + "x" * 200)),
    Case("create_unix_server", "an empty path", unix(path="")),
    Case("create_unix_server", "all is right", unix(path=lambda stage: stage.path()), "closed"),
    # ---- the server ----
    *(
        Case(f"Server.{name}", "an argument", on_server(lambda subject, name=name: getattr(subject, name)(1)))
        for name in PUBLIC
    ),
    *(
        Case(
            f"Server.{name}",
            "after closing",
            after_close(lambda subject, name=name: getattr(subject, name)()),
        )
        for name in PUBLIC
        if name != "get_loop"
    ),
    Case("Server.serve_forever", "twice at once", served_twice),
    Case("Server.sockets", "set", on_server(lambda subject: setattr(subject, "sockets", ()))),
    Case("Server.sockets", "after closing", after_close(lambda subject: subject.sockets)),
    Case("Server.start_serving", "twice", on_server(lambda subject: subject.start_serving())),
]

"""create_datagram_endpoint and its transport."""

import asyncio
import socket

from bad_input.cases import Arguments, Case, wrong_types
from bad_input.connecting import made


def udp(**options):
    return lambda stage: stage.loop.create_datagram_endpoint(asyncio.DatagramProtocol, **made(stage, options))


def broken_factory():
    raise LookupError("no protocol today")


def on(kind, call):
    """On an endpoint that the stage makes."""

    async def attempt(stage):
        return call(await getattr(stage, kind)())

    return attempt


def after_close(kind, call):
    async def attempt(stage):
        transport = await getattr(stage, kind)()
        transport.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return call(transport)

    return attempt


FACTORY = ("protocol_factory", lambda stage: asyncio.DatagramProtocol)
MODIFIERS = {
    "local_addr": ("127.0.0.1", 0),
    "remote_addr": ("127.0.0.1", 9),
    "family": socket.AF_INET,
    "proto": socket.IPPROTO_UDP,
    "flags": 1,
    "reuse_port": True,
    "allow_broadcast": True,
}
LATER = ("abort", "close", "get_extra_info", "get_protocol", "is_closing", "sendto", "set_protocol")

CASES = [
    *wrong_types(
        "create_datagram_endpoint",
        Arguments(
            FACTORY,
            local_addr=lambda stage: ("127.0.0.1", 0),
            family=lambda stage: socket.AF_INET,
            proto=lambda stage: 0,
            flags=lambda stage: 0,
            reuse_port=lambda stage: None,
            allow_broadcast=lambda stage: None,
        ),
    ),
    *wrong_types(
        "create_datagram_endpoint",
        Arguments(FACTORY, remote_addr=lambda stage: ("127.0.0.1", 9)),
        leave_out=["protocol_factory"],
    ),
    *wrong_types(
        "create_datagram_endpoint",
        Arguments(FACTORY, sock=lambda stage: stage.udp()),
        leave_out=["protocol_factory"],
    ),
    Case("create_datagram_endpoint", "nothing", lambda stage: stage.loop.create_datagram_endpoint()),
    Case("create_datagram_endpoint", "no address", udp()),
    Case("create_datagram_endpoint", "an option there is not", udp(nonsense=1)),
    Case("create_datagram_endpoint", "reuse_address", udp(local_addr=("127.0.0.1", 0), reuse_address=True)),
    *(
        Case(
            "create_datagram_endpoint",
            f"{name} with a socket",
            udp(sock=lambda stage: stage.udp(), **{name: value}),
        )
        for name, value in MODIFIERS.items()
    ),
    Case(
        "create_datagram_endpoint",
        "all modifiers with a socket",
        udp(sock=lambda stage: stage.udp(), **MODIFIERS),
    ),
    Case("create_datagram_endpoint", "a stream socket", udp(sock=lambda stage: stage.paired())),
    Case("create_datagram_endpoint", "a closed socket", udp(sock=lambda stage: stage.closed_socket())),
    Case(
        "create_datagram_endpoint", "a closed socket of datagrams", udp(sock=lambda stage: shut(stage.udp()))
    ),
    Case(
        "create_datagram_endpoint",
        "addresses of two families",
        udp(local_addr=("127.0.0.1", 0), remote_addr=("::1", 9)),
    ),
    Case("create_datagram_endpoint", "a local address that is not ours", udp(local_addr=("192.0.2.1", 0))),
    Case("create_datagram_endpoint", "a local address of one part", udp(local_addr=("127.0.0.1",))),
    Case("create_datagram_endpoint", "an address in a list", udp(local_addr=["127.0.0.1", 0])),
    Case(
        "create_datagram_endpoint",
        "a port in use",
        lambda stage: stage.loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=bound(stage.udp())
        ),
    ),
    Case(
        "create_datagram_endpoint",
        "a Unix address that is no text",
        udp(family=socket.AF_UNIX, local_addr=("127.0.0.1", 0)),
    ),
    Case(
        "create_datagram_endpoint",
        "a Unix address that leads nowhere",
        udp(family=socket.AF_UNIX, remote_addr=lambda stage: stage.path("nowhere")),
    ),
    Case(
        "create_datagram_endpoint",
        "an address that no family has",
        udp(family=socket.AF_INET6, local_addr=("127.0.0.1", 0)),
    ),
    Case(
        "create_datagram_endpoint",
        "the factory raises",
        lambda stage: stage.loop.create_datagram_endpoint(broken_factory, sock=stage.udp()),
    ),
    Case("create_datagram_endpoint", "all is right", udp(local_addr=("127.0.0.1", 0)), "closed"),
    Case("create_datagram_endpoint", "a socket", udp(sock=lambda stage: stage.udp()), "closed"),
    # ---- the transport ----
    *wrong_types(
        "DatagramTransport.sendto",
        Arguments(("data", lambda stage: b"data"), ("addr", lambda stage: ("127.0.0.1", 9))),
        on="endpoint",
        leave_out=[("addr", "None")],
    ),
    *wrong_types(
        "DatagramTransport.sendto",
        Arguments(("data", lambda stage: b"data"), ("addr", lambda stage: None)),
        on="connected_endpoint",
    ),
    *wrong_types(
        "DatagramTransport.set_protocol",
        Arguments(("protocol", lambda stage: asyncio.DatagramProtocol())),
        on="endpoint",
    ),
    *wrong_types(
        "DatagramTransport.get_extra_info",
        Arguments(("name", lambda stage: "socket"), ("default", lambda stage: None)),
        on="endpoint",
        leave_out=[("name", "a list"), "default"],
    ),
    Case(
        "DatagramTransport.get_extra_info",
        "a list",
        on("endpoint", lambda transport: transport.get_extra_info([])),
    ),
    Case("DatagramTransport.sendto", "nothing", on("endpoint", lambda transport: transport.sendto())),
    Case(
        "DatagramTransport.sendto",
        "no address where there must be one",
        on("endpoint", lambda transport: transport.sendto(b"data")),
    ),
    Case(
        "DatagramTransport.sendto",
        "another address than the fixed one",
        on("connected_endpoint", lambda transport: transport.sendto(b"data", ("127.0.0.1", 10))),
    ),
    Case(
        "DatagramTransport.sendto",
        "nothing to send",
        on("endpoint", lambda transport: transport.sendto(b"", ("127.0.0.1", 9))),
    ),
    Case(
        "DatagramTransport.sendto",
        "a datagram that is too large",
        on("endpoint", lambda transport: transport.sendto(bytes(70_000), ("127.0.0.1", 9))),
    ),
    *(
        Case(
            f"DatagramTransport.{name}",
            "an option there is not",
            on("endpoint", lambda transport, name=name: getattr(transport, name)(nonsense=1)),
        )
        for name in LATER
    ),
    *(
        Case(
            f"DatagramTransport.{name}",
            "after closing",
            after_close(
                "connected_endpoint", lambda transport, name=name, args=args: getattr(transport, name)(*args)
            ),
        )
        for name, args in {
            "close": (),
            "is_closing": (),
            "sendto": (b"data",),
            "get_extra_info": ("nonsense", 7),
            "get_protocol": (),
        }.items()
    ),
]


def shut(sock):
    sock.close()
    return sock


def bound(sock):
    sock.bind(("127.0.0.1", 0))
    return sock.getsockname()

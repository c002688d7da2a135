"""The sock_* methods and sock_sendfile."""

from bad_input.cases import Arguments, Case, wrong_types

SOCK = ("sock", lambda stage: stage.paired())
ARGUMENTS = {
    "sock_recv": Arguments(SOCK, ("n", lambda stage: 10)),
    "sock_recv_into": Arguments(SOCK, ("buf", lambda stage: bytearray(10))),
    "sock_recvfrom": Arguments(SOCK, ("bufsize", lambda stage: 10)),
    "sock_recvfrom_into": Arguments(SOCK, ("buf", lambda stage: bytearray(10)), ("nbytes", lambda stage: 0)),
    "sock_sendall": Arguments(SOCK, ("data", lambda stage: b"data")),
    "sock_sendto": Arguments(
        ("sock", lambda stage: stage.udp()),
        ("data", lambda stage: b"data"),
        ("address", lambda stage: ("127.0.0.1", 9)),
    ),
    "sock_connect": Arguments(
        ("sock", lambda stage: stage.sock()), ("address", lambda stage: ("127.0.0.1", 9))
    ),
    "sock_accept": Arguments(("sock", lambda stage: stage.listening())),
    "sock_sendfile": Arguments(
        SOCK,
        ("file", lambda stage: stage.file()),
        ("offset", lambda stage: 0),
        ("count", lambda stage: None),
        fallback=lambda stage: True,
    ),
}
# What stands for the default, and then waits for something to arrive.
RIGHT = ["fallback", ("nbytes", "None"), ("nbytes", "a list")]


def call(method, sock):
    """The method with this for a socket and the rest right."""

    def attempt(stage):
        args, kwargs = ARGUMENTS[method].made(stage)
        return getattr(stage.loop, method)(sock(stage), *args[1:], **kwargs)

    return attempt


async def socket_of_transport(stage, method):
    transport = await stage.transport()
    return await call(method, lambda stage: transport.get_extra_info("socket"))(stage)


def unused(stage):
    with stage.sock() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()


CASES = [
    *(
        case
        for method, arguments in ARGUMENTS.items()
        for case in (
            *wrong_types(method, arguments, leave_out=RIGHT),
            Case(method, "nothing", lambda stage, m=method: getattr(stage.loop, m)()),
            Case(
                method,
                "an option there is not",
                lambda stage, m=method: getattr(stage.loop, m)(stage.paired(), nonsense=1),
            ),
            Case(method, "a closed socket", call(method, lambda stage: stage.closed_socket())),
            Case(method, "a socket that is not connected", call(method, lambda stage: stage.sock())),
            Case(method, "a socket that does TLS", call(method, lambda stage: stage.secured())),
            Case(
                method,
                "a blocking socket",
                call(method, lambda stage: stage.sock(blocking=True)),
                "debugging",
            ),
            Case(method, "the socket of a transport", lambda stage, m=method: socket_of_transport(stage, m)),
            Case(
                method,
                "all is right",
                lambda stage, m=method, a=arguments: getattr(stage.loop, m)(*a.made(stage)[0]),
                "closed",
            ),
        )
    ),
    *(
        Case(method, "a socket of datagrams", call(method, lambda stage: stage.udp()))
        for method in ("sock_sendall", "sock_accept", "sock_sendfile")
    ),
    Case("sock_recv", "zero bytes", lambda stage: stage.loop.sock_recv(stage.paired(), 0)),
    Case(
        "sock_recv_into",
        "a buffer that cannot be written",
        lambda stage: stage.loop.sock_recv_into(stage.paired(), b"constant"),
    ),
    Case(
        "sock_recvfrom_into",
        "more than the buffer holds",
        lambda stage: stage.loop.sock_recvfrom_into(stage.paired(), bytearray(2), 3),
    ),
    Case(
        "sock_connect", "nobody listens", lambda stage: stage.loop.sock_connect(stage.sock(), unused(stage))
    ),
    Case(
        "sock_connect",
        "a socket that is connected",
        lambda stage: stage.loop.sock_connect(stage.paired(), "/nowhere"),
    ),
    Case(
        "sock_connect",
        "an address of another family",
        lambda stage: stage.loop.sock_connect(stage.sock(), ("::1", 9)),
    ),
    Case(
        "sock_connect",
        "a port that is too large",
        lambda stage: stage.loop.sock_connect(stage.sock(), ("127.0.0.1", 1 << 17)),
    ),
    Case(
        "sock_connect",
        "a path that leads nowhere",
        lambda stage: stage.loop.sock_connect(stage.unix(), stage.path("nowhere")),
    ),
    Case(
        "sock_connect",
        "a path that is too long",
        lambda stage: stage.loop.sock_connect(stage.unix(), "/" + "x" * 200),
    ),
    Case(
        "sock_sendto",
        "an address of another family",
        lambda stage: stage.loop.sock_sendto(stage.udp(), b"data", ("::1", 9)),
    ),
    Case(
        "sock_sendto",
        "a datagram that is too large",
        lambda stage: stage.loop.sock_sendto(stage.udp(), bytes(70_000), ("127.0.0.1", 9)),
    ),
    Case(
        "sock_sendto",
        "no address where there must be one",
        lambda stage: stage.loop.sock_sendto(stage.udp(), b"data", None),
    ),
    Case(
        "sock_sendfile",
        "a file of text",
        lambda stage: stage.loop.sock_sendfile(stage.paired(), stage.file("r")),
    ),
    Case(
        "sock_sendfile",
        "a closed file",
        lambda stage: stage.loop.sock_sendfile(stage.paired(), closed_file(stage)),
    ),
    Case(
        "sock_sendfile",
        "a file open for writing alone",
        lambda stage: stage.loop.sock_sendfile(stage.paired(), stage.file("ab")),
    ),
    Case(
        "sock_sendfile",
        "a count of zero",
        lambda stage: stage.loop.sock_sendfile(stage.paired(), stage.file(), 0, 0),
    ),
    Case(
        "sock_sendfile",
        "no fallback where one is needed",
        lambda stage: stage.loop.sock_sendfile(stage.paired(), stage.pipe()[0], fallback=False),
    ),
    Case(
        "sock_sendfile",
        "an offset past the end",
        lambda stage: stage.loop.sock_sendfile(stage.paired(), stage.file(), 1000),
    ),
]


def closed_file(stage):
    file = stage.file()
    file.close()
    return file

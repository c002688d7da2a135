"""The transport of a connection that has shaken hands over TLS."""

from bad_input.cases import Case, wrong_types
from bad_input.transports import BARE, RIGHT, NoProtocol, on
from tls.certificates import OPENSSL

# The protocol that speaks TLS for asyncio has attributes of its own for these.
BARE = tuple(name for name in BARE if name not in ("get_protocol",))


def named(name):
    return f"TLS transport.{name}"


def calling(kind, name, *arguments, **options):
    return on(kind, lambda transport: getattr(transport, name)(*arguments, **options))


ALL = [
    *(
        case
        for name, arguments in RIGHT.items()
        for case in (
            *(
                Case(named(name), each.what, each.attempt)
                for each in wrong_types(
                    f"Transport.{name}", arguments, on="tls_transport", leave_out=["default"]
                )
            ),
            Case(named(name), "nothing", calling("tls_transport", name)),
            Case(named(name), "too much", calling("tls_transport", name, *[b""] * 9)),
        )
    ),
    *(
        Case(named(name), "an option there is not", calling("tls_transport", name, nonsense=1))
        for name in BARE
    ),
    *(
        Case(named(name), "on a closed transport", calling("closed_tls_transport", name))
        for name in BARE
        if name != "abort"
    ),
    *(
        Case(named(name), f"all is right on a {kind.replace('_', ' ')}", calling(kind, name, *arguments))
        for name, arguments in {
            "write": (b"data",),
            "writelines": ([b"data", b"more"],),
            "set_write_buffer_limits": (5, 1),
            "get_extra_info": ("nonsense", 3),
        }.items()
        for kind in ("tls_transport", "closed_tls_transport")
    ),
    Case(named("writelines"), "a word among them", calling("tls_transport", "writelines", [b"data", "word"])),
    Case(
        named("writelines"),
        "a generator that raises",
        on("tls_transport", lambda t: t.writelines(1 / 0 for _ in "x")),
    ),
    Case(
        named("set_write_buffer_limits"),
        "low above high",
        calling("tls_transport", "set_write_buffer_limits", high=1, low=2),
    ),
    Case(
        named("set_write_buffer_limits"),
        "low below zero",
        calling("tls_transport", "set_write_buffer_limits", high=1, low=-1),
    ),
    Case(named("write_eof"), "there is none", calling("tls_transport", "write_eof")),
    Case(
        named("pause_reading"),
        "twice",
        on("tls_transport", lambda t: [t.pause_reading(), t.pause_reading()]),
    ),
    Case(named("resume_reading"), "without a pause", calling("tls_transport", "resume_reading")),
    Case(named("close"), "twice", on("tls_transport", lambda t: [t.close(), t.close()])),
    Case(named("abort"), "twice", on("tls_transport", lambda t: [t.abort(), t.abort()])),
    Case(named("close"), "after abort()", on("tls_transport", lambda t: [t.abort(), t.close()])),
    Case(
        named("set_protocol"),
        "an object without methods",
        on("tls_transport", lambda t: [t.set_protocol(NoProtocol()), type(t.get_protocol()).__name__]),
    ),
]
# Without the openssl command there is nobody to shake hands with.
CASES = ALL if OPENSSL is not None else []

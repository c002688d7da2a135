"""The transport of a TCP or Unix connection."""

import asyncio

from bad_input.cases import Arguments, Case, wrong_types


def on(kind, call):
    """On a transport that the stage makes."""

    async def attempt(stage):
        return call(await getattr(stage, kind)())

    return attempt


class NoProtocol:
    """Has none of a protocol's methods."""


RIGHT = {
    "write": Arguments(("data", lambda stage: b"data")),
    "writelines": Arguments(("list_of_data", lambda stage: [b"data"])),
    "set_write_buffer_limits": Arguments(("high", lambda stage: 20), ("low", lambda stage: 10)),
    "set_protocol": Arguments(("protocol", lambda stage: asyncio.Protocol())),
    "get_extra_info": Arguments(("name", lambda stage: "socket"), ("default", lambda stage: None)),
}
BARE = (
    "abort",
    "can_write_eof",
    "close",
    "get_protocol",
    "get_write_buffer_limits",
    "get_write_buffer_size",
    "is_closing",
    "is_reading",
    "pause_reading",
    "resume_reading",
    "write_eof",
)
KINDS = ("transport", "closed_transport", "ended_transport")


def names(prefix):
    return [f"{prefix}.{name}" for name in (*RIGHT, *BARE)]


CASES = [
    *(
        case
        for name, arguments in RIGHT.items()
        for case in (
            *wrong_types(f"Transport.{name}", arguments, on="transport", leave_out=["default"]),
            Case(f"Transport.{name}", "nothing", on("transport", lambda t, name=name: getattr(t, name)())),
            Case(
                f"Transport.{name}",
                "too much",
                on("transport", lambda t, name=name: getattr(t, name)(*[b""] * 9)),
            ),
        )
    ),
    *wrong_types("Transport.write", RIGHT["write"], on="closed_transport"),
    *wrong_types("Transport.write", RIGHT["write"], on="ended_transport"),
    *(
        Case(
            f"Transport.{name}",
            "an option there is not",
            on("transport", lambda t, name=name: getattr(t, name)(nonsense=1)),
        )
        for name in BARE
    ),
    *(
        Case(
            f"Transport.{name}",
            f"on a {kind.replace('_', ' ')}",
            on(kind, lambda t, name=name: getattr(t, name)()),
        )
        for name in BARE
        if name not in ("abort",)
        for kind in KINDS[1:]
    ),
    *(
        Case(
            f"Transport.{name}",
            f"all is right on a {kind.replace('_', ' ')}",
            on(kind, lambda t, name=name, args=args: getattr(t, name)(*args)),
        )
        for name, args in {
            "write": (b"data",),
            "set_write_buffer_limits": (5, 1),
            "get_extra_info": ("nonsense", 3),
        }.items()
        for kind in KINDS
    ),
    Case(
        "Transport.writelines",
        "on an ended transport",
        on("ended_transport", lambda t: t.writelines([b"data"])),
    ),
    Case(
        "Transport.writelines",
        "a word among the pieces",
        on("transport", lambda t: t.writelines([b"data", "word"])),
    ),
    Case(
        "Transport.writelines",
        "a generator that raises",
        on("transport", lambda t: t.writelines(1 / 0 for _ in "x")),
    ),
    Case(
        "Transport.set_write_buffer_limits",
        "low above high",
        on("transport", lambda t: t.set_write_buffer_limits(high=1, low=2)),
    ),
    Case(
        "Transport.set_write_buffer_limits",
        "low below zero",
        on("transport", lambda t: t.set_write_buffer_limits(high=1, low=-1)),
    ),
    Case(
        "Transport.set_write_buffer_limits",
        "a name for a number",
        on("transport", lambda t: t.set_write_buffer_limits(low="word")),
    ),
    Case("Transport.write_eof", "twice", on("transport", lambda t: [t.write_eof(), t.write_eof()])),
    Case(
        "Transport.pause_reading", "twice", on("transport", lambda t: [t.pause_reading(), t.pause_reading()])
    ),
    Case("Transport.resume_reading", "without a pause", on("transport", lambda t: t.resume_reading())),
    Case("Transport.close", "twice", on("transport", lambda t: [t.close(), t.close()])),
    Case("Transport.abort", "twice", on("transport", lambda t: [t.abort(), t.abort()])),
    Case(
        "Transport.set_protocol",
        "an object without methods",
        on("transport", lambda t: [t.set_protocol(NoProtocol()), type(t.get_protocol()).__name__]),
    ),
    Case(
        "Transport.get_extra_info",
        "a name there is not",
        on("transport", lambda t: t.get_extra_info("nonsense")),
    ),
    Case("Transport", "compared with a number", on("transport", lambda t: t == 3)),
]

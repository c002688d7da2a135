"""connect_read_pipe, connect_write_pipe and their transports."""

import asyncio

from bad_input.cases import Arguments, Case, wrong_types
from bad_input.transports import on


def broken_factory():
    raise LookupError("no protocol today")


def reading(make):
    return lambda stage: stage.loop.connect_read_pipe(asyncio.Protocol, make(stage))


def writing(make):
    return lambda stage: stage.loop.connect_write_pipe(asyncio.Protocol, make(stage))


def shut(file):
    file.close()
    return file


READING = ("close", "get_protocol", "is_closing", "is_reading", "pause_reading", "resume_reading")
WRITING = (
    "abort",
    "can_write_eof",
    "close",
    "get_protocol",
    "get_write_buffer_limits",
    "get_write_buffer_size",
    "is_closing",
    "write_eof",
)


def closed(kind, call):
    async def attempt(stage):
        transport = await getattr(stage, kind)()
        transport.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return call(transport)

    return attempt


CASES = [
    *(
        case
        for method, end, connect in (("connect_read_pipe", 0, reading), ("connect_write_pipe", 1, writing))
        for case in (
            *wrong_types(
                method,
                Arguments(
                    ("protocol_factory", lambda stage: asyncio.Protocol),
                    ("pipe", lambda stage, end=end: stage.pipe()[end]),
                ),
                leave_out=[("protocol_factory", "a type")],
            ),
            Case(method, "nothing", lambda stage, m=method: getattr(stage.loop, m)()),
            Case(method, "no pipe", lambda stage, m=method: getattr(stage.loop, m)(asyncio.Protocol)),
            Case(
                method,
                "an option there is not",
                lambda stage, m=method, end=end: getattr(stage.loop, m)(
                    asyncio.Protocol, stage.pipe()[end], nonsense=1
                ),
            ),
            Case(method, "a regular file", connect(lambda stage: stage.file())),
            Case(method, "a closed file", connect(lambda stage, end=end: shut(stage.pipe()[end]))),
            Case(method, "a closed socket", connect(lambda stage: stage.closed_socket())),
            Case(method, "a number", connect(lambda stage, end=end: stage.pipe()[end].fileno())),
            Case(method, "the other end", connect(lambda stage, end=end: stage.pipe()[1 - end])),
            Case(
                method,
                "the factory raises",
                lambda stage, m=method, end=end: getattr(stage.loop, m)(broken_factory, stage.pipe()[end]),
            ),
            Case(
                method,
                "all is right",
                lambda stage, m=method, end=end: getattr(stage.loop, m)(asyncio.Protocol, stage.pipe()[end]),
                "closed",
            ),
        )
    ),
    *wrong_types("WriteTransport.write", Arguments(("data", lambda stage: b"data")), on="writing_pipe"),
    *wrong_types(
        "WriteTransport.writelines", Arguments(("list_of_data", lambda stage: [b"data"])), on="writing_pipe"
    ),
    *wrong_types(
        "WriteTransport.set_write_buffer_limits",
        Arguments(("high", lambda stage: 2), ("low", lambda s: 1)),
        on="writing_pipe",
    ),
    *wrong_types(
        "WriteTransport.set_protocol",
        Arguments(("protocol", lambda stage: asyncio.Protocol())),
        on="writing_pipe",
    ),
    *wrong_types(
        "ReadTransport.set_protocol",
        Arguments(("protocol", lambda stage: asyncio.Protocol())),
        on="reading_pipe",
    ),
    *wrong_types(
        "WriteTransport.get_extra_info", Arguments(("name", lambda stage: "pipe")), on="writing_pipe"
    ),
    *wrong_types(
        "ReadTransport.get_extra_info", Arguments(("name", lambda stage: "pipe")), on="reading_pipe"
    ),
    *(
        Case(
            f"ReadTransport.{name}",
            "an option there is not",
            on("reading_pipe", lambda t, name=name: getattr(t, name)(nonsense=1)),
        )
        for name in READING
    ),
    *(
        Case(
            f"WriteTransport.{name}",
            "an option there is not",
            on("writing_pipe", lambda t, name=name: getattr(t, name)(nonsense=1)),
        )
        for name in WRITING
    ),
    *(
        Case(
            f"ReadTransport.{name}",
            "after closing",
            closed("reading_pipe", lambda t, name=name: getattr(t, name)()),
        )
        for name in READING
    ),
    *(
        Case(
            f"WriteTransport.{name}",
            "after closing",
            closed("writing_pipe", lambda t, name=name: getattr(t, name)()),
        )
        for name in WRITING
        if name != "abort"
    ),
    Case("WriteTransport.abort", "once", on("writing_pipe", lambda t: t.abort())),
    Case("WriteTransport.write", "after closing", closed("writing_pipe", lambda t: t.write(b"data"))),
    Case(
        "WriteTransport.write",
        "after the end",
        on("writing_pipe", lambda t: [t.write_eof(), t.write(b"data")]),
    ),
    Case("WriteTransport.write_eof", "twice", on("writing_pipe", lambda t: [t.write_eof(), t.write_eof()])),
    Case(
        "WriteTransport.set_write_buffer_limits",
        "low above high",
        on("writing_pipe", lambda t: t.set_write_buffer_limits(1, 2)),
    ),
    Case(
        "ReadTransport.pause_reading",
        "twice",
        on("reading_pipe", lambda t: [t.pause_reading(), t.pause_reading()]),
    ),
    Case("ReadTransport.resume_reading", "without a pause", on("reading_pipe", lambda t: t.resume_reading())),
]

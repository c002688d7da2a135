"""sendfile."""

from bad_input.cases import ODD, Arguments, Case, odd, wrong_types  # noqa: F401
from bad_input.sockets import closed_file


def sending(kind="transport", file=lambda stage: stage.file(), **options):
    async def attempt(stage):
        transport = await getattr(stage, kind)()
        return await stage.loop.sendfile(transport, file(stage), **options)

    return attempt


CASES = [
    Case("sendfile", "nothing", lambda stage: stage.loop.sendfile()),
    Case("sendfile", "an option there is not", sending(nonsense=1)),
    *(
        Case(
            "sendfile",
            f"{where} is {kind}",
            lambda stage, where=where, kind=kind: sending(**{where: odd(kind)})(stage),
        )
        for where in ("offset", "count")
        for kind in ODD
        if (where, kind) != ("count", "None")
    ),
    *(
        Case(
            "sendfile",
            f"transport is {kind}",
            lambda stage, kind=kind: stage.loop.sendfile(odd(kind), stage.file()),
        )
        for kind in ODD
    ),
    *(
        Case(
            "sendfile",
            f"file is {kind}",
            lambda stage, kind=kind: sending(file=lambda stage: odd(kind))(stage),
        )
        for kind in ODD
    ),
    Case("sendfile", "a file of text", sending(file=lambda stage: stage.file("r"))),
    Case("sendfile", "a closed file", sending(file=closed_file)),
    Case("sendfile", "a file open for writing alone", sending(file=lambda stage: stage.file("ab"))),
    Case("sendfile", "a count of zero", sending(count=0)),
    Case("sendfile", "an offset past the end", sending(offset=1000)),
    Case("sendfile", "a closed transport", sending("closed_transport")),
    Case("sendfile", "a transport that has said its last", sending("ended_transport")),
    Case("sendfile", "a transport of datagrams", sending("endpoint")),
    Case("sendfile", "the reading end of a pipe", sending("reading_pipe")),
    Case("sendfile", "the writing end of a pipe", sending("writing_pipe")),
    Case(
        "sendfile",
        "no fallback where one is needed",
        sending(file=lambda stage: stage.pipe()[0], fallback=False),
    ),
    Case("sendfile", "all is right", lambda stage: stage.loop.sendfile(None, stage.file()), "closed"),
]

"""subprocess_exec, subprocess_shell and the transport of a process."""

import asyncio
import signal
import subprocess

from bad_input.cases import Arguments, Case, wrong_types


def program(*args, **options):
    return lambda stage: stage.loop.subprocess_exec(asyncio.SubprocessProtocol, *args, **options)


def shell(*args, **options):
    return lambda stage: stage.loop.subprocess_shell(asyncio.SubprocessProtocol, *args, **options)


def broken_factory():
    raise LookupError("no protocol today")


class Waiting(asyncio.SubprocessProtocol):
    def __init__(self):
        self.over = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc):
        self.over.set_result(None)


def on_running(call):
    """On the transport of a child that waits for its input, which it then gets the end of."""

    async def attempt(stage):
        transport, protocol = await stage.loop.subprocess_exec(Waiting, "cat", stderr=None)
        try:
            return call(transport)
        finally:
            transport.close()
            await asyncio.wait([protocol.over], timeout=10)

    return attempt


def on_ended(call):
    async def attempt(stage):
        transport, protocol = await stage.loop.subprocess_exec(Waiting, "true")
        await protocol.over
        try:
            return call(transport)
        finally:
            transport.close()

    return attempt


TEXT = {
    "universal_newlines": True,
    "bufsize": 5,
    "text": True,
    "encoding": "ascii",
    "errors": "strict",
}
BARE = ("close", "get_pid", "get_returncode", "get_protocol", "is_closing", "kill", "terminate")
NULL = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

CASES = [
    *wrong_types(
        "subprocess_exec",
        Arguments(
            ("protocol_factory", lambda stage: asyncio.SubprocessProtocol),
            ("program", lambda stage: "true"),
            ("argument", lambda stage: "argument"),
            stdin=lambda stage: subprocess.DEVNULL,
            stdout=lambda stage: subprocess.DEVNULL,
            stderr=lambda stage: subprocess.DEVNULL,
            cwd=lambda stage: None,
            env=lambda stage: None,
            bufsize=lambda stage: 0,
            shell=lambda stage: False,
            encoding=lambda stage: None,
            pass_fds=lambda stage: (),
        ),
        leave_out=[("protocol_factory", "a type")],
    ),
    *wrong_types(
        "subprocess_shell",
        Arguments(
            ("protocol_factory", lambda stage: asyncio.SubprocessProtocol),
            ("cmd", lambda stage: "true"),
            shell=lambda stage: True,
            bufsize=lambda stage: 0,
            errors=lambda stage: None,
        ),
        leave_out=[("protocol_factory", "a type")],
    ),
    Case("subprocess_exec", "nothing", lambda stage: stage.loop.subprocess_exec()),
    Case("subprocess_exec", "no program", program()),
    Case("subprocess_exec", "an option there is not", program("true", nonsense=1)),
    Case("subprocess_exec", "a program there is not", program("/no/such/program")),
    Case("subprocess_exec", "a program that may not run", lambda stage: program(stage.file().name)(stage)),
    Case("subprocess_exec", "a NUL in an argument", program("true", "a\0b")),
    Case("subprocess_exec", "a folder there is not", program("true", cwd="/no/such/folder", **NULL)),
    Case("subprocess_exec", "a shell", program("true", shell=True)),
    Case(
        "subprocess_exec",
        "errors of the program's go to its output's pipe, which is none",
        program("true", stdin=None, stdout=subprocess.STDOUT),
    ),
    Case(
        "subprocess_exec",
        "the factory raises",
        lambda stage: stage.loop.subprocess_exec(broken_factory, "true"),
    ),
    Case("subprocess_exec", "a function in the child raises", program("true", preexec_fn=broken_factory)),
    Case("subprocess_exec", "a user there is not", program("true", user="no-such-user")),
    *(
        Case("subprocess_exec", f"{name} is {value}", program("true", **{name: value}))
        for name, value in TEXT.items()
    ),
    *(
        Case("subprocess_shell", f"{name} is {value}", shell("true", **{name: value}))
        for name, value in TEXT.items()
    ),
    Case("subprocess_exec", "all is right", program("true", **NULL), "closed"),
    Case("subprocess_shell", "nothing", lambda stage: stage.loop.subprocess_shell()),
    Case("subprocess_shell", "no command", shell()),
    Case("subprocess_shell", "an option there is not", shell("true", nonsense=1)),
    Case("subprocess_shell", "a list of words", shell(["true"])),
    Case("subprocess_shell", "no shell", shell("true", shell=False)),
    Case("subprocess_shell", "all is right", shell("true", **NULL), "closed"),
    *(
        Case(
            f"SubprocessTransport.{name}",
            "an option there is not",
            on_running(lambda t, name=name: getattr(t, name)(nonsense=1)),
        )
        for name in BARE
    ),
    *(
        Case(
            f"SubprocessTransport.{name}",
            "when it has ended",
            on_ended(lambda t, name=name: getattr(t, name)() and None),
        )
        for name in BARE
    ),
    *wrong_types(
        "SubprocessTransport.send_signal",
        Arguments(("signal", lambda stage: signal.SIGTERM)),
        on="running_child",
    ),
    *wrong_types(
        "SubprocessTransport.get_pipe_transport", Arguments(("fd", lambda stage: 0)), on="running_child"
    ),
    *wrong_types(
        "SubprocessTransport.get_extra_info",
        Arguments(("name", lambda stage: "subprocess")),
        on="running_child",
    ),
    Case(
        "SubprocessTransport.set_protocol",
        "an option there is not",
        on_running(lambda t: t.set_protocol(nonsense=1)),
    ),
    Case(
        "SubprocessTransport.send_signal",
        "a number that is no signal",
        on_running(lambda t: t.send_signal(999)),
    ),
    Case(
        "SubprocessTransport.send_signal",
        "when it has ended",
        on_ended(lambda t: t.send_signal(signal.SIGTERM)),
    ),
    Case("SubprocessTransport.send_signal", "nothing", on_running(lambda t: t.send_signal())),
    Case(
        "SubprocessTransport.get_pipe_transport",
        "a pipe there is not",
        on_running(lambda t: t.get_pipe_transport(2)),
    ),
    Case("SubprocessTransport.close", "twice", on_running(lambda t: [t.close(), t.close()])),
]

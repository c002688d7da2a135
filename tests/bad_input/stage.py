"""What a case of bad input is played with: a loop, things to misuse, and an account of what happened.

Everything a case asks its stage for is closed by the stage.  What a case has given to the loop is looked at afterwards,
so that a socket that one loop closes and the other leaves open is a difference.
"""

import asyncio
import contextlib
import functools
import io
import linecache
import os
import pathlib
import re
import socket
import ssl
import tempfile
import warnings
from dataclasses import dataclass

from tls.certificates import Authority
from toolkit import FACTORIES, Recorder, finish, listener, until

# Nothing here has a reason to take long: what is not over by then waits, and that is its outcome.
PATIENCE = 5.0


@functools.cache
def contexts():
    """What a server on localhost shows, and what a client of it trusts."""
    with tempfile.TemporaryDirectory(prefix="epicycle-bad-input-") as folder:
        authority = Authority(pathlib.Path(folder) / "authority", "Test authority")
        return authority.sign("localhost").server_context(), authority.client_context()


class Stage:
    """A loop, and what a case may misuse on it."""

    def __init__(self, loop):
        self.loop = loop
        self.handed = {}
        self._closing = contextlib.ExitStack()
        self._folder = None
        self._transports = []

    def close(self):
        self._closing.close()

    async def end_transports(self):
        """Abort what cases have opened and left open, and let the loop tell the protocols."""
        for transport in self._transports:
            with contextlib.suppress(Exception):
                transport.abort() if hasattr(transport, "abort") else transport.close()
            if isinstance(transport, asyncio.SubprocessTransport):
                await self.ended(transport)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _give(self, name, thing):
        self.handed[f"{name} {len(self.handed)}"] = thing
        self._closing.callback(thing.close)
        return thing

    def sock(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, blocking=False):
        sock = self._give("socket", socket.socket(family, kind))
        sock.setblocking(blocking)
        return sock

    def udp(self):
        return self.sock(kind=socket.SOCK_DGRAM)

    def unix(self):
        return self.sock(socket.AF_UNIX)

    def closed_socket(self):
        sock = self.sock()
        sock.close()
        return sock

    def pair(self, kind=socket.SOCK_STREAM):
        """Two connected sockets: the first is the case's, the other stays open beside it."""
        mine, peer = socket.socketpair(type=kind)
        self._closing.enter_context(peer)
        mine.setblocking(False)
        return self._give("socket", mine), peer

    def paired(self):
        return self.pair()[0]

    def listening(self):
        sock = listener()
        sock.setblocking(False)
        return self._give("listener", sock)

    def secured(self):
        """A socket that does TLS by itself."""
        context = ssl.create_default_context()
        mine, peer = socket.socketpair()
        self._closing.enter_context(peer)
        return self._give(
            "secured", context.wrap_socket(mine, server_hostname="localhost", do_handshake_on_connect=False)
        )

    @property
    def folder(self):
        """A folder for this case alone; made when first asked for."""
        if self._folder is None:
            self._folder = self._closing.enter_context(
                tempfile.TemporaryDirectory(prefix="epicycle-bad-input-")
            )
        return self._folder

    def path(self, name="socket"):
        return os.path.join(self.folder, name)

    def file(self, mode="rb", content=b"content"):
        with open(self.path("file"), "wb") as file:
            file.write(content)
        return self._give("file", open(self.path("file"), mode))

    def pipe(self):
        """The two ends of a pipe as files: the first to read."""
        reading, writing = os.pipe()
        return self._give("reading end", io.FileIO(reading, "rb")), self._give(
            "writing end", io.FileIO(writing, "wb")
        )

    async def keep(self, connecting):
        """The transport of (transport, protocol), aborted at the end."""
        transport, _ = await connecting
        self._transports.append(transport)
        return transport

    async def transport(self, protocol=Recorder):
        return await self.keep(self.loop.create_connection(protocol, sock=self.paired()))

    async def tls_transport(self):
        """The client's end of a connection that has shaken hands; the server's end stays open beside it."""
        server_context, client_context = contexts()
        mine, peer = self.pair()
        _, transport = await asyncio.gather(
            self.keep(self.loop.connect_accepted_socket(Recorder, peer.dup(), ssl=server_context)),
            self.keep(
                self.loop.create_connection(
                    Recorder, sock=mine, ssl=client_context, server_hostname="localhost"
                )
            ),
        )
        return transport

    async def closed_tls_transport(self):
        transport = await self.tls_transport()
        lost = transport.get_protocol()
        transport.close()
        await until(lambda: lost.is_lost)
        return transport

    async def closed_transport(self):
        transport = await self.transport()
        transport.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return transport

    async def ended_transport(self):
        """One that has said its last and goes on reading."""
        transport = await self.transport()
        transport.write_eof()
        return transport

    async def endpoint(self):
        return await self.keep(
            self.loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        )

    async def connected_endpoint(self):
        return await self.keep(
            self.loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", 9))
        )

    async def reading_pipe(self):
        return await self.keep(self.loop.connect_read_pipe(asyncio.Protocol, self.pipe()[0]))

    async def writing_pipe(self):
        return await self.keep(self.loop.connect_write_pipe(asyncio.Protocol, self.pipe()[1]))

    async def running_child(self):
        """The transport of a child that waits for its input."""
        return await self.keep(self.loop.subprocess_exec(asyncio.SubprocessProtocol, "cat"))

    async def ended(self, transport):
        """Close a child's transport and wait until the child is reaped."""
        transport.close()
        await until(lambda: transport.get_returncode() is not None)

    async def server(self, **options):
        server = await self.loop.create_server(Recorder, "127.0.0.1", 0, **options)
        self._closing.callback(server.close)
        return server


async def over(awaitable):
    """The result, or an error, or the fact that it waits."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.wait([task], timeout=PATIENCE)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        return "it waits"
    return task.result()


@dataclass(frozen=True)
class Failure:
    """An exception: its type, and its text with whether that is asyncio's own rather than the interpreter's."""

    kind: str
    text: str
    own: bool

    @classmethod
    def of(cls, error, stage):
        return cls(
            type(error).__name__, neutral(str(error), stage), isinstance(error, OSError) or raised(error)
        )


def agree(expected, actual):
    """Whether an outcome is asyncio's.  The words of an error count where they are asyncio's own, or the system's."""
    return len(expected) == len(actual) and all(
        theirs.kind == ours.kind and (theirs.text == ours.text or not theirs.own)
        if isinstance(theirs, Failure) and isinstance(ours, Failure)
        else theirs == ours
        for theirs, ours in zip(expected, actual, strict=True)
    )


def raised(error):
    """Whether a statement of asyncio's has raised it; else the interpreter complains, or a library."""
    trace = error.__traceback__
    if trace is None:
        return True
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename
    return "asyncio" in file and linecache.getline(file, trace.tb_lineno).strip().startswith("raise")


def happened(loop_name, case):
    """What came of a case on a loop, in parts that can be compared."""
    told = []
    loop = FACTORIES[loop_name]()
    loop.set_exception_handler(lambda loop, context: told.append(context))
    stage = Stage(loop)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            result = PLACES[case.place](stage, case)
        except (Exception, asyncio.CancelledError) as error:
            outcome = [Failure.of(error, stage)]
            result = None
        else:
            outcome = [neutral(described(result), stage)]
        outcome += settled(result, stage)
        result = None
        for context in told:
            if not isinstance(context, dict):
                outcome.append(described(context))
                continue
            outcome.append(
                re.sub(r"^(Exception in callback|Error on) .*", r"\1", neutral(context["message"], stage))
            )
            if (error := context.get("exception")) is not None:
                outcome.append(Failure.of(error, stage))
        told.clear()
        outcome += [f"{name} {state(thing)}" for name, thing in stage.handed.items()]
        stage.close()
        if not loop.is_closed():
            loop.close()
    # That a coroutine was never awaited, or a socket never closed, is told of by its finaliser.
    return outcome + sorted(
        {neutral(f"{w.category.__name__}: {w.message}", stage) for w in warned if counts(w)}
    )


def settled(result, stage):
    """Ends what a call has returned, and gives the loop some turns.  What the loop itself fails with, if it does."""
    for thing in result if isinstance(result, tuple | list) else (result,):
        if (isinstance(thing, asyncio.Future) and not thing.done()) or isinstance(thing, asyncio.Handle):
            thing.cancel()
        elif isinstance(thing, socket.socket | asyncio.BaseTransport | asyncio.Server):
            thing.close()
    failures = []
    if not stage.loop.is_closed():
        for _ in range(3):
            try:
                stage.loop.call_soon(stage.loop.stop)
                stage.loop.run_forever()
            except Exception as error:
                failures += ["the loop fails", Failure.of(error, stage)]
                break
    return failures


def running(stage, case):
    async def main():
        try:
            result = case.attempt(stage)
            if asyncio.iscoroutine(result) or asyncio.isfuture(result):
                result = await over(result)
            if isinstance(result, tuple) and isinstance(result[0], asyncio.SubprocessTransport):
                await stage.ended(result[0])
            return result
        finally:
            await stage.end_transports()

    return finish(stage.loop, main(), timeout=20)


def debugging(stage, case):
    stage.loop.set_debug(True)
    return running(stage, case)


def idle(stage, case):
    return case.attempt(stage)


def closed(stage, case):
    """On a closed loop; what has to be awaited is awaited on another one."""
    stage.loop.close()
    result = case.attempt(stage)
    if not (asyncio.iscoroutine(result) or asyncio.isfuture(result)):
        return result
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(over(result))


PLACES = {"running": running, "debugging": debugging, "idle": idle, "closed": closed}


def state(thing):
    try:
        return "is closed" if thing.fileno() < 0 else "is open"
    except ValueError:
        return "is closed"


def counts(warning):
    """Sockets and pipes that asyncio leaves to the collector are its affair; the test looks for descriptors."""
    return not issubclass(warning.category, ResourceWarning | DeprecationWarning)


# By its public name, whatever class it really is.
KINDS = [
    asyncio.TimerHandle,
    asyncio.Handle,
    asyncio.Server,
    asyncio.SubprocessTransport,
    asyncio.BaseTransport,
    asyncio.Task,
    asyncio.Future,
    asyncio.AbstractEventLoop,
]


def described(value):
    if value is None or isinstance(value, bool | int | float | str | bytes | BaseException):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"({', '.join(map(described, value))})"
    for kind in KINDS:
        if isinstance(value, kind):
            return kind.__name__
    return type(value).__name__


WRONG_ARGUMENTS = "these are not its arguments"
SIGNATURE = re.compile(
    r"takes (no|from|exactly|at most|at least|\d)|missing \d|missing a required|required (positional )?argument"
    r"|unexpected keyword|keyword argument|invalid keyword"
)


def neutral(text, stage):
    """Without what differs from run to run: addresses, numbers of descriptors, names of private classes."""
    if SIGNATURE.search(text):
        # The interpreter's words, which name the class and differ between C and Python.
        return WRONG_ARGUMENTS
    if stage._folder is not None:
        text = text.replace(stage._folder, "FOLDER")
    text = re.sub(
        r"<(_SelectorSocketTransport|StreamTransport|_SelectorDatagramTransport|DatagramTransport)[^>]*>",
        "<a transport>",
        text,
    )
    text = re.sub(
        r"<(_UnixReadPipeTransport|_UnixWritePipeTransport|PipeReadTransport|PipeWriteTransport)[^>]*>",
        "<a transport>",
        text,
    )
    # The class under its own name, where asyncio's is hidden behind an underscore or in another module.
    text = (
        text.replace("epicycle.", "").replace("BaseSubprocessTransport.", "").replace("ProcessTransport.", "")
    )
    text = re.sub(r"<(\w+\.)*(\w+) object at 0x[0-9a-f]+>", r"<\2>", text)
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    text = re.sub(r"fd=\d+", "fd=N", text)
    text = re.sub(r"descriptor \d+ is used", "descriptor N is used", text)
    text = re.sub(r"\('127\.0\.0\.1', \d{4,5}\)", "('127.0.0.1', PORT)", text)
    return text

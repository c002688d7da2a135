"""What DIFFERENCES.md says is otherwise than in asyncio, where no other test shows it: one body, both answers."""

import asyncio
import concurrent.futures
import contextvars
import gc
import inspect
import math
import re
import signal
import socket
import sys
import threading
import weakref

import pytest

from epicycle import _epicycle
from toolkit import (
    Recorder,
    accepted,
    attached,
    finish,
    new_descriptors,
    open_descriptors,
    run_bounded,
    serving,
    tcp_pair,
    turn,
    until,
)


@pytest.fixture
def otherwise(loop_name):
    """Picks the answer that the loop under test has to give."""

    def pick(*, asyncio, epicycle):
        return {"asyncio": asyncio, "epicycle": epicycle}[loop_name]

    return pick


def test_a_connection_has_one_context(loop, otherwise):
    variable = contextvars.ContextVar("variable", default="unset")

    class Contextual(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            variable.set("set by connection_made")

        def data_received(self, data):
            super().data_received(data)
            self.seen = variable.get()

    async def main():
        protocol = Contextual()
        async with attached(protocol) as (_, peer):
            peer.send(b"x")
            await until(lambda: protocol.data)
        return protocol.seen

    # asyncio does so too from 3.15 on.
    before = "unset" if sys.version_info < (3, 15) else "set by connection_made"
    assert finish(loop, main()) == otherwise(asyncio=before, epicycle="set by connection_made")


def test_a_protocol_is_made_outside_any_task(loop, otherwise):
    tasks = []

    def factory():
        tasks.append(asyncio.current_task())
        return Recorder()

    async def main():
        async with serving(factory) as (_, port, protocols):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            await accepted(protocols)
            writer.close()
            await writer.wait_closed()

    finish(loop, main())
    assert [type(task).__name__ for task in tasks] == [otherwise(asyncio="Task", epicycle="NoneType")]


def test_names_are_looked_up_after_the_default_executor_was_shut_down(loop, otherwise):
    async def main():
        await loop.shutdown_default_executor()
        try:
            return bool(await loop.getaddrinfo("localhost", 80))
        except RuntimeError as error:
            return str(error)

    assert finish(loop, main()) == otherwise(asyncio="Executor shutdown has been called", epicycle=True)


def test_a_replaced_resolver_is_not_asked_about_numbers(loop, otherwise, monkeypatch):
    asked = []

    def replaced(host, port, *args, **kwargs):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", port))]

    monkeypatch.setattr(socket, "getaddrinfo", replaced)
    finish(loop, loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))
    assert asked == otherwise(asyncio=["127.0.0.1"], epicycle=[])


def test_the_socket_of_a_server_cannot_be_watched(loop, otherwise):
    async def main():
        async with serving() as (server, _, _):
            fd = server.sockets[0].fileno()
            try:
                loop.add_reader(fd, print)
            except RuntimeError as error:
                return re.sub(r"\d+|<.*>", "_", str(error))
            loop.remove_reader(fd)

    refusal = "File descriptor _ is used by server socket _"
    assert finish(loop, main()) == otherwise(asyncio=None, epicycle=refusal)


def test_the_socket_of_a_closing_transport_cannot_be_watched(loop, otherwise):
    async def main():
        async with attached(Recorder()) as (transport, _):
            transport.write(bytes(20_000_000))
            transport.close()
            fd = transport.get_extra_info("socket").fileno()
            try:
                loop.add_reader(fd, print)
            except RuntimeError as error:
                return "is used by transport" in str(error)
            loop.remove_reader(fd)
            return False

    assert finish(loop, main()) is otherwise(asyncio=False, epicycle=True)


def test_what_connection_lost_writes_after_the_last_byte_is_not_sent(loop, otherwise):
    if otherwise(asyncio=sys.version_info >= (3, 13), epicycle=False):
        pytest.skip("the newest releases of these versions do not send it either")

    class Talkative(Recorder):
        def connection_lost(self, exc):
            self.transport.write(b"one more thing")
            super().connection_lost(exc)

    async def main():
        protocol = Talkative()
        async with attached(protocol) as (transport, peer):
            transport.write(bytes(20_000_000))
            transport.close()
            received = bytearray()
            while chunk := await loop.sock_recv(peer, 1 << 20):
                received += chunk
        return bytes(received).lstrip(b"\0")

    assert finish(loop, main()) == otherwise(asyncio=b"one more thing", epicycle=b"")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_socket_is_closed_when_its_protocol_cannot_be_made(loop, otherwise):
    def factory():
        raise LookupError("no protocol today")

    async def main():
        with tcp_pair() as (mine, _):
            with pytest.raises(LookupError):
                await loop.create_connection(factory, sock=mine)
            return mine.fileno() == -1

    # asyncio does so too from 3.14 on.
    assert finish(loop, main()) is otherwise(asyncio=sys.version_info >= (3, 14), epicycle=True)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_paused_connection_that_nobody_holds_stays(loop, otherwise):
    async def paused(sock):
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
        transport.pause_reading()
        return weakref.ref(transport)

    with tcp_pair() as (mine, _):
        reference = finish(loop, paused(mine.dup()))
        turn(loop, 2)
        gc.collect()
        assert (reference() is None) is otherwise(asyncio=True, epicycle=False)
        if reference() is not None:
            reference().abort()
            turn(loop, 2)


def test_a_timer_may_be_finer_than_a_millisecond(loop, otherwise):
    if _epicycle.build_facts()["timeout_precision"] != "nanoseconds":
        pytest.skip("this system's waits are whole milliseconds")

    async def naps():
        """How long naps of a tenth of a millisecond take, from the shortest."""
        taken = []
        for _ in range(50):
            start = loop.time()
            await asyncio.sleep(0.0001)
            taken.append(loop.time() - start)
        return sorted(taken)

    # A busy machine makes them longer. One of asyncio's is shorter if the machine stops the loop just before the wait.
    taken = finish(loop, naps())
    assert (otherwise(asyncio=taken[25], epicycle=taken[0]) < 0.001) is otherwise(
        asyncio=False, epicycle=True
    )


def test_an_idle_loop_takes_a_deadline_that_is_no_number_for_due(loop, otherwise):
    # asyncio: a ValueError of the selector from 3.13 on, before that a wait of no particular length.
    if otherwise(asyncio=sys.version_info < (3, 13), epicycle=False):
        pytest.skip("this version waits for something else to happen")
    loop.call_later(math.nan, loop.stop)
    try:
        run_bounded(loop)
        outcome = "due"
    except ValueError:
        outcome = "refused"
    assert outcome == otherwise(asyncio="refused", epicycle="due")


def test_a_clock_put_on_the_class_afterwards_does_not_rule_the_timers(loop_factory, otherwise):
    class Loop(loop_factory):
        pass

    loop = Loop()
    seen = []
    loop.call_later(1000, seen.append, "due")
    Loop.time = lambda self: 1e9
    turn(loop)
    loop.close()
    assert seen == otherwise(asyncio=["due"], epicycle=[])


def test_a_signal_ends_the_wait_of_a_loop_without_handlers(loop, otherwise):
    # Python's handler runs in either loop; asyncio's goes back to sleep, and stops when the timer wakes it.
    before = signal.signal(signal.SIGUSR1, lambda number, frame: loop.stop())
    late = loop.call_later(1, lambda: None)
    main_thread = threading.main_thread().ident
    loop.call_later(
        0.05, lambda: threading.Timer(0.05, signal.pthread_kill, (main_thread, signal.SIGUSR1)).start()
    )
    try:
        run_bounded(loop)
    finally:
        signal.signal(signal.SIGUSR1, before)
    woken = loop.time() < late.when()
    late.cancel()
    assert woken is otherwise(asyncio=False, epicycle=True)


def test_the_wakeup_descriptor_is_the_loops_while_it_runs(loop, otherwise):
    mine, reading = socket.socketpair()
    with mine, reading:
        mine.setblocking(False)
        before = signal.set_wakeup_fd(mine.fileno())
        during = []

        def look():
            during.append(signal.set_wakeup_fd(-1) == mine.fileno())
            if during[0]:
                signal.set_wakeup_fd(mine.fileno())

        loop.call_soon(look)
        turn(loop)
        after = signal.set_wakeup_fd(before)
        assert during == [otherwise(asyncio=True, epicycle=False)]
        assert after == mine.fileno()


def test_steps_of_tasks_have_no_handles(loop_factory, otherwise):
    returned = []

    class Loop(loop_factory):
        def call_soon(self, callback, *args, context=None):
            handle = super().call_soon(callback, *args, context=context)
            returned.append((type(callback).__name__, type(handle).__name__))
            return handle

    loop = Loop()
    finish(loop, asyncio.sleep(0))
    loop.call_soon(len, "")
    turn(loop)
    loop.close()
    steps = {handle for callback, handle in returned if callback == "TaskStepMethWrapper"}
    assert steps == {otherwise(asyncio="Handle", epicycle="NoneType")}
    assert returned[-1] == ("builtin_function_or_method", "Handle")


def test_handles_run_without_python(loop, otherwise, monkeypatch):
    ran = []
    run = asyncio.Handle._run

    def traced(handle):
        ran.append(handle)
        run(handle)

    monkeypatch.setattr(asyncio.Handle, "_run", traced)
    handle = loop.call_soon(len, "")
    turn(loop)
    assert ran == otherwise(asyncio=[handle], epicycle=[])


def test_transports_have_a_class_of_their_own(loop, otherwise):
    async def main():
        async with attached(Recorder()) as (transport, _):
            shown = repr(transport).split()[0]
            return shown, type(transport).__name__, hasattr(transport, "_sock"), hasattr(transport, "_paused")

    assert finish(loop, main()) == otherwise(
        asyncio=("<_SelectorSocketTransport", "_SelectorSocketTransport", True, True),
        epicycle=("<StreamTransport", "StreamTransport", False, False),
    )


def test_there_is_no_selector(loop, loop_factory, otherwise):
    private = ("_selector", "_ready", "_scheduled", "_run_once")
    assert [hasattr(loop, name) for name in private] == [otherwise(asyncio=True, epicycle=False)] * 4
    takes_a_selector = "selector" in inspect.signature(loop_factory).parameters
    assert takes_a_selector is otherwise(asyncio=True, epicycle=False)


def test_methods_of_the_loop_do_not_call_each_other(loop_factory, otherwise):
    called = []

    class Loop(loop_factory):
        def call_at(self, *args, **kwargs):
            called.append("call_at")
            return super().call_at(*args, **kwargs)

        def run_in_executor(self, *args):
            called.append("run_in_executor")
            return super().run_in_executor(*args)

    loop = Loop()
    loop.call_later(0, len, "")
    loop.run_until_complete(loop.getaddrinfo("localhost", 80))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert called == otherwise(asyncio=["call_at", "run_in_executor"], epicycle=[])


def test_methods_of_a_socket_of_ones_own_are_not_called(loop, otherwise):
    class Traced(socket.socket):
        calls = ()

        def recv(self, *args):
            self.calls += ("recv",)
            return super().recv(*args)

        def send(self, *args):
            self.calls += ("send",)
            return super().send(*args)

    async def main():
        with tcp_pair() as (mine, peer):
            traced = Traced(fileno=mine.detach())
            protocol = Recorder()
            transport, _ = await loop.create_connection(lambda: protocol, sock=traced)
            peer.send(b"x")
            await until(lambda: protocol.data)
            transport.write(b"y")
            transport.abort()
            await until(lambda: protocol.is_lost)
        return traced.calls

    assert finish(loop, main()) == otherwise(asyncio=("recv", "send"), epicycle=())


def test_a_server_has_private_parts_of_its_own(loop, otherwise):
    async def main():
        async with serving() as (server, _, _):
            assert isinstance(server, asyncio.Server)
            return [
                hasattr(server, name) for name in ("_ssl_context", "_serving_forever_fut", "_start_serving")
            ]

    assert finish(loop, main()) == otherwise(asyncio=[True, True, True], epicycle=[False, False, True])


def test_slow_callbacks_of_a_connection_are_named_after_its_transport(loop, otherwise, caplog):
    loop.set_debug(True)
    loop.slow_callback_duration = 0

    async def main():
        async with attached(Recorder()) as (transport, peer):
            caplog.clear()
            peer.send(b"x")
            await until(lambda: transport.get_protocol().data)

    with caplog.at_level("WARNING", "asyncio"):
        finish(loop, main())
    slow = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Executing")]
    kinds = {text.split()[1] for text in slow} - {"<Task", "<TimerHandle"}
    assert ("<StreamTransport" in kinds) is otherwise(asyncio=False, epicycle=True)


def test_options_and_methods_of_newer_versions_are_there_in_older_ones(loop, otherwise):
    async def main():
        async with serving() as (server, _, _):
            return hasattr(server, "close_clients")

    parameters = {
        "keep_alive": loop.create_server,
        "all_errors": loop.create_connection,
        "timeout": loop.shutdown_default_executor,
    }
    there = [name in inspect.signature(method).parameters for name, method in parameters.items()]
    there.append(finish(loop, main()))
    came = [(3, 13), (3, 12), (3, 12), (3, 13)]
    assert there == otherwise(asyncio=[sys.version_info >= version for version in came], epicycle=[True] * 4)


@pytest.mark.epicycle_only
def test_several_pieces_pause_and_may_come_late_in_every_version(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, _):
            transport.writelines([bytes(10_000_000), bytes(10_000_000)])
            assert protocol.events == ["made", "pause"]
            transport.abort()
            transport.writelines([b"late"])

    finish(loop, main())


def test_a_loop_has_an_alarm_a_page_and_a_doorbell(loop_factory, otherwise):
    before = open_descriptors()
    loop = loop_factory()
    opened = [target for fd, target in open_descriptors().items() if before.get(fd) != target]
    kinds = sorted(re.sub(r":\[\d+\]| \(deleted\)", "", target) for target in opened)
    assert kinds == otherwise(
        asyncio=["anon_inode:[eventpoll]", "socket", "socket"],
        epicycle=[
            "/memfd:epicycle-loop",
            "anon_inode:[eventfd]",
            "anon_inode:[eventpoll]",
            "anon_inode:[timerfd]",
            "pipe",
        ],
    )
    loop.close()
    assert new_descriptors(before) == {}


def test_a_job_of_the_default_executor_has_one_future(loop, otherwise):
    async def main():
        # A job that has ended by the time that its future is looked at shows nothing.
        seen = threading.Event()
        future = loop.run_in_executor(None, seen.wait)
        shown = "_chain_future" in repr(future)
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            other = loop.run_in_executor(executor, seen.wait)
            chained = "_chain_future" in repr(other)
            seen.set()
            await asyncio.gather(future, other)
        await loop.shutdown_default_executor()
        return shown, chained

    assert finish(loop, main()) == otherwise(asyncio=(True, True), epicycle=(False, True))

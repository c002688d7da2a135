"""What looks wrong is found, and what is usual is not."""

import asyncio
import gc
import threading
import time
import weakref

import pytest
from looks import settle, waiting

from epicycle.watching.inside import lints
from epicycle.watching.inside.lints import check
from epicycle.watching.inside.reports import Unretrieved, exception_text
from epicycle.watching.inside.snapshot import Observer
from toolkit import Recorder, connected, finish, serving, until

pytestmark = pytest.mark.epicycle_only


def kinds(findings):
    return [finding["kind"] for finding in findings]


async def forever():
    await asyncio.get_running_loop().create_future()


# ---- tasks that nobody holds ----


def test_a_task_that_nobody_holds(loop):
    async def main():
        event = asyncio.Event()
        asyncio.create_task(event.wait(), name="lost")  # noqa: RUF006
        asyncio.create_task(asyncio.sleep(0.05), name="asleep")  # noqa: RUF006
        held = asyncio.create_task(event.wait(), name="held")
        await settle()
        found = [finding for finding in check(loop) if finding["kind"] == "unheld-task"]
        assert sorted(finding["text"].split()[6] for finding in found) == ["asleep", "lost"]
        assert all(type(finding["task"]) is int for finding in found)
        event.set()
        await held
        await until(lambda: check(loop) == [])

    finish(loop, main())


def test_a_task_only_weakly_held_is_found_too(loop):
    async def main():
        event = asyncio.Event()
        weak = weakref.WeakSet()
        weak.add(asyncio.create_task(event.wait()))
        await settle()
        assert kinds(check(loop)) == ["unheld-task"]
        event.set()
        await settle()

    finish(loop, main())


def test_an_ordinary_program_has_no_findings(loop):
    """Every way in which a program holds its tasks."""

    class Keeper:
        def __init__(self):
            self.task = asyncio.create_task(forever())

    async def serve(reader, writer):
        await reader.read()
        writer.close()

    async def over_group(event):
        async with asyncio.TaskGroup() as group:
            group.create_task(event.wait())
            group.create_task(event.wait())

    async def main():
        event = asyncio.Event()
        background = set()
        for _ in range(3):
            task = asyncio.create_task(event.wait())
            background.add(task)
            task.add_done_callback(background.discard)
        keeper = Keeper()
        gathered = asyncio.gather(event.wait(), event.wait())
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        children = [asyncio.ensure_future(event.wait())]
        async with waiting(
            group=over_group(event),
            wait=asyncio.wait([asyncio.ensure_future(event.wait())]),
            wait_for=asyncio.wait_for(event.wait(), 50),
            shield=asyncio.wait_for(asyncio.shield(event.wait()), 50),
            completed=_first(asyncio.as_completed([event.wait(), event.wait()])),
            timers=asyncio.sleep(50),
            thread=asyncio.to_thread(time.sleep, 0.05),
            cancelled_late=forever(),
        ) as tasks:
            await settle(30)
            for _ in range(3):
                assert check(loop) == []
                await settle()
            # In another thread, while the loop runs.
            assert await asyncio.to_thread(check, loop) == []
            tasks["cancelled_late"].cancel()
            await settle()
            assert check(loop) == []
            event.set()
            await settle(30)
        await asyncio.gather(gathered, *children)
        keeper.task.cancel()
        writer.close()
        await writer.wait_closed()
        await settle()
        server.close()
        await server.wait_closed()
        await loop.shutdown_default_executor()

    finish(loop, main())


async def _first(futures):
    for future in futures:
        return await future


# ---- exceptions ----


def test_an_exception_that_nobody_retrieves(loop, errors):
    async def fail():
        raise ValueError("no such thing", 7)

    async def main():
        task = asyncio.create_task(fail(), name="failing")
        await settle()
        del task
        gc.collect()
        found = check(loop)
        assert kinds(found) == ["unretrieved-exception"]
        text = found[0]["text"]
        assert "ValueError: no such thing, 7" in text and "failing" in text and "fail" in text
        assert f"{__file__}:{fail.__code__.co_firstlineno + 1}" in text

    finish(loop, main())
    assert len(errors) == 1, "the handler is told as before"


def test_only_the_last_ones_are_kept(loop, errors):
    async def main():
        for number in range(30):
            loop.create_future().set_exception(OSError(number))
        gc.collect()
        assert loop._unretrieved.count == 30
        assert [text.split()[1] for text in loop._unretrieved.last] == [str(n) for n in range(10, 30)]

    finish(loop, main())


def test_exceptions_are_told_without_their_code():
    class Odd(Exception):
        def __str__(self):
            raise AssertionError("called")

        __repr__ = __str__

    assert exception_text(Odd(Odd())).endswith("Odd")
    assert exception_text(Odd("plain")).endswith("Odd: plain")
    assert exception_text(None) == "an exception"
    noted = Unretrieved()
    noted.note({"message": Odd()})
    noted.note({"message": "Unclosed transport"})
    assert noted.count == 0


# ---- cancellation ----


def test_a_cancelled_task_that_goes_on(loop, monkeypatch):
    monkeypatch.setattr(lints, "_PATIENCE", 0.05)

    async def main():
        async def stubborn():
            while True:
                try:
                    await asyncio.sleep(0.005)
                except asyncio.CancelledError:
                    if stop:
                        raise

        async def tidy():
            try:
                await forever()
            finally:
                await asyncio.sleep(0.3)

        stop = False
        loop._time_steps(True)
        observer = Observer(loop, timed=True)
        async with waiting(stubborn=stubborn(), tidy=tidy()) as tasks:
            tasks["stubborn"].cancel()
            tasks["tidy"].cancel()
            await settle()
            assert observer.findings() == []
            await asyncio.sleep(0.1)
            found = observer.findings()
            assert [(it["kind"], it["task"]) for it in found] == [
                ("cancelled-goes-on", id(tasks["stubborn"]))
            ]
            stop = True
        loop._time_steps(False)

    finish(loop, main())


# ---- storms ----


def test_a_coroutine_that_wakes_itself_in_a_storm(loop):
    async def main():
        stop = False

        async def storm():
            while not stop:
                await asyncio.sleep(0)

        queue = asyncio.Queue(maxsize=1)

        async def produce():
            while not stop:
                await queue.put(1)

        async def consume():
            while not stop:
                await queue.get()

        loop._time_steps(True)
        observer = Observer(loop, timed=True)

        async def found(names):
            """Looks from another thread until the storm has been seen."""
            for _ in range(100):
                findings = await asyncio.to_thread(observer.findings)
                if findings:
                    return findings
                await asyncio.sleep(0.02)
            return []

        tasks = [asyncio.create_task(storm(), name="storm")]
        findings = await found("storm")
        assert {(it["kind"], it["task"]) for it in findings} == {("storm", id(tasks[0]))}
        stop = True
        await asyncio.gather(*tasks)
        loop._time_steps(False)
        await loop.shutdown_default_executor()

    finish(loop, main(), timeout=60)


# ---- circles ----


def test_tasks_in_a_circle(loop):
    async def main():
        others = {}

        async def wait_for(name):
            while name not in others:
                await asyncio.sleep(0)
            # Not passed on when one of them is cancelled: that would go round for ever.
            await asyncio.shield(others[name])

        for name, other in (("a", "b"), ("b", "c"), ("c", "a"), ("outside", "a")):
            others[name] = asyncio.create_task(wait_for(other), name=name)
        await settle(20)
        found = check(loop)
        assert kinds(found) == ["circle"]
        told = found[0]["text"].partition(": ")[2].split(" -> ")
        assert sorted(told[:3]) == ["a", "b", "c"] and told[0] == told[3]
        others["a"].cancel()
        await asyncio.wait(others.values())
        assert check(loop) == []

    finish(loop, main())


def test_locks_in_a_circle(loop):
    async def main():
        first, second = asyncio.Lock(), asyncio.Lock()

        async def both(one, other):
            async with one:
                await asyncio.sleep(0)
                async with other:
                    pass

        async def twice():
            async with third, third:
                pass

        third = asyncio.Lock()
        async with waiting(a=both(first, second), b=both(second, first), c=twice()) as tasks:
            found = check(loop)
            assert kinds(found) == ["circle", "circle"]
            texts = sorted(finding["text"] for finding in found)
            assert texts[0] == "task c waits for itself"
            assert "a" in texts[1] and "b" in texts[1]
            assert {finding["task"] for finding in found} < {id(task) for task in tasks.values()}

    finish(loop, main())


def test_no_circle_where_one_of_several_is_enough(loop):
    async def main():
        async def first_of():
            ready.set()
            await asyncio.wait([waiter, asyncio.ensure_future(event.wait())], return_when="FIRST_COMPLETED")

        async def back():
            await ready.wait()
            await one

        event, ready = asyncio.Event(), asyncio.Event()
        waiter = asyncio.create_task(back())
        one = asyncio.create_task(first_of())
        await settle(20)
        assert check(loop) == []
        event.set()
        await waiter

    finish(loop, main())


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({}, []),
        ({1: (2,), 2: (3,)}, []),
        ({1: (1,)}, [[1]]),
        ({3: (1,), 1: (2,), 2: (3,)}, [[1, 2, 3]]),
        ({1: (2, 3), 2: (4,), 3: (4,), 4: ()}, []),
        ({9: (1,), 1: (2,), 2: (1,), 5: (6,), 6: (5,)}, [[1, 2], [5, 6]]),
        ({n: (n + 1,) for n in range(50_000)}, []),
    ],
)
def test_circles(edges, expected):
    assert sorted(lints.circles(edges)) == expected


# ---- buffers ----


def test_a_buffer_that_only_grows(loop):
    async def main():
        async with connected() as (client, server):
            server.transport.pause_reading()
            client.transport.write(bytes(20_000_000))
            host, port = client.transport.get_extra_info("peername")
            for _ in range(4):
                assert check(loop) == []
                client.transport.write(bytes(1000))
            found = check(loop)
            assert kinds(found) == ["growing-buffer"]
            assert f"{host}:{port}" in found[0]["text"]
            # It stands still: slow, but no more than that.
            assert check(loop) == []

    finish(loop, main())


def test_checking_from_many_threads(loop):
    async def main():
        async with serving(Recorder), waiting(one=forever()):
            results = []
            threads = [
                threading.Thread(target=lambda: results.extend(check(loop) for _ in range(20)))
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            await until(lambda: not any(thread.is_alive() for thread in threads))
            assert results == [[]] * 80

    finish(loop, main())


def test_a_loop_may_go_that_was_checked(loop_factory):
    loop = loop_factory()
    check(loop)
    loop.close()
    reference = weakref.ref(loop)
    del loop
    gc.collect()
    assert reference() is None

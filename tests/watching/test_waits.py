"""What a task waits for: told from outside, without running any of its code."""

import asyncio
import re
import socket
import sys
import threading
import time

import pytest
from looks import look, settle, waiting, waits_of

from toolkit import finish, full_listener, listener, tcp_pair, until

pytestmark = pytest.mark.epicycle_only


def test_a_timer_and_its_deadline(loop):
    told = finish(loop, waits_of(asyncio.sleep(50)))
    assert told["kind"] == "timer"
    assert 40 < told["deadline"] <= 50 and "s left" in told["text"]


def test_a_timer_that_is_late_says_so(loop):
    async def main():
        async with waiting(late=asyncio.sleep(0.01)):
            time.sleep(0.2)
            return look(loop)[1]["late"]["waits"]

    told = finish(loop, main())
    assert told["deadline"] < 0
    assert re.fullmatch(r"sleep, due 0\.\d s ago", told["text"])


def test_a_sleep_without_end_has_no_deadline(loop):
    told = finish(loop, waits_of(asyncio.sleep(float("inf"))))
    assert told["kind"] == "timer" and "deadline" not in told


def test_a_lock_and_its_holder(loop):
    async def main():
        lock = asyncio.Lock()

        async def hold():
            async with lock:
                await asyncio.sleep(50)

        async def want():
            async with lock:
                pass

        async with waiting(holder=hold(), one=want(), two=want()) as tasks:
            _, told = look(loop)
            assert told["one"]["waits"]["kind"] == told["two"]["waits"]["kind"] == "lock"
            assert told["one"]["waits"]["holder"] == told["holder"]["id"] == id(tasks["holder"])
            assert told["one"]["waits"]["holder_name"] == "holder"
            assert told["one"]["waits"]["waiting"] == 2
            assert told["holder"]["waits"]["kind"] == "timer"

    finish(loop, main())


def test_the_holder_may_be_further_out_and_in_a_generator(loop):
    async def main():
        lock = asyncio.Lock()

        async def generate():
            async with lock:
                await asyncio.sleep(50)
                yield

        async def hold():
            async for _ in generate():
                pass

        async def want():
            await lock.acquire()

        async with waiting(holder=hold(), one=want()):
            _, told = look(loop)
            assert told["one"]["waits"]["holder_name"] == "holder"
            assert told["holder"]["waits"]["kind"] == "timer"
            assert any("generate" in line for line in told["holder"]["stack"])

    finish(loop, main())


def test_no_holder_is_made_up(loop):
    async def main():
        lock = asyncio.Lock()
        # As a task that has died would leave it.
        await asyncio.create_task(lock.acquire())

        async def passed():
            async with other:
                pass
            await asyncio.sleep(50)

        other = asyncio.Lock()

        async def want():
            async with lock:
                pass

        async with waiting(one=want(), passer=passed()):
            # Seen from another task, the one that looks runs and could be the holder.
            assert "holder" not in look(loop)[1]["one"]["waits"]
            told = {"text": ""}
            while "no task" not in told["text"]:
                told = (await loop.run_in_executor(None, look, loop))[1]["one"]["waits"]
                assert "holder" not in told

    finish(loop, main())


def test_queues_events_conditions_barriers_semaphores(loop):
    async def main():
        queue, full = asyncio.Queue(), asyncio.Queue(maxsize=1)
        full.put_nowait(1)
        event, condition, barrier = asyncio.Event(), asyncio.Condition(), asyncio.Barrier(3)
        semaphore = asyncio.Semaphore(1)

        async def conditional():
            async with condition:
                await condition.wait()

        async def held():
            async with semaphore:
                await asyncio.sleep(50)

        async with waiting(
            getter=queue.get(),
            putter=full.put(2),
            joiner=full.join(),
            event=event.wait(),
            condition=conditional(),
            barrier=barrier.wait(),
            held=held(),
            semaphore=semaphore.acquire(),
        ):
            taken, told = look(loop)
            kinds = {name: task["waits"]["kind"] for name, task in told.items()}
            assert kinds | {"held": "timer"} == kinds
            for name, kind in {"getter": "queue", "putter": "queue", "joiner": "queue"}.items():
                assert kinds[name] == kind
            for name in ("event", "condition", "barrier", "semaphore"):
                assert kinds[name] == name
            assert told["getter"]["waits"]["size"] == 0 and told["putter"]["waits"]["maxsize"] == 1
            assert told["joiner"]["waits"]["unfinished"] == 1
            assert told["barrier"]["waits"]["parties"] == 3
            assert told["semaphore"]["waits"]["holders"] == [told["held"]["id"]]
            groups = {group["waits"] for group in taken["tasks"]["groups"]}
            assert {"Queue.get", "Queue.put", "Queue.join", "Event.wait", "Semaphore"} <= groups

    finish(loop, main())


def test_tasks_and_groups_of_them(loop):
    async def main():
        forever = loop.create_future()

        async def child():
            await forever

        async def over_group():
            async with asyncio.TaskGroup() as group:
                group.create_task(forever_too(), name="grouped")

        async def forever_too():
            await forever

        one = asyncio.create_task(child(), name="one")
        two = asyncio.create_task(child(), name="two")

        async def await_it():
            await one

        async def gathered():
            await asyncio.gather(one, two)

        async def shielded():
            await asyncio.shield(one)

        async with waiting(
            plain=await_it(),
            gather=gathered(),
            shield=shielded(),
            wait=asyncio.wait([one, two], timeout=50),
            wait_for=asyncio.wait_for(one, 50),
            group=over_group(),
        ):
            _, told = look(loop)
            assert told["plain"]["waits"]["kind"] == "task" and told["plain"]["waits_for"] == id(one)
            assert set(told["gather"]["waits"]["tasks"]) == {id(one), id(two)}
            assert told["gather"]["waits_for"] is None and told["gather"]["waits"]["kind"] == "gather"
            assert told["shield"]["waits_for"] == id(one)
            assert told["wait"]["waits"]["pending"] == 2 and told["wait"]["waits"]["deadline"] > 10
            assert told["wait_for"]["waits_for"] == id(one)
            assert told["group"]["waits_for"] == told["grouped"]["id"]
            waits_for_one = {"plain", "gather", "shield", "wait", "wait_for"}
            assert set(told["one"]["awaited_by"]) == {told[name]["id"] for name in waits_for_one}
        forever.cancel()
        await asyncio.gather(one, two, return_exceptions=True)

    finish(loop, main())


def test_the_time_limit_around_it(loop):
    async def main():
        async def limited():
            async with asyncio.timeout(50):
                await loop.create_future()

        async with waiting(one=limited(), two=asyncio.wait_for(asyncio.Event().wait(), 50)):
            _, told = look(loop)
            assert 40 < told["one"]["waits"]["limit"] <= 50
            two = told["two"]["waits"]
            assert 40 < two.get("limit", two.get("deadline")) <= 50

    finish(loop, main())


def test_jobs_of_executors(loop):
    async def main():
        blocked, let_go = threading.Event(), threading.Event()

        def job():
            blocked.set()
            let_go.wait()

        async with waiting(thread=asyncio.to_thread(job), job=_in_executor(loop, job)):
            await until(blocked.is_set)
            _, told = look(loop)
            for name in ("thread", "job"):
                assert told[name]["waits"]["kind"] == "executor"
                assert told[name]["waits"]["function"].endswith("main.<locals>.job")
            assert any("wait" in (told[name]["waits"]["where"] or "") for name in ("thread", "job"))
            let_go.set()
        await loop.shutdown_default_executor()

    finish(loop, main())


async def _in_executor(loop, job):
    await loop.run_in_executor(None, job)


def test_a_job_that_is_queued(loop):
    async def main():
        from concurrent.futures import ThreadPoolExecutor

        let_go = threading.Event()
        with ThreadPoolExecutor(1) as pool:

            async def run(function):
                await loop.run_in_executor(pool, function)

            async with waiting(first=run(let_go.wait), second=run(socket.gethostname)):
                _, told = look(loop)
                assert told["second"]["waits"]["queued"] is True
                assert "gethostname" in told["second"]["waits"]["function"]
                let_go.set()

    finish(loop, main())


def test_names(loop, monkeypatch):
    asked, let_go = threading.Event(), threading.Event()

    def slow(*args, **kwargs):
        asked.set()
        let_go.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def main():
        async with waiting(asker=loop.getaddrinfo("name.invalid", 80)):
            _, told = look(loop)
            assert told["asker"]["waits"]["kind"] == "dns"
            assert (told["asker"]["waits"]["host"], told["asker"]["waits"]["port"]) == ("name.invalid", 80)
            let_go.set()

    finish(loop, main())


@pytest.mark.usefixtures("stream_classes")
def test_streams_and_their_peers(loop):
    async def main():
        async def serve(reader, writer):
            asyncio.current_task().set_name("server")
            await reader.read(10)
            writer.close()
            await writer.wait_closed()
            served.set()

        served = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def read():
            await reader.readline()

        async with waiting(reader=read()):
            await settle(50)
            _, told = look(loop)
            assert told["reader"]["waits"]["kind"] == "stream"
            assert told["reader"]["waits"]["peer"] == f"127.0.0.1:{port}"
            assert told["reader"]["waits"]["fd"] == writer.get_extra_info("socket").fileno()
            assert "readline" in told["reader"]["waits"]["text"]
            assert told["server"]["waits"]["kind"] == "stream"
        writer.close()
        await writer.wait_closed()
        await served.wait()
        server.close()
        await server.wait_closed()

    finish(loop, main())


def test_socket_calls(loop):
    async def main():
        with tcp_pair() as (mine, other), listener() as listening:
            listening.setblocking(False)
            async with waiting(receiver=loop.sock_recv(mine, 10), accepter=loop.sock_accept(listening)):
                _, told = look(loop)
                waits = told["receiver"]["waits"]
                host, port = other.getsockname()
                assert (waits["kind"], waits["fd"]) == ("socket", mine.fileno())
                assert waits["peer"] == f"{host}:{port}" and waits["direction"] == "read"
                assert "sock_recv" in waits["text"] and "sock_accept" in told["accepter"]["waits"]["text"]

    finish(loop, main())


def test_connecting(loop):
    async def main():
        with full_listener() as full:
            told = await waits_of(asyncio.open_connection(*full))
            assert (told["kind"], told["direction"]) == ("socket", "write")
            assert told["peer"] == f"{full[0]}:{full[1]}" and "open_connection" in told["text"]

    finish(loop, main())


@pytest.mark.usefixtures("stream_classes")
def test_draining(loop):
    async def main():
        with listener() as server:
            _, writer = await asyncio.open_connection(*server.getsockname())
            writer.write(bytes(20_000_000))
            told = await waits_of(writer.drain())
            host, port = server.getsockname()
            assert (told["kind"], told["peer"]) == ("stream", f"{host}:{port}")
            assert "drain" in told["text"]
            writer.transport.abort()
            await settle()

    finish(loop, main())


def test_a_child_process(loop):
    async def main():
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
        async with waiting(waiter=child.wait()):
            told = look(loop)[1]["waiter"]["waits"]
            assert (told["kind"], told["pid"]) == ("process", child.pid)
        child.stdin.close()
        await child.wait()

    finish(loop, main())


def test_a_future_of_unknown_origin_is_told_by_where_it_is_awaited(loop):
    async def wait_somewhere():
        await loop.create_future()

    told = finish(loop, waits_of(wait_somewhere()))
    assert told["kind"] == "future" and "wait_somewhere" in told["text"]


def test_awaitables_of_every_make(loop):
    class Awaitable:
        def __await__(self):
            yield from loop.create_future()

    async def generate():
        await loop.create_future()
        yield

    async def over_class():
        await Awaitable()

    async def over_generator():
        async for _ in generate():
            pass

    async def over_anext():
        await anext(generate(), None)

    async def over_wrapper():
        await _Wrapped(asyncio.sleep(50))

    async def main():
        async with waiting(a=over_class(), b=over_generator(), c=over_anext(), d=over_wrapper()):
            _, told = look(loop)
            assert "__await__" in told["a"]["stack"][-1]
            assert "generate" in told["b"]["stack"][-1]
            assert "generate" in told["c"]["stack"][-1]
            assert told["d"]["waits"]["kind"] == "timer"
            assert told["d"]["coroutine"].endswith("over_wrapper")

    finish(loop, main())


class _Wrapped:
    def __init__(self, coroutine):
        self._coroutine = coroutine

    def __await__(self):
        return self._coroutine.__await__()

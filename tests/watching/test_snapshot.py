"""Snapshots: what is told of tasks, whatever they are made of, and what is not touched."""

import asyncio
import gc
import json
import os
import threading
import time
import weakref
from typing import ClassVar

import pytest
from looks import look, settle, waiting

from epicycle.watching.inside import snapshot, tasks
from epicycle.watching.inside.snapshot import Observer
from toolkit import finish, script, tcp_pair

pytestmark = pytest.mark.epicycle_only


async def outer(event):
    await inner(event)


async def inner(event):
    await event.wait()


def test_where_a_task_stands(loop):
    async def main():
        async with waiting(one=outer(asyncio.Event())):
            taken, told = look(loop)
            one = told["one"]
            assert one["coroutine"].endswith("test_snapshot.outer") or one["coroutine"].endswith(".outer")
            assert one["file"] == __file__ and one["line"] == inner.__code__.co_firstlineno + 1
            functions = [line.rpartition(" ")[2] for line in one["stack"]]
            assert functions == ["outer", "inner", "Event.wait"]
            assert one["state"] == "waiting" and one["age_is_at_least"] is True
            assert (taken["version"], taken["pid"]) == (1, os.getpid())
            assert abs(taken["time"] - time.time()) < 60 and taken["took"] > 0

    finish(loop, main())


def test_states(loop):
    async def main():
        async def stubborn(event):
            try:
                await event.wait()
            except asyncio.CancelledError:
                await event.wait()

        event = asyncio.Event()
        async with waiting(cancelled=stubborn(event), waiting=event.wait()) as tasks:
            tasks["cancelled"].cancel()
            await settle()
            fresh = asyncio.create_task(event.wait(), name="fresh")
            _, told = look(loop)
            assert told["fresh"]["state"] == "ready"
            assert told["cancelled"]["state"] == "cancelling"
            assert told["waiting"]["state"] == "waiting"
            running = [task for task in told.values() if task["state"] == "running"]
            assert [task["id"] for task in running] == [id(asyncio.current_task())]
            assert "bounded" in running[0]["stack"][0]
            # The stack of a running task goes on into the functions that its coroutines call.
            assert any(" look" in line for line in running[0]["stack"])
            event.set()
            await fresh

    finish(loop, main())


def test_groups_count_all(loop):
    async def main():
        event = asyncio.Event()
        tasks = [asyncio.create_task(outer(event)) for _ in range(2100)]
        await settle()
        taken, told = look(loop)
        largest = taken["tasks"]["groups"][0]
        assert largest["coroutine"].endswith("outer")
        assert (largest["waits"], largest["count"]) == ("Event.wait", 2100)
        assert taken["tasks"]["total"] == 2101
        assert len(told) == 1000, "of very many only some are told of one by one"
        assert asyncio.current_task().get_name() in told, "the running one among them"
        event.set()
        await asyncio.gather(*tasks)

    finish(loop, main(), timeout=60)


def test_a_second_look_sees_what_has_changed(loop):
    async def main():
        observer = Observer(loop)
        event, queue = asyncio.Event(), asyncio.Queue()

        async def move():
            await event.wait()
            await queue.get()

        async with waiting(mover=move(), stayer=queue.get()):
            first = _by_name(observer)
            event.set()
            late = asyncio.create_task(queue.get(), name="late")
            await settle()
            second = _by_name(observer)
            assert first["mover"]["waits"]["kind"] == "event" and second["mover"]["waits"]["kind"] == "queue"
            assert first["stayer"]["id"] == second["stayer"]["id"]
            assert second["stayer"]["age"] >= first["stayer"]["age"]
            assert second["stayer"]["age_is_at_least"] and not second["late"]["age_is_at_least"]
            late.cancel()

    finish(loop, main())


def _by_name(observer):
    taken = json.loads(observer.observe(threading.get_ident()))
    return {task["name"]: task for task in taken["tasks"]["list"]}


def test_steps_are_counted_while_timed(loop):
    async def main():
        async def steps():
            for _ in range(30):
                await asyncio.sleep(0)
            await asyncio.Event().wait()

        loop._time_steps(True)
        try:
            observer = Observer(loop, timed=True)
            observer.observe()
            async with waiting(stepper=steps()):
                await settle(40)
                told = _by_name(observer)["stepper"]
                assert 25 <= told["steps"] <= 35 and told["busy"] > 0
                for _ in range(3):
                    again = _by_name(observer)["stepper"]
                assert (again["steps"], again["waits"]) == (told["steps"], told["waits"])
        finally:
            loop._time_steps(False)

    finish(loop, main())


@pytest.mark.parametrize("debug", [False, True])
def test_timed_looks_tell_the_same_as_others(loop, debug):
    """A task that stands is not looked at anew; nothing that it tells may be out of date."""
    loop.set_debug(debug)

    async def main():
        loop._time_steps(True)
        observer = Observer(loop, timed=True)
        queues = [asyncio.Queue() for _ in range(5)]

        async def go_round(place):
            while True:
                await queues[place % 5].get()
                await asyncio.sleep(0)
                place += 1

        async with waiting(**{f"t{i}": go_round(i) for i in range(20)}):
            for number in range(60):
                queues[number * 7 % 5].put_nowait(None)
                await settle(number % 4)
                told, fresh = _by_name(observer), look(loop)[1]
                for name, task in fresh.items():
                    if name.startswith("t"):
                        assert (told[name]["waits"], told[name]["stack"]) == (task["waits"], task["stack"])
        loop._time_steps(False)

    finish(loop, main(), timeout=60)


class Touchy:
    """Whoever calls anything of it leaves a trace."""

    touched: ClassVar[list] = []

    def _touch(self, *args):
        Touchy.touched.append(True)
        raise RuntimeError("hands off")

    __repr__ = __str__ = __hash__ = __eq__ = __getattr__ = __len__ = __bool__ = _touch


class TouchyTask(asyncio.Task):
    """A task of somebody's own, all of whose attributes are theirs too."""

    @property
    def _coro(self):
        Touchy.touched.append("_coro")
        return None

    _fut_waiter = _loop = _coro

    def get_name(self):
        Touchy.touched.append("get_name")

    def done(self):
        # asyncio itself asks this of each.
        return asyncio.Task.done(self)

    def __repr__(self):
        Touchy.touched.append("repr")
        return "!"


class TouchyName(str):
    def __str__(self):
        Touchy.touched.append("str")
        return "!"


def test_none_of_the_users_code_is_called(loop):
    Touchy.touched.clear()

    async def main():
        async def touchy(mine=Touchy()):  # noqa: B008
            key = Touchy()
            await asyncio.Event().wait()
            return mine, key

        task = TouchyTask(touchy(), loop=loop, name="touchy")
        lock = asyncio.Lock()
        await lock.acquire()
        async with waiting(one=touchy(), two=lock.acquire()):
            await settle()
            Touchy.touched.clear()
            taken = snapshot.take(loop)
            assert not Touchy.touched
            told = {told["name"]: told for told in taken["tasks"]["list"]}
            assert told["touchy"]["waits"]["kind"] == "event"
        Task = asyncio.Task
        Task.cancel(task)
        await asyncio.wait([task])

    finish(loop, main())


def test_tasks_of_other_makes(loop):
    """Written in Python, and by a factory that begins at once where there is one."""

    async def main():
        python = asyncio.tasks._PyTask(outer(asyncio.Event()), loop=loop, name="python")
        extra = []
        if hasattr(asyncio, "eager_task_factory"):
            loop.set_task_factory(asyncio.eager_task_factory)
            extra = [loop.create_task(outer(asyncio.Event()), name="eager")]
            loop.set_task_factory(None)
        await settle()
        _, told = look(loop)
        assert told["python"]["waits"]["kind"] == "event" and len(told["python"]["stack"]) == 3
        if extra:
            assert told["eager"]["waits"]["kind"] == "event"
        for task in [python, *extra]:
            task.cancel()
        await asyncio.gather(python, *extra, return_exceptions=True)

    finish(loop, main())


def test_other_loops_tasks_are_not_ours(loop, loop_factory):
    other = loop_factory()
    task = other.create_task(outer(asyncio.Event()), name="foreign")
    try:
        assert "foreign" not in look(loop)[1]
        assert "foreign" in look(other)[1]
    finally:
        task.cancel()
        other.run_until_complete(asyncio.gather(task, return_exceptions=True))
        other.close()


def test_names_go_through_as_they_are_and_in_ascii(loop):
    async def main():
        name = "\x1b[31mred\x00\ud800 \N{SNOWMAN}" + "x" * 1000
        task = asyncio.create_task(outer(asyncio.Event()), name=name)
        await settle()
        data = Observer(loop).observe()
        assert data.isascii() and b"\x1b" not in data
        names = [told["name"] for told in json.loads(data)["tasks"]["list"]]
        assert any(told.startswith(name[:20]) and len(told) == 200 for told in names)
        task.cancel()

    finish(loop, main())


def test_nothing_is_kept(loop):
    async def main():
        class Held:
            pass

        async def hold():
            held = Held()
            references.append(weakref.ref(held))
            await asyncio.sleep(0.01)

        references = []
        observer = Observer(loop)
        task = asyncio.create_task(hold(), name="holder")
        references.append(weakref.ref(task))
        await settle()
        observer.observe()
        await task
        del task
        await settle()
        gc.collect()
        assert [reference() for reference in references] == [None, None]

    finish(loop, main())


def test_a_task_that_ends_while_it_is_looked_at_ends_in_the_loops_thread(loop):
    """Destroying it runs the program's code, which does not expect to be in another thread."""

    async def main():
        ended_in = []
        # The handler is told that it was still pending.
        loop.set_exception_handler(lambda loop, context: ended_in.append(threading.current_thread()))

        async def body():
            try:
                await loop.create_future()
            finally:
                ended_in.append(threading.current_thread())

        task = asyncio.create_task(body())
        await settle()
        reference = weakref.ref(task)
        holding, let_go = threading.Event(), threading.Event()

        def hold():
            held = reference()
            holding.set()
            let_go.wait()
            tasks.lend(held, loop)

        thread = threading.Thread(target=hold)
        thread.start()
        holding.wait()
        # What else refers to it: the future that it waits for, from Python 3.14 on twice.
        for callback, _ in task._fut_waiter._callbacks:
            task._fut_waiter.remove_done_callback(callback)
        if hasattr(asyncio, "future_discard_from_awaited_by"):
            asyncio.future_discard_from_awaited_by(task._fut_waiter, task)
        del task, callback, _
        let_go.set()
        thread.join()
        assert ended_in == []
        await settle()
        assert ended_in == [threading.current_thread()] * 2 and reference() is None

    finish(loop, main())


def test_what_was_read_of_a_coroutine_goes_when_the_coroutine_lets_go_of_it(loop):
    """An exception keeps the frames that it went through, and so whatever is left with them."""

    async def main():
        with tcp_pair() as (mine, _):
            task = asyncio.create_task(loop.sock_recv(mine, 10), name="receiver")
            await settle()
            future = weakref.ref(task._fut_waiter)
            assert look(loop)[1]["receiver"]["waits"]["fd"] == mine.fileno()
            gc.disable()
            try:
                task.cancel()
                (error,) = await asyncio.gather(task, return_exceptions=True)
                assert isinstance(error, asyncio.CancelledError) and future() is None
            finally:
                gc.enable()

    finish(loop, main())


def test_looking_while_the_loop_runs(loop):
    """Another thread looks again and again while tasks come and go."""

    async def main():
        seen, stop = [], threading.Event()

        def look_on():
            observer = Observer(loop)
            while not stop.is_set():
                seen.append(json.loads(observer.observe(main_thread)))

        main_thread = threading.get_ident()
        thread = threading.Thread(target=look_on)
        thread.start()
        lock = asyncio.Lock()

        async def busy(depth):
            async with lock:
                await asyncio.sleep(0)
            if depth:
                async with asyncio.TaskGroup() as group:
                    group.create_task(busy(depth - 1))
                    group.create_task(busy(depth - 1))

        try:
            while len(seen) < 20 or all(taken["tasks"]["total"] < 10 for taken in seen):
                await busy(6)
        finally:
            stop.set()
            while thread.is_alive():
                await asyncio.sleep(0.001)
        assert all("error" not in taken for taken in seen)

    finish(loop, main(), timeout=60)


def test_very_deep_chains(loop):
    async def main():
        async def deep(levels):
            if levels:
                await deep(levels - 1)
            else:
                await asyncio.Event().wait()

        async with waiting(deep=deep(400)):
            _, told = look(loop)
            assert told["deep"]["waits"]["kind"] == "event"
            assert len(told["deep"]["stack"]) < 100 and "more" in " ".join(told["deep"]["stack"])

    finish(loop, main())


FIRST = """
import asyncio, gc, sys
async def main():
    loop = asyncio.get_running_loop()
    hooks = sys.get_asyncgen_hooks()
    for name in [name for name in sys.modules if name.startswith("epicycle.watching")]:
        del sys.modules[name]
    from epicycle.watching.inside import snapshot
    gc.collect()
    await asyncio.sleep(0)
    assert sys.get_asyncgen_hooks() == hooks
    print(snapshot.take(loop)["tasks"]["total"])
loop = new_loop()
loop.run_until_complete(main())
loop.close()
"""


def test_the_first_look_comes_from_a_running_loop():
    """What is tried out for it leaves nothing for that loop to do."""
    assert script("epicycle", FIRST).stdout == "1\n"


def test_a_loop_that_is_gone(loop_factory):
    loop = loop_factory()
    observer = Observer(loop)
    loop.close()
    assert json.loads(observer.observe())["tasks"]["total"] == 0
    del loop
    gc.collect()
    assert "error" in json.loads(observer.observe())

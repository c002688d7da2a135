"""Revivals one by one, where a whole program would hide the point, and what must not change."""

from __future__ import annotations

import sys

import pytest

QUIET = ("-W", "ignore")


def prints(completed) -> list[str]:
    assert completed.returncode == 0, completed.stderr
    return completed.stdout.splitlines()


def test_classes_stay_asyncios(legacy):
    program = """
import asyncio, _asyncio, inspect, types

async def main():
    task = asyncio.ensure_future(asyncio.sleep(0))
    print(type(task) is _asyncio.Task, isinstance(task, asyncio.Task), isinstance(task, asyncio.Future))
    print(type(asyncio.Task(asyncio.sleep(0))) is _asyncio.Task, type(asyncio.create_task(asyncio.sleep(0))).__name__)
    await asyncio.sleep(0.001)

asyncio.run(main())
print(asyncio.Future is _asyncio.Future, asyncio.Lock is asyncio.locks.Lock, asyncio.Lock.__module__)
print(asyncio.Queue().__class__ is asyncio.Queue, isinstance(asyncio.PriorityQueue(), asyncio.Queue))
print(asyncio.iscoroutinefunction(asyncio.sleep), asyncio.iscoroutinefunction(asyncio.wait))
print(asyncio.sleep.__name__, list(inspect.signature(asyncio.Semaphore).parameters))
print(issubclass(asyncio.Task, asyncio.Future), asyncio.Task.__name__)
"""
    assert prints(legacy(program, options=QUIET)) == [
        "True True True",
        "True Task",
        "True True asyncio.locks",
        "True True",
        "True True",
        "sleep ['value']",
        "True Task",
    ]


def test_modern_program_says_nothing(legacy):
    program = """
import asyncio
from collections.abc import Mapping

async def work(lock, queue):
    async with lock:
        await queue.put(await asyncio.wait_for(asyncio.sleep(0, "done"), 5))

async def main():
    lock, queue = asyncio.Lock(), asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        group.create_task(work(lock, queue))
    tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(3)]
    await asyncio.wait(tasks)
    await asyncio.gather(*[asyncio.sleep(0)], return_exceptions=True)
    for first in asyncio.as_completed([asyncio.sleep(0, 1)]):
        await first
    async with asyncio.timeout(5):
        print(await queue.get(), asyncio.current_task() in asyncio.all_tasks())

asyncio.run(main())
"""
    completed = legacy(program)
    assert prints(completed) == ["done True"]
    assert completed.stderr == ""


def test_wait_takes_a_generator_of_tasks_or_coroutines(legacy):
    program = """
import asyncio
async def value(x):
    return x
async def main():
    done, _ = await asyncio.wait(asyncio.ensure_future(value(x)) for x in range(3))
    print(sorted(task.result() for task in done))
    done, _ = await asyncio.wait(value(x) for x in range(3))
    print(sorted(task.result() for task in done))
    coroutine = value(7)
    done, _ = await asyncio.wait([coroutine, coroutine])
    print([task.result() for task in done])
asyncio.run(main())
"""
    assert prints(legacy(program, options=QUIET)) == ["[0, 1, 2]", "[0, 1, 2]", "[7]"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("asyncio.wait([])", "ValueError"),
        ("asyncio.wait(value())", "TypeError"),
        ("asyncio.wait(loop.create_future())", "TypeError"),
        ("asyncio.wait([value()], return_when='NEVER')", "ValueError"),
        ("asyncio.wait([1])", "AttributeError"),
        ("asyncio.wait(1)", "TypeError"),
        ("asyncio.sleep(0, nonsense=1)", "TypeError"),
        ("asyncio.gather(1)", "TypeError"),
        ("asyncio.Lock(nonsense=1)", "TypeError"),
        ("asyncio.Semaphore(-1, loop=loop)", "ValueError"),
        ("asyncio.Task(1)", "TypeError"),
        ("asyncio.Nonsense", "AttributeError"),
        ("loop.create_task(1)", "TypeError"),
    ],
)
def test_wrong_calls_fail_as_they_did(call, error, legacy):
    program = f"""
import asyncio
async def value():
    return 1
async def main():
    loop = asyncio.get_running_loop()
    result = {call}
    if asyncio.iscoroutine(result) or asyncio.isfuture(result):
        await result
try:
    asyncio.run(main())
except Exception as error:
    print(type(error).__name__)
"""
    assert prints(legacy(program, options=QUIET)) == [error]


def test_lock_of_another_loop_is_refused(legacy):
    program = """
import asyncio
other = asyncio.new_event_loop()
lock = asyncio.Lock(loop=other)
async def main():
    await lock.acquire()
    try:
        await asyncio.wait_for(lock.acquire(), 5)
    except RuntimeError as error:
        print("is bound to a different event loop" in str(error))
asyncio.run(main())
other.close()
"""
    assert prints(legacy(program, options=QUIET)) == ["True"]


def test_held_lock_is_released_by_an_exception(legacy):
    program = """
import asyncio
lock = asyncio.Lock()
async def main():
    try:
        with await lock:
            print(lock.locked())
            raise KeyError
    except KeyError:
        print(lock.locked())
    try:
        with lock:
            pass
    except (TypeError, AttributeError):
        print("refused")
asyncio.run(main())
"""
    assert prints(legacy(program, options=QUIET)) == ["True", "False", "refused"]


def test_decorated_forms(legacy):
    program = """
import asyncio, inspect

class Server:
    @classmethod
    @asyncio.coroutine
    def create(cls):
        yield from asyncio.sleep(0)
        return cls.__name__

    @staticmethod
    @asyncio.coroutine
    def ping():
        return "pong"

@asyncio.coroutine
async def already():
    return "native"

@asyncio.coroutine
def documented():
    "The text."
    yield

async def main():
    print(await Server.create(), await Server.ping(), await already())
    print(documented.__doc__, documented.__name__, inspect.iscoroutinefunction(already))
    print(inspect.isawaitable(documented()), asyncio.iscoroutine(documented()))
    async with asyncio.TaskGroup() as group:
        print(type(group.create_task(Server.create())).__name__)

asyncio.run(main())
print(asyncio.run(Server.create()))
"""
    assert prints(legacy(program, options=QUIET)) == [
        "Server pong native",
        "The text. documented True",
        "True True",
        "Task",
        "Server",
    ]


def test_generator_coroutines_in_debug_mode(legacy):
    program = """
import asyncio
@asyncio.coroutine
def work():
    yield from asyncio.sleep(0)
    print(repr(asyncio.current_task()).startswith("<Task pending name='named' coro=<work() running at "))
    return 1
async def main():
    print(await asyncio.create_task(work(), name="named"))
asyncio.run(main())
"""
    assert prints(legacy(program, options=QUIET, mode=("--debug", "--legacy"))) == ["True", "1"]


def test_get_event_loop_after_the_loop_was_unset(legacy):
    """asyncio never made a second loop once a program had set one, be it none."""
    program = """
import asyncio
async def main():
    print(asyncio.get_event_loop() is asyncio.get_running_loop())
asyncio.run(main())
try:
    asyncio.get_event_loop()
except RuntimeError:
    print("no current loop")
"""
    assert prints(legacy(program, options=QUIET)) == ["True", "no current loop"]


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="asyncio forgets the parent's loop in a child since 3.12"
)
def test_get_event_loop_is_made_anew_after_a_fork(legacy):
    program = """
import asyncio, os
loop = asyncio.get_event_loop()
pid = os.fork()
if pid == 0:
    mine = asyncio.get_event_loop()
    print(mine is not loop, mine.run_until_complete(asyncio.sleep(0, "child")), flush=True)
    mine.close()
    os._exit(0)
os.waitpid(pid, 0)
loop.close()
"""
    assert prints(legacy(program, options=QUIET)) == ["True child"]


def test_names_that_are_not_revived_are_still_missing(legacy):
    program = """
import asyncio, collections, time, asyncio.queues
for module, name in ((asyncio, "nothing"), (collections, "Nothing"), (time, "nothing"), (asyncio.queues, "x")):
    try:
        getattr(module, name)
    except AttributeError as error:
        print(error)
print(asyncio.JoinableQueue is asyncio.Queue, asyncio.queues.JoinableQueue is asyncio.Queue)
"""
    assert prints(legacy(program, options=QUIET)) == [
        "module 'asyncio' has no attribute 'nothing'",
        "module 'collections' has no attribute 'Nothing'",
        "module 'time' has no attribute 'nothing'",
        "module 'asyncio.queues' has no attribute 'x'",
        "True True",
    ]


def test_getargspec_refuses_what_it_cannot_say(legacy):
    program = """
import inspect
def modern(a, *, b: int = 1) -> str: ...
try:
    inspect.getargspec(modern)
except ValueError:
    print("refused")
print(inspect.formatargspec(*inspect.getfullargspec(modern)))
print(inspect.formatargspec(["a", "b"], "rest", None, (1,), ["c"], {"c": 2}))
"""
    assert prints(legacy(program, options=QUIET)) == [
        "refused",
        "(a, *, b: int=1) -> str",
        "(a, b=1, *rest, c=2)",
    ]


def test_child_watcher_of_a_programs_own(legacy):
    program = """
import asyncio, os, threading
watcher = asyncio.ThreadedChildWatcher()
pid = os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", "exit 3")
ended = threading.Event()
async def main():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    with watcher:
        watcher.add_child_handler(
            pid, lambda *told: loop.call_soon_threadsafe(future.set_result, told), "and more"
        )
        told = await future
    print(told[0] == pid, told[1:], isinstance(watcher, asyncio.AbstractChildWatcher), watcher.is_active())
asyncio.run(main())
"""
    assert prints(legacy(program, options=QUIET)) == ["True (3, 'and more') True True"]


def test_thread_and_its_old_names(legacy):
    program = """
import threading
started = threading.Event()
thread = threading.Thread(target=started.wait)
thread.setName("old")
thread.setDaemon(False)
thread.start()
print(thread.isAlive(), thread.getName(), thread.isDaemon(), started.isSet(), threading.activeCount())
started.set()
thread.join()
print(thread.isAlive(), threading.currentThread() is threading.main_thread())
condition = threading.Condition()
with condition:
    condition.notifyAll()
"""
    assert prints(legacy(program, options=QUIET)) == ["True old False False 2", "False True"]

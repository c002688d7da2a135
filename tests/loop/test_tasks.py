"""Tasks and futures of the loop, and the factories that make them."""

import asyncio
import contextvars
import gc
import subprocess
import sys
import weakref

import pytest

from toolkit import finish, turn

user = contextvars.ContextVar("user", default="nobody")


async def name_of_task():
    return asyncio.current_task().get_name()


def test_tasks_and_futures_are_those_of_asyncio(loop):
    task = loop.create_task(name_of_task())
    assert type(task) is asyncio.Task
    assert type(loop.create_future()) is asyncio.Future
    assert task.get_loop() is loop and loop.create_future().get_loop() is loop
    finish(loop, task)


def test_a_task_has_a_name(loop):
    assert finish(loop, loop.create_task(name_of_task(), name="given")) == "given"
    assert finish(loop, loop.create_task(name_of_task())).startswith("Task-")
    assert finish(loop, loop.create_task(name_of_task(), name=None)).startswith("Task-")


def test_a_task_runs_in_a_context(loop):
    async def look_and_set():
        seen = user.get()
        user.set("changed")
        await asyncio.sleep(0)
        return seen, user.get()

    context = contextvars.copy_context()
    context.run(user.set, "given")
    assert finish(loop, loop.create_task(look_and_set(), context=context)) == ("given", "changed")
    assert context[user] == "changed"
    assert finish(loop, loop.create_task(look_and_set())) == ("nobody", "changed")
    assert user.get() == "nobody"


def test_tasks_of_one_context_take_turns_in_it(loop):
    context = contextvars.copy_context()

    async def step(number):
        seen = []
        for _ in range(3):
            seen.append(user.get())
            user.set(f"task {number}")
            await asyncio.sleep(0)
        return seen

    async def main():
        tasks = [loop.create_task(step(number), context=context) for number in (1, 2)]
        return await asyncio.gather(*tasks)

    assert finish(loop, main()) == [["nobody", "task 2", "task 2"], ["task 1", "task 1", "task 1"]]


@pytest.mark.parametrize("thing", [None, 1, name_of_task, lambda: None])
def test_only_coroutines_become_tasks(loop, thing):
    with pytest.raises(TypeError, match="a coroutine was expected, got "):
        loop.create_task(thing)


def test_a_task_starts_in_the_next_turn(loop):
    seen = []

    async def body():
        seen.append("task")

    task = loop.create_task(body())
    loop.call_soon(seen.append, "callback")
    assert seen == []
    turn(loop)
    assert seen == ["task", "callback"] and task.done()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="create_task(eager_start=) came with 3.14")
def test_a_task_may_start_eagerly(loop):
    seen = []

    async def body(number):
        seen.append(number)
        await asyncio.sleep(0)
        return number

    async def main():
        task = loop.create_task(body(1), eager_start=True)
        assert seen == [1]
        lazy = loop.create_task(body(2), eager_start=False)
        assert seen == [1]
        return [await task, await lazy]

    assert finish(loop, main()) == [1, 2]


def test_a_task_factory_makes_the_tasks(loop):
    made = []

    class Task(asyncio.Task):
        pass

    def factory(loop, coro, **kwargs):
        task = Task(coro, loop=loop, **kwargs)
        made.append((loop, task))
        return task

    assert loop.get_task_factory() is None
    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    task = loop.create_task(name_of_task(), name="made by the factory")
    assert made == [(loop, task)] and type(task) is Task
    assert loop.run_until_complete(task) == "made by the factory"
    loop.run_until_complete(name_of_task())
    assert len(made) == 2
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    assert type(loop.create_task(name_of_task())) is asyncio.Task
    turn(loop)


def test_a_task_factory_is_given_the_context(loop):
    given = []

    def factory(loop, coro, **kwargs):
        given.append(kwargs.get("context"))
        return asyncio.Task(coro, loop=loop, **kwargs)

    loop.set_task_factory(factory)
    context = contextvars.copy_context()
    finish(loop, loop.create_task(name_of_task(), context=context))
    assert given[0] is context


@pytest.mark.parametrize("factory", [1, "text", ()])
def test_a_task_factory_must_be_callable(loop, factory):
    with pytest.raises(TypeError, match="^task factory must be a callable or None$"):
        loop.set_task_factory(factory)


def test_what_a_task_factory_raises_is_raised(loop):
    def factory(loop, coro, **kwargs):
        coro.close()
        raise LookupError("no task today")

    loop.set_task_factory(factory)
    with pytest.raises(LookupError, match="no task today"):
        loop.create_task(name_of_task())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks_run_at_once(loop):
    seen = []

    async def body(number, waits):
        seen.append((number, asyncio.current_task()))
        if waits:
            await asyncio.sleep(0)
            seen.append((number, "woke"))
        return number

    async def main():
        done = loop.create_task(body(1, False), name="one")
        assert done.done() and seen == [(1, done)] and done.get_name() == "one"
        waiting = loop.create_task(body(2, True))
        assert not waiting.done() and seen[-1] == (2, waiting)
        assert asyncio.current_task() is main_task
        return [await done, await waiting, await asyncio.gather(body(3, False), body(4, True))]

    loop.set_task_factory(asyncio.eager_task_factory)
    assert loop.get_task_factory() is asyncio.eager_task_factory
    main_task = loop.create_task(main())
    assert finish(loop, main_task) == [1, 2, [3, 4]]


def test_many_tasks_gather(loop):
    async def body(number):
        for _ in range(number % 7):
            await asyncio.sleep(0)
        return number

    async def main():
        return await asyncio.gather(*(body(number) for number in range(1000)))

    assert finish(loop, main()) == list(range(1000))


def test_cancellation_reaches_a_task_at_its_await(loop):
    seen = []

    async def body():
        try:
            await loop.create_future()
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise

    task = loop.create_task(body())
    turn(loop, 2)
    assert task.cancel("enough")
    turn(loop, 2)
    assert task.cancelled() and seen == [("enough",)]


def test_a_task_cancelled_before_its_start_never_runs(loop):
    seen = []

    async def body():
        seen.append("ran")

    task = loop.create_task(body())
    task.cancel()
    turn(loop, 2)
    assert task.cancelled() and seen == []


def test_futures_wake_their_tasks_in_order(loop):
    seen = []
    future = loop.create_future()

    async def wait(number):
        seen.append((number, await future))

    async def main():
        tasks = [loop.create_task(wait(number)) for number in range(5)]
        await asyncio.sleep(0)
        future.set_result("go")
        await asyncio.gather(*tasks)

    finish(loop, main())
    assert seen == [(number, "go") for number in range(5)]


def test_a_task_woken_and_cancelled_in_one_turn_is_cancelled(loop):
    async def wait(future):
        return await future

    async def main():
        future = loop.create_future()
        task = loop.create_task(wait(future))
        await asyncio.sleep(0)
        future.set_result(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    finish(loop, main())


def test_structured_concurrency_works(loop):
    async def main():
        seen = []
        with pytest.raises(BaseExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:

                async def waiting():
                    try:
                        await asyncio.sleep(3600)
                    finally:
                        seen.append("cancelled")

                async def failing():
                    await asyncio.sleep(0)
                    raise ValueError("odd")

                group.create_task(waiting())
                group.create_task(failing())
        assert [str(error) for error in caught.value.exceptions] == ["odd"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await loop.create_future()
        return seen

    assert finish(loop, main()) == ["cancelled"]


def test_current_task_is_known_in_steps_alone(loop):
    seen = []

    async def body():
        seen.append(asyncio.current_task())
        loop.call_soon(lambda: seen.append(asyncio.current_task()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    task = loop.create_task(body())
    finish(loop, task)
    assert seen == [task, None, task]
    assert asyncio.all_tasks(loop) == set()


def test_tasks_show_the_place_they_were_made_at_in_debug_mode(loop):
    loop.set_debug(True)
    line = sys._getframe().f_lineno + 1
    task = loop.create_task(name_of_task())
    assert task._source_traceback[-1].lineno == line
    assert f"created at {__file__}:{line}" in repr(task)
    finish(loop, task)


def test_a_custom_future_and_task_run_too(loop):
    # Python's own classes, not the ones in C, hand the loop ordinary methods.
    from asyncio.futures import _PyFuture
    from asyncio.tasks import _PyTask

    async def body(future):
        return await future + 1

    future = _PyFuture(loop=loop)
    task = _PyTask(body(future), loop=loop)
    loop.call_soon(future.set_result, 1)
    assert loop.run_until_complete(task) == 2


def test_the_first_task_of_a_program_is_the_first(loop_name):
    maker = {"asyncio": "asyncio.SelectorEventLoop", "epicycle": "epicycle.EventLoop"}[loop_name]
    program = (
        "import asyncio, epicycle\n"
        "async def main(): return asyncio.current_task().get_name()\n"
        f"loop = {maker}()\n"
        "print(loop.run_until_complete(main())); loop.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["Task-1"]


@pytest.mark.parametrize("name", ["Future", "Task"])
def test_a_class_of_a_program_gets_keywords_of_its_own(loop, monkeypatch, name):
    """It may keep them, or change them, and the next one made is not concerned."""
    module = asyncio.futures if name == "Future" else asyncio.tasks
    kept = []

    class Keeping(getattr(module, name)):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            kept.append(kwargs)
            kwargs["loop"] = kwargs["more"] = None

    async def done():
        return 1

    async def main():
        made = []
        for replaced in (False, True, True, False):
            with monkeypatch.context() as patch:
                if replaced:
                    patch.setattr(module, name, Keeping)
                made.append(loop.create_future() if name == "Future" else loop.create_task(done()))
        if name == "Future":
            for future in made:
                future.set_result(1)
        return await asyncio.gather(*made), [type(one) is Keeping for one in made]

    results, kinds = finish(loop, main())
    assert results == [1, 1, 1, 1]
    assert kinds == [False, True, True, False]
    assert kept[0] is not kept[1]


def test_a_closed_loop_makes_futures_still(loop_factory):
    loop = loop_factory()
    assert loop.create_future().get_loop() is loop
    gone = weakref.ref(loop)
    loop.close()
    assert loop.create_future().get_loop() is loop
    del loop
    gc.collect()
    assert gone() is None

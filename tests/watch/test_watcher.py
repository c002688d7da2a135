"""The watcher: what blocks a loop is told while it is stuck, again while it lasts, and once when it is over."""

import asyncio
import gc
import logging
import os
import pathlib
import re
import sys
import textwrap
import threading
import time

import pytest
from looking import target, wait_for

import epicycle
from epicycle.watching.words import holder
from toolkit import finish, quiet

pytestmark = pytest.mark.epicycle_only


class Told(list):
    """The stalls that a watcher has told of."""

    def of(self, *phases):
        return [stall for stall in self if stall.phase in phases]

    @property
    def last(self):
        return self[-1]


@pytest.fixture
def told():
    """A list of stalls; what is told is told of a loop that is blocked for 0.1 s."""
    stalls = Told()
    with epicycle.watch(0.1, callback=stalls.append, logger=None):
        yield stalls


def over(told, kind="blocked"):
    """The last word on the last stall of that kind."""
    return wait_for(lambda: next((s for s in reversed(told) if s.phase == "ended" and s.kind == kind), None))


def not_starved(stall):
    """A thread that had no processor most of the time is told so, whatever it would have done with one."""
    if stall.cause == "cpu":
        pytest.skip("other programs had the processors")
    return stall


def line_of(function, text):
    """The number of the line of a function that has this text in it."""
    lines = function.__code__.co_firstlineno
    source = pathlib.Path(__file__).read_text().splitlines()
    return next(n + 1 for n, line in enumerate(source) if n >= lines and text in line)


def test_a_blocking_call_is_told_with_task_line_and_coroutines(loop, told):
    async def sleeper():
        time.sleep(0.45)  # here

    async def outer():
        await sleeper()

    async def main():
        await asyncio.create_task(outer(), name="slow one")
        await quiet()

    finish(loop, main())
    stall = over(told)
    line = line_of(test_a_blocking_call_is_told_with_task_line_and_coroutines, "# here")
    began, *grew = told.of("began", "grew")
    assert (began.phase, [more.phase for more in grew[:2]]) == ("began", ["grew"] * len(grew[:2]))
    assert len(grew) >= 1
    for one in (began, grew[0], stall):
        assert (one.kind, one.cause, one.detail) == ("blocked", "system call", "clock_nanosleep")
        assert (one.file, one.line) == (__file__, line)
        assert (one.task, one.what) == ("slow one", "task 'slow one'")
        assert one.coroutine.endswith("outer")
        assert one.number == began.number
    names = [text.partition(" (")[0].rpartition(".")[2] for text in began.awaits]
    assert names[-3:] == ["main", "outer", "sleeper"]
    assert [entry[1].rpartition(".")[2] for entry in began.stack] == ["sleeper", "outer"]
    assert 0.1 <= began.lasted < grew[0].lasted < stall.lasted
    assert 0.4 < stall.lasted < 5
    assert abs(stall.began - time.time()) < 60
    assert loop._page().stalls()[-1]["task"] == "slow one"
    assert loop._page().counters()["stalls"] == began.number


def test_the_page_has_cause_and_place_of_what_is_deep_inside(loop, told):
    async def level(depth):
        if depth:
            await level(depth - 1)
        else:
            time.sleep(0.45)

    async def main():
        await asyncio.create_task(level(60), name="deep " * 100)
        await quiet()

    finish(loop, main())
    stall = not_starved(over(told))
    kept = loop._page().stalls()[-1]
    for name in ("cause", "detail", "file", "line"):
        assert kept[name] == getattr(stall, name)
    assert kept["task"].startswith("deep deep ")
    # Of lists the innermost is kept, as far as there is room.
    assert kept["stack"][:3] == stall.stack[:3]
    assert kept["awaits"]
    assert kept["awaits"] == stall.awaits[-len(kept["awaits"]) :]


def test_a_stall_told_again_is_told_where_it_is_by_then(loop, told):
    def first():
        time.sleep(0.25)

    def second():
        time.sleep(0.6)

    def both():
        first()
        second()

    loop.call_soon(both)
    finish(loop, quiet())
    over(told)
    kept = loop._page().stalls()[-1]
    assert [function.rpartition(".")[2] for _, function, _ in kept["stack"]] == ["second", "both"]
    assert kept["line"] == line_of(second, "time.sleep(0.6)")


def test_a_callback_is_told_by_its_name(loop, told):
    def callback():
        time.sleep(0.25)

    loop.call_soon(callback)
    finish(loop, quiet())
    stall = over(told)
    assert re.fullmatch(r"callback .*<locals>\.callback", stall.what)
    assert (stall.task, stall.coroutine, stall.awaits) == ("", "", [])


def test_a_protocol_is_told(loop, told):
    from toolkit import tcp_pair

    class Slow(asyncio.Protocol):
        def data_received(self, data):
            time.sleep(0.25)

    async def main(ours, theirs):
        transport, _ = await loop.create_connection(Slow, sock=ours)
        theirs.send(b"x")
        await quiet()
        transport.close()
        await quiet()

    with tcp_pair() as (ours, theirs):
        finish(loop, main(ours, theirs))
    stall = over(told)
    assert stall.what == "stream StreamTransport"
    assert stall.stack[0][1].endswith("Slow.data_received")


def test_code_that_runs_is_told_as_such(loop, told):
    def spin():
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass

    loop.call_soon(spin)
    finish(loop, quiet())
    stall = not_starved(over(told))
    assert stall.cause == "python"
    assert stall.stack[0][1].endswith("spin")


BACKTRACKS = """
import asyncio, re, sys, epicycle
async def main():
    print("ready")
    sys.stdin.readline()
    re.fullmatch(r"(a+)+", "a" * 32 + "b")
    print("went on")
epicycle.run(main())
"""


def test_the_page_knows_while_native_code_holds_the_interpreter():
    # Nobody in that process can run Python code: it would take minutes.
    with target(BACKTRACKS, EPICYCLE_WATCH="0.2") as (process, page):
        process.stdin.write("\n")
        process.stdin.flush()
        (stall,) = wait_for(lambda: [s for s in page.stalls() if s["cause"] in ("python", "cpu")])
        assert (stall["kind"], stall["over"]) == ("blocked", False)
        assert (stall["file"], stall["line"]) == ("<string>", 6)
        assert [function for _, function, _ in stall["stack"]][:2] == ["fullmatch", "main"]
        first = stall["lasted"]
        wait_for(lambda: page.stalls()[-1]["lasted"] > first)
        # So can others, without a watcher in it.
        assert [function for _, function, _ in page.stack()][:2] == ["fullmatch", "main"]


def test_native_code_that_held_the_interpreter_is_told_afterwards(loop, told):
    async def main():
        re.fullmatch(r"(a+)+", "a" * 23 + "b")
        await quiet()

    finish(loop, main())
    stall = not_starved(over(told))
    assert stall.cause == "python"
    assert "native code" in stall.detail
    assert stall.stack[0][1] == "fullmatch"
    assert stall.file == __file__


def test_native_code_that_held_the_interpreter_is_told_where_it_was(loop, told):
    def goes_on():
        re.fullmatch(r"(a+)+", "a" * 25 + "b")  # there
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass

    loop.call_soon(goes_on)
    finish(loop, quiet(), timeout=60)
    over(told)
    began = told.of("began")[0]
    line = line_of(test_native_code_that_held_the_interpreter_is_told_where_it_was, "# there")
    assert (began.file, began.line) == (__file__, line)
    assert began.stack[0][1] == "fullmatch"


@pytest.mark.parametrize(
    ("said", "told_as"),
    [
        ("held by another thread", "held by another thread"),
        ("held by another thread, probably 1 (init)", "held by another thread, probably 1 (init)"),
        ("held by another thread, probably {} (py)", "held by another thread, probably thread 'the hog'"),
    ],
)
def test_a_thread_is_told_by_the_name_that_python_has_for_it(said, told_as):
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, name="the hog")
    thread.start()
    try:
        assert holder(said.format(thread.native_id)) == told_as
    finally:
        ended.set()
        thread.join()


HOG = """
import asyncio, ctypes, sys, threading, epicycle
nap = ctypes.PyDLL(None).usleep      # keeps the interpreter, unlike CDLL
spin = ctypes.PyDLL(None).rand
async def main():
    print("ready")
    def hog():
        import re
        re.fullmatch(r"(a+)+", "a" * 27 + "b")
    threading.Thread(target=hog, name="hog").start()
    await asyncio.sleep(0.1)
    await asyncio.sleep(0.1)
epicycle.run(main())
"""


def test_a_thread_that_holds_the_interpreter_is_told(tmp_path):
    with target(HOG, EPICYCLE_WATCH="0.2") as (_, page):
        stall = wait_for(lambda: next((s for s in page.stalls() if s["cause"] in ("gil", "cpu")), None))
        if stall["cause"] == "cpu":
            pytest.skip("other programs had the processors")
        assert stall["detail"].startswith("held by another thread")


def test_a_lock_is_told(loop, told):
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(0.35, lock.release).start()
    loop.call_soon(lock.acquire)
    finish(loop, quiet())
    stall = over(told)
    assert (stall.cause, stall.detail) == ("system call", "futex: a lock")


def test_a_read_is_told_with_its_peer(loop, told):
    from toolkit import tcp_pair

    with tcp_pair(blocking=True) as (ours, theirs):
        threading.Timer(0.35, theirs.send, (b"x",)).start()
        loop.call_soon(ours.recv, 1)
        finish(loop, quiet())
        stall = over(told)
        host, port = theirs.getsockname()
        assert stall.cause == "system call"
        assert stall.detail == f"recvfrom({ours.fileno()}): connection to {host}:{port}"


def test_garbage_collection_is_told(loop, told):
    # A chain of many small objects: one collection looks at them all.
    ballast = [[number] for number in range(6_000_000)]

    def collect():
        for _ in range(3):
            gc.collect()

    gc.collect()
    loop.call_soon(collect)
    finish(loop, quiet(), timeout=60)
    stall = next(stall for stall in [*told.of("began", "grew")] if stall.cause == "gc")
    assert stall.detail.startswith("collecting garbage for ")
    del ballast


def test_many_short_callbacks_are_told_as_saturation(loop, told):
    async def main():
        for _ in range(400):
            loop.call_soon(time.sleep, 0.001)
        await asyncio.sleep(0)
        await quiet()

    finish(loop, main())
    stall = over(told, "saturated")
    assert stall.lasted > 0.3
    assert {one.kind for one in told} == {"saturated"}


def test_a_loop_that_sleeps_or_gets_on_is_not_told(loop, told):
    async def main():
        await asyncio.sleep(0.35)
        until = time.monotonic() + 0.35
        while time.monotonic() < until:
            await asyncio.sleep(0)

    finish(loop, main())
    time.sleep(0.3)
    assert told == []


def test_loops_made_later_and_in_other_threads_are_watched(told, loop):
    def other():
        epicycle.run(asyncio.sleep(0.01))

        async def blocks():
            time.sleep(0.3)

        epicycle.run(blocks())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(20)
    assert over(told).stack[0][1].endswith("blocks")


def test_one_loop_may_be_watched_alone(loop, loop_factory):
    other = loop_factory()
    stalls = Told()
    with epicycle.watch(0.05, callback=stalls.append, logger=None, loop=other):
        loop.call_soon(time.sleep, 0.2)
        finish(loop, quiet())
        assert stalls == []
        other.call_soon(time.sleep, 0.2)
        finish(other, quiet())
        over(stalls)
    other.close()


def test_it_logs(loop, caplog):
    with caplog.at_level(logging.WARNING, "epicycle.stall"), epicycle.watch(0.1):
        loop.call_soon(time.sleep, 0.3)
        finish(loop, quiet())
        wait_for(lambda: "goes on" in caplog.text)
    began, *_, ended = caplog.records
    message = began.getMessage()
    assert re.match(r"the loop has been blocked for 0\.\d+ s by callback sleep", message)
    assert "(a blocking system call: clock_nanosleep)" in message
    assert began.stall.phase == "began"
    assert re.match(r"the loop goes on after 0\.\d+ s: it was blocked by callback sleep", ended.getMessage())


def test_it_never_floods(loop, caplog):
    stalls = Told()
    with caplog.at_level(logging.WARNING, "epicycle.stall"), epicycle.watch(0.01, callback=stalls.append):
        for _ in range(40):
            loop.call_soon(time.sleep, 0.03)
            finish(loop, quiet())
        wait_for(lambda: stalls and stalls.last.phase == "ended")
    assert len(stalls) > 40
    assert len(caplog.records) <= 12


def test_a_callback_that_fails_is_logged_and_the_watcher_goes_on(loop, caplog):
    calls = []

    def fail(stall):
        calls.append(stall)
        raise ValueError("no")

    with epicycle.watch(0.05, callback=fail, logger=None):
        for _ in range(2):
            loop.call_soon(time.sleep, 0.15)
            finish(loop, quiet())
        # There may be more where other programs have the processors.
        wait_for(lambda: len({stall.number for stall in calls}) >= 2)
    assert "the watcher could not report a stall" in caplog.text


@pytest.mark.parametrize("threshold", [0, -1, 3601, float("nan")])
def test_a_threshold_that_is_none_is_refused(threshold):
    before = threading.active_count()
    with pytest.raises(ValueError, match=r"threshold must be from 0\.001 to 3600 seconds"):
        epicycle.watch(threshold)
    assert threading.active_count() == before


def test_closing_ends_both_threads_and_may_be_repeated(loop):
    def tasks():
        return set(os.listdir("/proc/self/task"))

    before = tasks()
    watcher = epicycle.watch()
    wait_for(lambda: loop._page().facts()["watching"] == 0.1)
    assert len(tasks() - before) == 2
    watcher.close()
    watcher.close()
    # Before Python 3.13 a thread that was waited for may still be about to end.
    wait_for(lambda: tasks() <= before)
    assert loop._page().facts()["watching"] == 0.0


# ---- whole programs ----


def test_a_child_does_not_find_the_list_of_pages_locked():
    # The moment in which it would is too short to wait for.
    with target("""
        import os, epicycle
        from epicycle import _epicycle
        hooks = []
        os.register_at_fork = lambda **given: hooks.append(given)
        with epicycle.watch():
            pass
        (forking,) = [given for given in hooks if given.get("before") is _epicycle.hold_pages]
        assert forking["after_in_parent"] is _epicycle.release_pages
        assert "after_in_child" in forking
        print("ready")
    """):
        pass


def test_a_child_made_by_fork_is_watched_as_well():
    with target(
        """
        import asyncio, os, time, warnings, epicycle
        # Python warns of a fork beside threads.
        warnings.simplefilter("ignore")
        stalls = []
        watcher = epicycle.watch(0.05, callback=stalls.append, logger=None)
        child = os.fork()
        async def block():
            time.sleep(0.3)
        epicycle.run(block())
        watcher.close()
        assert [s.phase for s in stalls][0] == "began", stalls
        assert stalls[-1].phase == "ended", stalls
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        print("ready")
        """
    ):
        pass


PROGRAM = """
import asyncio, time
async def main():
    time.sleep(0.5)
asyncio.run(main())
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def run(*arguments, **environment):
    import subprocess

    return subprocess.run(
        [sys.executable, "-m", "epicycle", "run", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
        check=True,
    )


def test_run_watch_says_it_on_standard_error(program):
    said = run("--watch", str(program)).stderr.splitlines()
    assert said[0].startswith("the loop has been blocked for 0.1")
    assert f" by task 'Task-1' (main) at {program}:4 " in said[0]
    assert said[-1].startswith("the loop goes on after 0.")


def test_run_watch_takes_a_time(program):
    assert run("--watch=5", str(program)).stderr == ""


def test_the_environment_may_ask_for_it(program):
    assert "blocked" in run(str(program), EPICYCLE_WATCH="1").stderr
    assert run(str(program), EPICYCLE_WATCH="0").stderr == ""
    assert run(str(program), EPICYCLE_WATCH="5").stderr == ""
    said = run(str(program), EPICYCLE_WATCH="soon").stderr
    assert "EPICYCLE_WATCH='soon' is not used: it is 1, or 0.001 to 3600 seconds" in said


def test_children_of_a_watched_program_are_watched(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(
        textwrap.dedent("""
        import asyncio, multiprocessing, time
        async def block():
            time.sleep(0.4)
        def child():
            asyncio.run(block())
        if __name__ == "__main__":
            for method in ("spawn", "forkserver"):
                process = multiprocessing.get_context(method).Process(target=child)
                process.start()
                process.join()
        """)
    )
    said = run("--watch", str(path)).stderr
    assert said.count("the loop has been blocked for 0.1") == 2

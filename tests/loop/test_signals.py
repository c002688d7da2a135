"""Signal handlers of the loop."""

import asyncio
import os
import signal
import threading

import pytest

from toolkit import finish, join_all, parked_thread, run_bounded, turn


@pytest.fixture(autouse=True)
def signals_given_back():
    yield
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.set_wakeup_fd(-1) == -1


def test_a_handler_is_called_in_the_loop(loop):
    seen = []

    def handler(*args):
        seen.append((args, threading.get_ident(), loop.is_running()))
        loop.stop()

    assert loop.add_signal_handler(signal.SIGUSR1, handler, 1, "two") is None
    signal.raise_signal(signal.SIGUSR1)
    run_bounded(loop)
    assert seen == [((1, "two"), threading.get_ident(), True)]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True


def test_a_handler_wakes_a_parked_loop(loop):
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    threads = []
    loop.call_soon(lambda: threads.append(parked_thread(os.kill, os.getpid(), signal.SIGUSR1)))
    run_bounded(loop)
    join_all(*threads)
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_handler_of_the_interrupt_replaces_the_exception(loop):
    seen = []
    loop.add_signal_handler(signal.SIGINT, lambda: (seen.append("interrupt"), loop.stop()))
    loop.call_soon(signal.raise_signal, signal.SIGINT)
    run_bounded(loop)
    assert seen == ["interrupt"]
    assert loop.remove_signal_handler(signal.SIGINT) is True
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_adding_again_replaces(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "first")
    loop.add_signal_handler(signal.SIGUSR1, lambda: (seen.append("second"), loop.stop()))
    signal.raise_signal(signal.SIGUSR1)
    run_bounded(loop)
    assert seen == ["second"]
    loop.remove_signal_handler(signal.SIGUSR1)


def test_several_signals_are_told_apart(loop):
    seen = []
    numbers = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, seen.append, number)
    for number in reversed(numbers):
        signal.raise_signal(number)
    loop.call_later(0.01, loop.stop)
    run_bounded(loop)
    assert sorted(seen) == sorted(numbers)
    assert all(loop.remove_signal_handler(number) for number in numbers)
    assert all(signal.getsignal(number) is signal.SIG_DFL for number in numbers)


def test_signals_before_the_loop_runs_are_kept(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    signal.raise_signal(signal.SIGUSR1)
    assert seen == []
    turn(loop, 3)
    assert seen == [1]
    loop.remove_signal_handler(signal.SIGUSR1)


def test_removal_tells_whether_there_was_anything(loop):
    assert loop.remove_signal_handler(signal.SIGUSR1) is False
    loop.add_signal_handler(signal.SIGUSR1, print)
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(signal.SIGUSR1) is False


def test_removal_puts_the_default_back(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)
    assert signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL
    loop.remove_signal_handler(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_closing_removes_every_handler(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.add_signal_handler(signal.SIGINT, print)
    loop.close()


def test_a_handler_may_remove_itself(loop):
    seen = []
    loop.add_signal_handler(
        signal.SIGUSR1, lambda: (seen.append(loop.remove_signal_handler(signal.SIGUSR1)), loop.stop())
    )
    signal.raise_signal(signal.SIGUSR1)
    run_bounded(loop)
    assert seen == [True]


def test_a_handler_that_raises_is_reported(loop, errors):
    def fail():
        loop.stop()
        raise ValueError("odd")

    loop.add_signal_handler(signal.SIGUSR1, fail)
    signal.raise_signal(signal.SIGUSR1)
    run_bounded(loop)
    assert [str(context["exception"]) for context in errors] == ["odd"]
    loop.remove_signal_handler(signal.SIGUSR1)


@pytest.mark.parametrize("method", ["add_signal_handler", "remove_signal_handler"])
@pytest.mark.parametrize(
    ("number", "error", "text"),
    [
        ("SIGUSR1", TypeError, "sig must be an int, not 'SIGUSR1'"),
        (None, TypeError, "sig must be an int, not None"),
        (10.0, TypeError, "sig must be an int, not 10.0"),
        (9999, ValueError, "invalid signal number 9999"),
        (-1, ValueError, "invalid signal number -1"),
        (0, ValueError, "invalid signal number 0"),
    ],
)
def test_what_is_no_signal_is_refused(loop, method, number, error, text):
    with pytest.raises(error) as caught:
        getattr(loop, method)(number, *([print] if method == "add_signal_handler" else []))
    assert str(caught.value) == text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_signal_that_cannot_be_caught_is_refused(loop, number):
    with pytest.raises(RuntimeError) as caught:
        loop.add_signal_handler(number, print)
    assert str(caught.value) == f"sig {number} cannot be caught"
    assert loop.remove_signal_handler(number) is False


def test_a_coroutine_is_no_handler(loop):
    async def handler():
        pass

    with pytest.raises(TypeError, match=r"^coroutines cannot be used with add_signal_handler\(\)$"):
        loop.add_signal_handler(signal.SIGUSR1, handler)
    started = handler()
    with pytest.raises(TypeError, match=r"^coroutines cannot be used with add_signal_handler\(\)$"):
        loop.add_signal_handler(signal.SIGUSR1, started)
    started.close()


def test_other_threads_than_the_main_one_are_refused(loop):
    texts = []

    def add():
        with pytest.raises(RuntimeError) as caught:
            loop.add_signal_handler(signal.SIGUSR1, print)
        texts.append(str(caught.value))

    join_all(parked_thread(add))
    assert "main thread" in texts[0]


def test_a_task_may_wait_for_a_signal(loop):
    async def main():
        event = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, event.set)
        loop.call_soon(signal.raise_signal, signal.SIGUSR1)
        await event.wait()
        return loop.remove_signal_handler(signal.SIGUSR1)

    assert finish(loop, main()) is True


def test_many_signals_in_a_row_are_survived(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)

    def send():
        for _ in range(100):
            os.kill(os.getpid(), signal.SIGUSR1)
        loop.call_soon_threadsafe(loop.stop)

    threads = []
    loop.call_soon(lambda: threads.append(parked_thread(send)))
    run_bounded(loop)
    join_all(*threads)
    turn(loop, 3)
    assert seen
    loop.remove_signal_handler(signal.SIGUSR1)

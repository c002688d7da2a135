"""The programs of `examples/` for blocking work."""

import contextlib
import os
import threading

import pytest
from programs import PATIENCE, lines_after_loop, one_line, run, start

from toolkit import join_all, parked_thread


def test_each_kind_of_work_is_ended_when_it_is_late():
    program = run("time_limits.py", "--limit", "0.1")
    assert lines_after_loop(program) == [
        "thread with an event: ended by its event: True",
        "query of sqlite: interrupted, and the connection still answers: 42",
        "process of its own: killed: -9",
    ]
    assert program.errors == ""


def test_interrupt_ends_what_is_at_work_too():
    with start("time_limits.py", "--limit", "3600") as program:
        program.wait_for(r"^(loop: .*)")
        program.interrupt()
        assert program.finish() == 130, program.report()
    assert program.errors == ""


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "soon"])
def test_a_limit_that_makes_no_sense_is_a_usage_error(limit):
    assert "argument --limit: " in run("time_limits.py", "--limit", limit, status=2).errors


@pytest.mark.package("janus")
def test_words_are_counted_by_coroutines_and_read_by_threads(tmp_path):
    for name, words in [("none", 0), ("some", 1234), ("many", 20_000)]:
        (tmp_path / name).write_text("".join(f"word{n}{' ' if n % 7 else chr(10)}" for n in range(words)))
    paths = [tmp_path / name for name in ("none", "some", "many")]
    program = run("thread_queues.py", *paths, "--consumers", "3")
    assert lines_after_loop(program) == [
        f"{tmp_path}/none: 0 words",
        f"{tmp_path}/some: 1234 words",
        f"{tmp_path}/many: 20000 words",
    ]
    assert program.errors == ""


@pytest.mark.package("janus")
def test_a_file_that_is_not_there_gets_a_line_and_the_others_are_counted(tmp_path):
    (tmp_path / "some").write_text("three words here\n")
    program = run("thread_queues.py", tmp_path / "missing", tmp_path / "some", status=1)
    assert one_line(program) == f"thread_queues: {tmp_path}/missing: No such file or directory"
    assert lines_after_loop(program) == [f"{tmp_path}/some: 3 words"]


@pytest.mark.package("janus")
def test_interrupt_ends_threads_that_read_without_end(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    read = threading.Event()

    def write_without_end():
        with contextlib.suppress(BrokenPipeError), open(fifo, "w") as pipe:
            # Opening took until the program had opened it too.
            read.set()
            while True:
                pipe.write("some words without an end\n" * 1000)

    with start("thread_queues.py", fifo) as program:
        writer = parked_thread(write_without_end)
        assert read.wait(PATIENCE), program.report()
        program.interrupt()
        assert program.finish() == 130, program.report()
        join_all(writer)
    assert program.errors == ""

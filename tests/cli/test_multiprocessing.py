"""Processes that a program starts with multiprocessing run on Epicycle too, whatever the start method."""

from __future__ import annotations

import shutil
import zipfile

import pytest

METHODS = ["fork", "spawn", "forkserver"]

WORKERS = """
import asyncio
import concurrent.futures
import multiprocessing
import sys

import epicycle

AT_IMPORT = epicycle.installed()


async def work(number):
    loop = asyncio.get_running_loop()
    return number * 2, type(loop) is epicycle.EventLoop, loop.get_debug(), AT_IMPORT


def in_a_process(number):
    return asyncio.run(work(number))


def send(queue, number):
    queue.put(in_a_process(number))


def start_another(queue, method):
    context = multiprocessing.get_context(method)
    process = context.Process(target=send, args=(queue, 21))
    process.start()
    process.join()


def main():
    method = sys.argv[1]
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=send, args=(queue, 1))
    process.start()
    print(queue.get())
    process.join()
    print(process.exitcode)
    process = context.Process(target=start_another, args=(queue, method))
    process.start()
    print(queue.get())
    process.join()
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        print(sorted(pool.map(in_a_process, range(3))))


if __name__ == "__main__":
    main()
"""


@pytest.fixture
def works(epicycle, write):
    def works(method: str, *target: str, debug: bool = False) -> None:
        program = write("workers.py", WORKERS)
        options = ["--debug"] if debug else []
        completed = epicycle(
            "run", *options, *target, method, cwd=program.parent, options=("-W", "ignore::DeprecationWarning")
        )
        assert completed.stderr == ""
        assert completed.returncode == 0

        def answer(number: int) -> tuple[int, bool, bool, bool]:
            return number * 2, True, debug, True

        expected = [answer(1), 0, answer(21), [answer(number) for number in range(3)]]
        assert completed.stdout.splitlines() == [str(line) for line in expected]

    return works


@pytest.mark.parametrize("method", METHODS)
def test_children_of_a_file(method, works):
    works(method, "workers.py")


@pytest.mark.parametrize("method", METHODS)
def test_children_of_a_module(method, works):
    works(method, "-m", "workers")


@pytest.mark.parametrize("method", METHODS)
def test_children_take_over_debug_mode(method, works):
    works(method, "workers.py", debug=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["directory", "zip"])
def test_children_of_a_container(method, kind, epicycle, write, tmp_path):
    """Its __main__.py is not imported again in the children; what it imports is."""
    workers = write("app/workers.py", WORKERS)
    main = write("app/__main__.py", "import workers\nif __name__ == '__main__':\n    workers.main()\n")
    target = workers.parent
    if kind == "zip":
        target = tmp_path / "app.zip"
        with zipfile.ZipFile(target, "w") as archive:
            for path in (workers, main):
                archive.write(path, path.name)
        shutil.rmtree(workers.parent)
    completed = epicycle("run", target, method, options=("-W", "ignore::DeprecationWarning"))
    assert completed.stderr == ""
    assert completed.stdout.splitlines()[0] == "(2, True, False, True)"
    assert completed.returncode == 0


def test_forked_child_of_code(epicycle):
    code = WORKERS.split("def start_another")[0] + (
        "queue = multiprocessing.get_context('fork').Queue()\n"
        "process = multiprocessing.get_context('fork').Process(target=send, args=(queue, 1))\n"
        "process.start(); print(queue.get()); process.join()"
    )
    completed = epicycle("run", "-c", code, options=("-W", "ignore::DeprecationWarning"))
    assert completed.stdout == "(2, True, False, True)\n", completed.stderr


def test_children_of_a_program_that_left_are_left_alone(write, epicycle):
    program = write(
        "program.py",
        """
        import asyncio, multiprocessing, warnings
        import epicycle

        async def ours():
            return type(asyncio.get_running_loop()) is epicycle.EventLoop

        def show(queue):
            queue.put(asyncio.run(ours()))

        if __name__ == "__main__":
            epicycle.uninstall()
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=show, args=(queue,))
            process.start()
            print(queue.get())
            process.join()
        """,
    )
    assert epicycle("run", program).stdout == "False\n"


@pytest.mark.parametrize("method", METHODS)
def test_failing_child_shows_its_own_lines(method, write, epicycle):
    program = write(
        "program.py",
        f"""
        import multiprocessing

        def fail():
            raise ValueError("in the child")

        if __name__ == "__main__":
            process = multiprocessing.get_context({method!r}).Process(target=fail)
            process.start()
            process.join()
            print(process.exitcode)
        """,
    )
    completed = epicycle("run", program, options=("-W", "ignore::DeprecationWarning"))
    assert completed.stdout == "1\n"
    assert completed.stderr.splitlines()[-1] == "ValueError: in the child"
    assert "epicycle/cli" not in completed.stderr

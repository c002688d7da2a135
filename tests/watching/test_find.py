"""Finding a process's pages: real descriptors of real processes, with made-up pages behind them."""

import contextlib
import os
import subprocess
import sys

import pytest
from fakes import FakePage

from epicycle.watching.outside import find as finding
from epicycle.watching.outside.find import CannotWatch, find, processes, program_of

# Has a descriptor like a loop's, and then waits to be told to end.
HOLDER = """
import os, sys
held = [os.memfd_create("epicycle-loop") for _ in range(int(sys.argv[1]))]
child = os.fork() if "fork" in sys.argv else 1
if child:
    print(child, flush=True)
    sys.stdin.readline()
    if "fork" in sys.argv:
        os.kill(child, 9)
        os.waitpid(child, 0)
else:
    sys.stdin.close()
    import time
    time.sleep(600)
"""


@contextlib.contextmanager
def holding(directory, count=1, *more, name="server.py"):
    """A process with so many pages; yields its number, and that of its child."""
    program = directory / name
    program.write_text(HOLDER)
    with subprocess.Popen(
        [sys.executable, str(program), str(count), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.stdin.close()


def opener(pid, **facts):
    """Opens any page as one of process `pid`, each a loop of its own."""
    opened = []

    def open_page(path):
        if not path.startswith("/proc/"):
            raise ValueError("not a page of Epicycle")
        number = int(path.rpartition("/")[2])
        page = FakePage(pid, loop=100 - number, **facts)
        opened.append(page)
        return page

    open_page.opened = opened
    return open_page


def why(target, open_page=finding.open_page):
    with pytest.raises(CannotWatch) as caught:
        find(target, open_page)
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    return text


def test_a_process_by_its_number_with_its_loops_in_order(tmp_path):
    with holding(tmp_path, 3) as (pid, _):
        found = find(str(pid), opener(pid))
    assert found.process.pid == pid
    assert found.process.program == "server.py"
    loops = [page.facts()["loop"] for page in found.pages]
    assert len(loops) == 3
    assert loops == sorted(loops)


def test_a_process_by_the_name_of_its_program(tmp_path):
    with holding(tmp_path, name="a-rare-name.py") as (pid, _):
        for name in ("a-rare-name.py", "a-rare-name", str(tmp_path / "a-rare-name.py")):
            assert find(name, opener(pid)).process.pid == pid


def test_a_name_of_two_processes_lists_both(tmp_path):
    def any_pid(path):
        return FakePage(int(path.split("/")[2]))

    with holding(tmp_path, name="twins.py") as (first, _), holding(tmp_path, name="twins.py") as (second, _):
        said = why("twins", any_pid)
    assert "'twins' is the name of 2 processes" in said
    assert str(first) in said
    assert str(second) in said


def test_pages_that_a_child_inherited_are_not_its_own(tmp_path):
    with holding(tmp_path, 1, "fork") as (pid, child):
        open_page = opener(pid)
        assert find(str(pid), open_page).process.pid == pid
        assert f"process {child} (server.py) runs no Epicycle loop" in why(str(child), open_page)
    assert open_page.opened[-1].closed


def test_pages_of_closed_loops_are_left_out_while_there_are_others(tmp_path):
    made = []

    def open_page(path):
        made.append(FakePage(pid, loop=len(made) + 1, state="parked" if len(made) == 1 else "closed"))
        return made[-1]

    with holding(tmp_path, 3) as (pid, _):
        found = find(str(pid), open_page)
    assert [page.facts()["loop"] for page in found.pages] == [2]
    assert [page.closed for page in made] == [True, False, True]


def test_no_such_process():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert why(str(process.pid)) == f"there is no process {process.pid}"
    assert why("99999999999999999999").startswith("there is no process")


def test_not_an_epicycle_process():
    assert why(str(os.getpid()), opener(0)).endswith("runs no Epicycle loop")


def test_nothing_of_that_name():
    assert why("no-such-program\x1b[31m") == (
        "no Epicycle process of yours is called 'no-such-program\\x1b[31m': 'epicycle top' lists them"
    )


def test_another_users_process(monkeypatch, tmp_path):
    """The kernel says no when the descriptors are listed; the answer names the owner."""

    def refused(path):
        raise PermissionError(13, "Permission denied", path)

    with holding(tmp_path) as (pid, _):
        monkeypatch.setattr(finding.os, "listdir", refused)
        monkeypatch.setattr(finding.os, "geteuid", lambda: 54321)
        said = why(str(pid))
        assert said.startswith(f"process {pid} (server.py) belongs to another user, ")
        assert said.endswith("only that user and root may look into it")
        monkeypatch.setattr(finding.os, "geteuid", lambda: os.stat(f"/proc/{pid}").st_uid)
        assert "does not let you look into" in why(str(pid))


@pytest.mark.parametrize(
    "words", ["the page has layout 7, and this Epicycle reads layout 1", "damaged page: \x1b"]
)
def test_a_page_that_cannot_be_read(tmp_path, words):
    def open_page(path):
        raise ValueError(words)

    with holding(tmp_path) as (pid, _):
        said = why(str(pid), open_page)
    assert said.startswith(f"the page of process {pid} (server.py) cannot be read: ")
    assert words.replace("\x1b", "\\x1b") in said


def test_a_page_that_turns_out_damaged_when_it_is_read(tmp_path):
    page = FakePage()

    def facts():
        raise ValueError("damaged page: no such state")

    page.facts = facts
    with holding(tmp_path) as (pid, _):
        assert "no such state" in why(str(pid), lambda path: page)


def test_the_file_of_a_process_that_has_ended(tmp_path):
    file = tmp_path / "epicycle-4000000-1.page"
    file.write_bytes(b"")
    found = find(str(file), lambda path: FakePage(4_000_000))
    assert found.process is None
    assert found.title == str(file)


def test_the_file_of_a_process_whose_number_another_has_now(tmp_path):
    file = tmp_path / f"epicycle-{os.getpid()}-1.page"
    file.write_bytes(b"")
    assert find(str(file), lambda path: FakePage()).process is None
    with open(file, "rb"):
        assert find(str(file), lambda path: FakePage()).process.pid == os.getpid()


def test_a_file_that_is_no_page(tmp_path):
    file = tmp_path / "app.py"
    file.write_text("print()")

    def open_page(path):
        raise ValueError("not a page of Epicycle")

    assert why(str(file), open_page) == f"{file}: not a page of Epicycle"


def test_all_processes_of_this_user(tmp_path):
    with holding(tmp_path) as (pid, _):
        listed = processes(lambda path: FakePage(int(path.split("/")[2])))
        assert pid in [found.process.pid for found in listed]
    assert all(found.pages for found in listed)


def test_a_process_that_ends_says_so(tmp_path):
    with holding(tmp_path) as (pid, _):
        found = find(str(pid), opener(pid))
        assert found.process.state() == "running"
    assert found.process.state() == "ended"


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ([], ""),
        (["python3", "app.py", "--x"], "app.py"),
        (["/usr/bin/python3.12", "/srv/app.py"], "app.py"),
        (["python", "-X", "dev", "-u", "-W", "error", "app.py"], "app.py"),
        (["python", "-m", "http.server", "80"], "http.server"),
        (["python", "-mhttp.server"], "http.server"),
        (["python", "-c", "print()"], ""),
        (["python", "/venv/bin/epicycle", "run", "--debug", "app.py", "run"], "app.py"),
        (["python", "/venv/bin/epicycle", "run", "-m", "web"], "web"),
        (["python", "/venv/bin/uvicorn", "app:app"], "uvicorn"),
        (["gunicorn: master [app]"], "gunicorn: master [app]"),
    ],
)
def test_the_program_in_a_command_line(command, program):
    assert program_of(command) == program

"""The Epicycle processes that this user may look into, and the pages of their loops.

A loop's page is a memfd of its process, found through ``/proc/PID/fd``; the kernel decides who may open it. Where the
process was started with ``EPICYCLE_PAGE=DIRECTORY`` it is a file, which is there after a crash too.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from .clean import clean

__all__ = ("CannotWatch", "Found", "Page", "Process", "find", "open_page", "processes", "program_of")

# What a page's descriptor leads to: a file without a name, or one of the directory that EPICYCLE_PAGE named.
MEMORY = "/memfd:epicycle-loop"
FILE = re.compile(r"/epicycle-\d+-\d+\.page$")


class Page(Protocol):
    """The reading side of ``epicycle._epicycle.Page``."""

    def facts(self) -> dict[str, Any]: ...
    def counters(self) -> dict[str, int]: ...
    def lateness(self) -> list[int]: ...
    def stalls(self) -> list[dict[str, Any]]: ...
    def events(self, after: int = 0) -> tuple[int, list[tuple[int, int, str, str, int]]]: ...
    def snapshot(self) -> tuple[int, int, bytes] | None: ...
    def stack(self) -> list[tuple[str, str, int]]: ...
    def ring(self) -> None: ...
    def record(self, seconds: float) -> None: ...
    def close(self) -> None: ...


Opener = Callable[[str], Page]


class CannotWatch(Exception):
    """There is nothing to look into, or no leave to; the message says why in one line."""


@dataclass(frozen=True)
class Process:
    """A process as ``/proc`` has it: ``start`` tells it from a later one with the same number, ``pids`` are its numbers
    in this namespace of processes and in those inside it."""

    pid: int
    start: int
    command: list[str]
    name: str
    pids: tuple[int, ...]

    @property
    def program(self) -> str:
        """What people call it: its script, its module, or the name of the process."""
        return program_of(self.command) or self.name

    def state(self) -> str:
        """``running``, ``stopped`` or ``ended``."""
        found = _stat(self.pid)
        if found is None or found[1] != self.start or found[0] in "ZX":
            return "ended"
        return "stopped" if found[0] in "Tt" else "running"


@dataclass
class Found:
    """The pages of one process, in the order of its loops; ``process`` is None where only a file is left of it."""

    process: Process | None
    pages: list[Page] = field(default_factory=list)
    path: str = ""

    @property
    def title(self) -> str:
        """The process for the head of a display."""
        if self.process is None:
            return clean(self.path)
        return f"{self.process.pid} {clean(self.process.program)}"

    def close(self) -> None:
        for page in self.pages:
            page.close()


def open_page(path: str) -> Page:
    """Map a page for reading; raises OSError, and ValueError where it is none that this version can read."""
    from ..._epicycle import Page as NativePage

    return cast(Page, NativePage.open(path))


def find(target: str, opener: Opener = open_page) -> Found:
    """The process that ``target`` names by its number, its program or the file of a page; raises CannotWatch."""
    if target.isascii() and target.isdigit():
        return _by_pid(int(target), opener)
    problem = ""
    if os.path.isfile(target):
        # A script in the current folder may have the program's name; that it is no page is no error yet.
        try:
            return _by_file(target, opener)
        except CannotWatch as error:
            problem = str(error)
    return _by_name(target, problem, opener)


def _by_pid(pid: int, opener: Opener) -> Found:
    process = _process(pid)
    if process is None:
        raise CannotWatch(f"there is no process {pid}")
    try:
        pages, problem = _pages(process, opener)
    except PermissionError:
        raise CannotWatch(_not_allowed(process)) from None
    if pages:
        return Found(process, pages)
    if process.state() == "ended":
        raise CannotWatch(f"process {pid} has ended")
    called = f"process {pid} ({clean(process.program, 80)})"
    if problem:
        raise CannotWatch(f"the page of {called} cannot be read: {problem}")
    raise CannotWatch(f"{called} runs no Epicycle loop")


def _by_file(path: str, opener: Opener) -> Found:
    try:
        page = opener(path)
        pid = page.facts()["pid"]
    except OSError as error:
        raise CannotWatch(f"{clean(path)} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CannotWatch(f"{clean(path)}: {clean(error)}") from None
    # The process may be alive, and is another one where its number has been given away since.
    process = _process(pid)
    if process is not None and not _holds(process, path):
        process = None
    return Found(process, [page], path)


def _by_name(name: str, problem: str, opener: Opener) -> Found:
    alike = [found for found in processes(opener) if found.process and _called(found.process, name)]
    if len(alike) == 1:
        return alike[0]
    for found in alike:
        found.close()
    if not alike:
        raise CannotWatch(
            problem or f"no Epicycle process of yours is called '{clean(name)}': 'epicycle top' lists them"
        )
    listed = ", ".join(
        f"{found.process.pid} ({clean(' '.join(found.process.command[1:]) or found.process.program, 40)})"
        for found in alike
        if found.process
    )
    raise CannotWatch(f"'{clean(name)}' is the name of {len(alike)} processes: {clean(listed, 600)}")


def _called(process: Process, name: str) -> bool:
    base = os.path.basename(name)
    program = os.path.basename(process.program)
    names = {process.name, process.program, program, program.removesuffix(".py")}
    return name in names or base in names


def processes(opener: Opener = open_page) -> list[Found]:
    """Every Epicycle process that this user may look into, lowest number first; the caller closes the pages."""
    found = []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        process = _process(pid)
        if process is None:
            continue
        try:
            pages, _ = _pages(process, opener)
        except OSError:
            continue
        if pages:
            found.append(Found(process, pages))
    return found


def _pages(process: Process, opener: Opener) -> tuple[list[Page], str]:
    """The pages of a process's own loops, and what was wrong with one that cannot be read.

    Raises PermissionError where the kernel does not let this user look into the process.
    """
    pages: dict[tuple[int, int], Page] = {}
    problem = ""
    for path in _paths(process.pid):
        try:
            page = opener(path)
            facts = page.facts()
        except ValueError as error:
            problem = clean(error)
            continue
        except OSError as error:
            # One that is gone was closed just now.
            problem = problem or ("" if isinstance(error, FileNotFoundError) else str(error.strerror))
            continue
        # A forked child has its parent's pages open, and so has who looks into them.
        key = (facts["loop"], facts["created_ns"])
        if facts["pid"] not in process.pids or key in pages:
            page.close()
        else:
            pages[key] = page
    return _live([pages[key] for key in sorted(pages)]), problem


def _live(pages: list[Page]) -> list[Page]:
    """The pages without those of closed loops, unless there are no others."""
    live = [page for page in pages if page.facts()["state"] != "closed"]
    if not live:
        return pages
    for page in pages:
        if page not in live:
            page.close()
    return live


def _paths(pid: int) -> Iterator[str]:
    """The descriptors of a process that lead to pages."""
    for path in _descriptors(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            link = os.readlink(path).removesuffix(" (deleted)")
            if link == MEMORY or FILE.search(link):
                yield path


def _descriptors(pid: int) -> list[str]:
    folder = f"/proc/{pid}/fd"
    try:
        return [f"{folder}/{number}" for number in sorted(map(int, os.listdir(folder)))]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _holds(process: Process, path: str) -> bool:
    """Whether the process has the file open."""
    with contextlib.suppress(OSError):
        status = os.stat(path)
        for each in _descriptors(process.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if os.path.samestat(os.stat(each), status):
                    return True
    return False


def _process(pid: int) -> Process | None:
    stat = _stat(pid)
    if stat is None:
        return None
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    except OSError:
        command = []
    return Process(pid, stat[1], command, stat[2], _pids(pid))


def _stat(pid: int) -> tuple[str, int, str] | None:
    """The state's letter, the start time in clock ticks and the name of a process, or None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="backslashreplace") as file:
            head, _, tail = file.read().rpartition(")")
    except OSError:
        return None
    words = tail.split()
    return (words[0], int(words[19]), head.partition("(")[2]) if len(words) > 19 else None


def _pids(pid: int) -> tuple[int, ...]:
    """The numbers of a process in this namespace and in those inside it, as it may know itself by another one."""
    with (
        contextlib.suppress(OSError, ValueError),
        open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file,
    ):
        for line in file:
            if line.startswith("NSpid:"):
                return tuple(map(int, line.split()[1:]))
    return (pid,)


def _not_allowed(process: Process) -> str:
    called = f"process {process.pid} ({clean(process.program, 80)})"
    try:
        owner = os.stat(f"/proc/{process.pid}").st_uid
    except OSError:
        return f"process {process.pid} has ended"
    if owner == os.geteuid():
        return f"the system does not let you look into {called}"
    try:
        user = pwd.getpwuid(owner).pw_name
    except KeyError:
        user = str(owner)
    return f"{called} belongs to another user, {clean(user)}: only that user and root may look into it"


def program_of(command: list[str]) -> str:
    """The program in the words of a Python command line: the script's name, ``-m``'s module; empty for none."""
    if not command:
        return ""
    words = list(command[1:])
    if "python" not in os.path.basename(command[0]).lower():
        return os.path.basename(command[0])
    program = _after_options(words)
    if os.path.basename(program) == "epicycle" and words[:1] == ["run"]:
        return _after_options(words[1:]) or "epicycle"
    return os.path.basename(program) if program.startswith("/") else program


def _after_options(words: list[str]) -> str:
    """The first word that is no option, or the module of ``-m``; takes what it has read off ``words``."""
    while words:
        word = words.pop(0)
        if word == "-c":
            return ""
        if word == "-m" and words:
            return words.pop(0)
        if word.startswith("-m") and len(word) > 2:
            return word[2:]
        if word in ("-W", "-X") and words:
            words.pop(0)
        elif word == "-" or not word.startswith("-"):
            return os.path.basename(word)
    return ""

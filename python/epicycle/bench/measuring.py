"""A fresh process for every loop, row and repeat: started, pinned, asked, and never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .figures import Cell, Table
from .gauges import Answer
from .interrupts import Interrupts
from .rows import Row

__all__ = ("LIMIT", "Cores", "Plan", "available_cores", "measure_all")

PATIENCE = 30.0  # seconds that a process may take beyond what it was told to measure
# The column of a server without Python.
LIMIT = "limit"

# What was measured, what comes next: a repeat from 0 on, the row, the loop.
Notice = Callable[[int, Row, str], None]


class CellFailed(Exception):
    """One cell could not be measured; the message says why."""


class Lacking(Exception):
    """The loop does not have what the row needs; the message names it."""


@dataclass(frozen=True)
class Cores:
    """Where the measured process runs and where the load does; the same core on a machine with one."""

    measured: int
    load: int

    @property
    def shared(self) -> bool:
        return self.measured == self.load


@dataclass(frozen=True)
class Plan:
    """What is to be measured: every row on every loop, ``repeats`` times, ``seconds`` each.

    ``limit`` is the command of a server without Python that joins the rows of TCP protocols, or empty.
    """

    loops: list[str]
    rows: list[Row]
    repeats: int
    seconds: float
    limit: str = ""

    @property
    def cells(self) -> int:
        """How many processes, or pairs of server and load, that takes."""
        return self.repeats * sum(len(self.columns(row)) for row in self.rows)

    def columns(self, row: Row) -> list[str]:
        """The loops of a row, with the server without Python where it has a place."""
        joins = self.limit and row.load is not None and row.load.kind == "protocol"
        return [*self.loops, LIMIT] if joins else self.loops


def available_cores() -> Cores:
    """The first and the last core that this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[-1])


def measure_all(plan: Plan, cores: Cores, notice: Notice) -> Table:
    """Every cell ``repeats`` times, the loops in another order each time: a drift of the machine hits all.

    Processes still running are ended on the way out, whatever the way is.
    """
    result: Table = {row.name: {name: Cell() for name in plan.columns(row)} for row in plan.rows}
    with Interrupts() as interrupts:
        for repeat in range(plan.repeats):
            for row in plan.rows:
                cells = list(result[row.name].items())
                turn = repeat % len(cells)
                for name, cell in cells[turn:] + cells[:turn]:
                    notice(repeat, row, name)
                    try:
                        cell.add(_measure(plan, row, name, cores, interrupts))
                    except CellFailed as error:
                        cell.failure = str(error)
                    except Lacking as error:
                        cell.lacks = str(error)
    return result


def _measure(plan: Plan, row: Row, loop: str, cores: Cores, interrupts: Interrupts) -> Answer:
    patience = PATIENCE + plan.seconds
    if row.load is None:
        with _started(_child("inside", loop, row.name, plan.seconds), cores.measured) as process:
            return _answer(process, patience, interrupts)
    load = row.load
    command = plan.limit.split() if loop == LIMIT else _child("server", loop, load.kind)
    with _started(command, cores.measured) as server:
        address = _address(server, interrupts)
        arguments = (load.pattern, load.kind, address, server.pid, load.connections, load.size, plan.seconds)
        try:
            with _started(_child("load", *arguments), cores.load) as process:
                return _answer(process, patience, interrupts)
        except CellFailed as error:
            # Why may be known to the other side only.
            server.kill()
            said = _last_line(server.communicate()[1])
            raise CellFailed(f"{error}; the server: {said}" if said else str(error)) from None


def _child(module: str, *arguments: str | int | float) -> list[str]:
    """The command that runs ``main(*arguments)`` of a module of this folder, finding modules as this process does."""
    code = (
        f"import sys; sys.path.extend(path for path in {sys.path!r} if path not in sys.path); "
        f"from epicycle.bench.{module} import main; main(*{arguments!r})"
    )
    return [sys.executable, "-P", "-c", code]


@contextlib.contextmanager
def _started(command: list[str], core: int) -> Iterator[subprocess.Popen[str]]:
    """A process on one core, killed at the end if it is still there."""
    before = os.sched_getaffinity(0)
    # Inherited, so that not even the first thread that the process starts is elsewhere.
    os.sched_setaffinity(0, {core})
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except OSError as error:
        raise CellFailed(f"{command[0]}: {error.strerror}") from error
    finally:
        os.sched_setaffinity(0, before)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _answer(process: subprocess.Popen[str], patience: float, interrupts: Interrupts) -> Answer:
    """The JSON that a measuring process prints; raises CellFailed with its last words if it prints none."""
    try:
        with interrupts.welcome():
            out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired as error:
        raise CellFailed(f"no figure after {patience:g} s") from error
    if process.returncode:
        raise CellFailed(_last_line(err) or f"status {process.returncode}")
    if out.startswith("lacks "):
        raise Lacking(out.removeprefix("lacks ").strip())
    answer: Answer = json.loads(out)
    return answer


def _address(server: subprocess.Popen[str], interrupts: Interrupts) -> str:
    """Where a server says that it listens: a port, or ``@`` and the name of a Unix socket."""
    assert server.stdout is not None
    with interrupts.welcome():
        if not select.select([server.stdout], [], [], PATIENCE)[0]:
            raise CellFailed(f"the server does not listen after {PATIENCE:g} s")
    line = server.stdout.readline().strip()
    if line.startswith("lacks "):
        raise Lacking(line.removeprefix("lacks "))
    # A server that is not ours may print all of 127.0.0.1:PORT.
    address = line.rpartition(":")[2]
    if address.isdigit() or address.startswith("@"):
        return address
    server.kill()
    _, err = server.communicate()
    raise CellFailed(_last_line(err) or f"the server said {line!r} instead of its port")


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else ""

"""One run of the benchmark: what was measured, on what, and what came out."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import dataclass, field

from . import loops
from .figures import Table, Verdict, Versus, best_other, versus
from .measuring import Cores, Plan
from .rows import named

__all__ = ("Machine", "Report", "this_machine")

# Above this many processes waiting for a core when the run begins, something else is at work.
BUSY = 0.5


@dataclass(frozen=True)
class Machine:
    """``load`` is the load average when the run began, ``cores`` how many this process may use."""

    python: str
    system: str
    processor: str
    cores: int
    load: float

    @property
    def disturbed(self) -> bool:
        return self.load > BUSY


def this_machine() -> Machine:
    """What is known of this machine now."""
    return Machine(
        f"{platform.python_implementation()} {platform.python_version()}",
        f"{platform.system()} {platform.release()}",
        _processor(),
        len(os.sched_getaffinity(0)),
        os.getloadavg()[0],
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpuinfo:
            for line in cpuinfo:
                if line.startswith("model name"):
                    return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.machine()


@dataclass
class Report:
    """``reference`` is the loop that ratios in tables are to; ``skipped`` has rows with the reason why."""

    plan: Plan
    cores: Cores
    machine: Machine
    reference: str
    skipped: dict[str, str]
    table: Table = field(default_factory=dict)
    date: str = field(default_factory=lambda: f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %z}")

    def versions(self) -> dict[str, str]:
        """The loops with their versions."""
        return {name: loops.version(name) for name in self.plan.loops}

    def ours(self) -> list[str]:
        """The loops that are Epicycle's."""
        return [name for name in self.plan.loops if loops.is_epicycle(name)]

    def others(self) -> list[str]:
        """The loops that are not."""
        return [name for name in self.plan.loops if not loops.is_epicycle(name)]

    def against(self, loop: str, other: str) -> list[Versus]:
        """``loop`` against ``other`` on every row where both have a figure."""
        rows = [versus(named(name), cells, loop, other) for name, cells in self.table.items()]
        return [row for row in rows if row is not None]

    def against_best(self, loop: str) -> dict[str, Versus]:
        """``loop`` against the fastest of the loops that are not Epicycle's, by the rows' names."""
        found = {name: best_other(name, cells, loop, self.others()) for name, cells in self.table.items()}
        return {name: row for name, row in found.items() if row is not None}

    def losses(self, loop: str) -> list[Versus]:
        """Every row on which another loop is faster, with that loop, the worst first."""
        all_rows = [row for other in self.others() for row in self.against(loop, other)]
        return sorted((row for row in all_rows if row.verdict is Verdict.SLOWER), key=lambda row: row.ratio)

    def failures(self) -> list[tuple[str, str, str]]:
        """Row, loop and reason for each cell of which a repeat failed."""
        return [
            (row, loop, cell.failure)
            for row, cells in self.table.items()
            for loop, cell in cells.items()
            if cell.failure
        ]

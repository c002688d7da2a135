"""Figures of one row on one loop, and who is ahead by them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from enum import Enum

from .gauges import Answer
from .rows import Row, named

__all__ = ("Cell", "Table", "Verdict", "Versus", "best_other", "compare", "spread", "versus")

# Within this much of each other two medians say the same thing, whatever their spread.
SAME = 0.03
# A server that used less of its core than this, and less than the client of its own, waited for the client.
SATURATED = 0.9


@dataclass
class Cell:
    """The repeats of one row on one loop.

    ``failure`` says why a repeat has no figure, ``lacks`` what the loop does not have; both are empty otherwise.
    """

    answers: list[Answer] = field(default_factory=list)
    failure: str = ""
    lacks: str = ""

    def add(self, answer: Answer) -> None:
        self.answers.append(answer)

    @property
    def measured(self) -> bool:
        return bool(self.answers)

    def all(self, name: str) -> list[float]:
        """One figure of every repeat, as ``gauges.Answer`` names it."""
        return [answer[name] for answer in self.answers if name in answer]

    def median(self, name: str) -> float | None:
        """The median over the repeats, or None where there is no such figure."""
        figures = self.all(name)
        return statistics.median(figures) if figures else None

    def speeds(self, by_cpu: bool) -> list[float]:
        """What decides: operations a second, or operations in a second of the server's CPU time."""
        return [1e6 / cost for cost in self.all("cpu_us")] if by_cpu else self.all("rate")

    @property
    def client_bound(self) -> bool:
        """Whether the load was the slower side, so that the rate says little about the loop."""
        busy, client = self.median("busy"), self.median("client_busy")
        return busy is not None and client is not None and busy < SATURATED and busy < client


Table = dict[str, dict[str, Cell]]


def spread(figures: list[float]) -> float:
    """Half the distance from the lowest to the highest, as a share of the median."""
    return (max(figures) - min(figures)) / 2 / statistics.median(figures)


class Verdict(Enum):
    """How one loop does against another on a row."""

    FASTER = "faster"
    SAME = "the same"
    SLOWER = "slower"


@dataclass(frozen=True)
class Versus:
    """One loop against ``other`` on a row: ``ratio`` above 1 is ahead, ``low`` and ``high`` are its extremes."""

    row: Row
    other: str
    ratio: float
    low: float
    high: float
    verdict: Verdict


def compare(row: Row, cell: Cell, other: Cell) -> float:
    """How many times as fast as ``other``, by what decides on this row."""
    mine, theirs = cell.speeds(row.by_cpu), other.speeds(row.by_cpu)
    return statistics.median(mine) / statistics.median(theirs)


def versus(row: Row, cells: dict[str, Cell], loop: str, other: str) -> Versus | None:
    """``loop`` against ``other``, or None where one of them has no figure.

    They count as the same when their medians differ by less than SAME, or by less than the smaller spread of the two.
    """
    cell, rival = cells[loop], cells[other]
    if not cell.measured or not rival.measured:
        return None
    mine, theirs = cell.speeds(row.by_cpu), rival.speeds(row.by_cpu)
    base = statistics.median(theirs)
    ratio = statistics.median(mine) / base
    noise = max(SAME, min(spread(mine), spread(theirs)))
    verdict = Verdict.SAME
    if abs(ratio - 1) > noise:
        verdict = Verdict.FASTER if ratio > 1 else Verdict.SLOWER
    return Versus(row, other, ratio, min(mine) / base, max(mine) / base, verdict)


def best_other(name: str, cells: dict[str, Cell], loop: str, among: list[str]) -> Versus | None:
    """``loop`` against the fastest of the loops ``among`` on the row of that name, or None without figures."""
    row = named(name)
    rivals = [versus(row, cells, loop, other) for other in among if other != loop]
    return min((rival for rival in rivals if rival is not None), key=lambda rival: rival.ratio, default=None)

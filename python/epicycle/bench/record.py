"""The outcome as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from .figures import Cell
from .report import Report
from .rows import named

__all__ = ("FORMAT", "record")

# Raised when a reader of older files would misread newer ones.
FORMAT = 1


def record(report: Report) -> dict[str, Any]:
    """Everything that was measured, as plain values."""
    return {
        "format": FORMAT,
        "date": report.date,
        "machine": dataclasses.asdict(report.machine),
        "measured_core": report.cores.measured,
        "load_core": report.cores.load,
        "loops": report.versions(),
        "reference": report.reference,
        "repeats": report.plan.repeats,
        "seconds": report.plan.seconds,
        "skipped": report.skipped,
        "rows": {name: _row(name, cells) for name, cells in report.table.items()},
        "losses": {
            loop: [
                {"row": row.row.name, "to": row.other, "ratio": round(row.ratio, 4)}
                for row in report.losses(loop)
            ]
            for loop in report.ours()
        },
    }


def _row(name: str, cells: dict[str, Cell]) -> dict[str, Any]:
    row = named(name)
    return {
        "operation": row.operation,
        "decided_by": "cpu_us" if row.by_cpu else "rate",
        "loops": {loop: _cell(cell) for loop, cell in cells.items()},
    }


def _cell(cell: Cell) -> dict[str, Any]:
    names = dict.fromkeys(name for answer in cell.answers for name in answer)
    return {
        "median": {name: cell.median(name) for name in names},
        "repeats": cell.answers,
        "failure": cell.failure,
        "lacks": cell.lacks,
    }

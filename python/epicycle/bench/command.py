"""One command line of the benchmark, from its arguments to its exit status."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

from ..cli.usage import UsageError
from . import loops, options, table
from .measuring import Plan, available_cores, measure_all
from .options import Front, Options
from .page import page
from .progress import Progress
from .record import record
from .report import Report, this_machine
from .rows import ROWS, Row

__all__ = ("run",)

INTERRUPTED = 130


def run(arguments: list[str], front: Front = options.BENCH) -> int:
    """Measure, print and write what was asked for.

    Returns 0; 1 where Epicycle or the system cannot be measured or a loop failed; 130 after Ctrl-C. Raises UsageError
    for a command line that is wrong.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Terminals that know no plus-minus sign get a question mark.
        sys.stdout.reconfigure(errors="replace")
    wanted = options.parse(arguments, front)
    if isinstance(wanted, str):
        print(wanted)
        return 0
    if wanted.list:
        print(_catalogue())
        return 0
    if sys.platform != "linux":
        return _refuse("the benchmark needs Linux: epoll, and a choice of cores")
    try:
        names = _loops(wanted, front)
    except loops.Unusable as error:
        return _refuse(str(error))
    again = options.help_command(front)
    reference = wanted.reference or ("uvloop" if "uvloop" in names else names[0])
    if reference not in names:
        raise UsageError(f"the reference {reference!r} is not among the loops: {', '.join(names)}", again)
    skipped = {row.name: row.missing() for row in wanted.rows if row.missing()}
    rows = [row for row in wanted.rows if row.name not in skipped]
    plan = Plan(names, rows, wanted.repeats, wanted.seconds, wanted.limit)
    report = Report(plan, available_cores(), this_machine(), reference, skipped)
    try:
        return _carry_out(report, wanted)
    except KeyboardInterrupt:
        print("epicycle: interrupted", file=sys.stderr)
        return INTERRUPTED


def _carry_out(report: Report, wanted: Options) -> int:
    print(table.head(report), flush=True)
    if not report.plan.rows:
        return _refuse("no row is left to measure")
    progress = Progress(sys.stderr, report.plan.cells)

    def notice(repeat: int, row: Row, loop: str) -> None:
        progress.step(f"{row.name} on {loop}, {repeat + 1} of {report.plan.repeats}")

    try:
        report.table = measure_all(report.plan, report.cores, notice)
    finally:
        progress.end()
    _print(report, wanted)
    status = 1 if report.failures() else 0
    if wanted.json:
        status |= _write(wanted.json, json.dumps(record(report), indent=1) + "\n")
    if wanted.html:
        status |= _write(wanted.html, page(report))
    return status


def _print(report: Report, wanted: Options) -> None:
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    print(table.details(report) if wanted.details else f"\n{table.overview(report, colour)}")
    for loop in report.ours():
        print(f"\n{table.verdicts(report, loop)}")
    for row, loop, reason in report.failures():
        print(f"{loop} FAILED on {row}: {reason}")


def _loops(wanted: Options, front: Front) -> list[str]:
    """The loops to measure.

    Raises UsageError for one that was named and is not there, Unusable where Epicycle is not to be measured.
    """
    usable = []
    for name in wanted.loops or front.loops:
        try:
            if not wanted.allow_debug:
                loops.refuse_debug(name)
            loops.factory(name)
        except loops.Unusable as error:
            if loops.is_epicycle(name):
                raise
            # Peers may be missing, but not what was asked for by name.
            if wanted.loops:
                raise UsageError(str(error), options.help_command(front)) from None
            continue
        usable.append(name)
    return usable


def _catalogue() -> str:
    width = max(len(row.name) for row in ROWS) + 2
    lines = [f"{row.name:{width}}{row.operation}{'' if row.brief else ' *'}" for row in ROWS]
    return "\n".join([*lines, "", "*: not measured by 'epicycle bench' unless asked for with --rows"])


def _refuse(reason: str) -> int:
    print(f"epicycle: {reason}", file=sys.stderr)
    return 1


def _write(path: Path, text: str) -> int:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        return _refuse(f"cannot write {str(path)!r}: {error.strerror}")
    print(f"written: {path}")
    return 0

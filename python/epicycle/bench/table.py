"""The outcome as text."""

from __future__ import annotations

from .figures import Cell, Verdict, compare, spread
from .report import Report
from .rows import Row, named

__all__ = ("details", "head", "overview", "quantity", "verdicts")

COLOURS = {Verdict.FASTER: "32", Verdict.SLOWER: "31"}


def head(report: Report) -> str:
    """What is measured and on what, and what may disturb it."""
    plan, cores, machine = report.plan, report.cores, report.machine
    lines = [
        ", ".join(f"{name} {version}" for name, version in report.versions().items()),
        f"{machine.python}, {machine.system}, {machine.processor}; {report.date}",
        f"{len(plan.rows)} rows, {plan.seconds:g} s for each loop, {plan.repeats} times in fresh processes; "
        f"measured on core {cores.measured}, load on core {cores.load}",
    ]
    if cores.shared:
        lines.append("ONE CORE: load and server share it, so rates mean little; compare CPU time.")
    if machine.disturbed:
        lines.append(f"OTHER WORK on this machine as the run begins: load average {machine.load:.1f}.")
    lines += [f"left out: {row}, because {reason}" for row, reason in report.skipped.items()]
    return "\n".join(lines)


def quantity(value: float) -> str:
    """A figure with three digits that count: 1.23M, 45.6k, 789, 0.12."""
    for limit, divisor, unit in ((999_500, 1e6, "M"), (999.5, 1e3, "k")):
        if value >= limit:
            return f"{value / divisor:#.3g}".rstrip(".") + unit
    return f"{value:#.3g}".rstrip(".") if value >= 0.1 else f"{value:.2f}"


def decisive(row: Row, cell: Cell) -> str:
    """The figure that decides on this row."""
    value = cell.median("cpu_us" if row.by_cpu else "rate")
    assert value is not None
    return f"{quantity(value)} us" if row.by_cpu else f"{quantity(value)}/s"


def overview(report: Report, colour: bool) -> str:
    """A line for each row, a column for each loop."""
    lines = [
        "/s: operations a second. us: the server's CPU time for one. "
        f"x: times as fast as {report.reference}. ±: half the range.",
        "",
    ]
    width = max(map(len, report.table)) + 2
    columns = list(dict.fromkeys(loop for cells in report.table.values() for loop in cells))
    lines.append(" " * width + "".join(f"{loop:>26}" for loop in columns))
    for name, cells in report.table.items():
        row = named(name)
        line = f"{name:{width}}"
        for loop in columns:
            line += f"{_entry(report, row, cells, loop, colour):>26}" if loop in cells else " " * 26
        lines.append(line.rstrip())
    return "\n".join(lines)


def _entry(report: Report, row: Row, cells: dict[str, Cell], loop: str, colour: bool) -> str:
    cell = cells[loop]
    if not cell.measured:
        return "does not have it" if cell.lacks else "fails"
    base = cells[report.reference]
    ratio = f"{compare(row, cell, base):.2f}x" if base.measured else ""
    around = f"±{spread(cell.speeds(row.by_cpu)):.0%}"
    text = f"{decisive(row, cell):>10} {ratio:>6} {around:>5}"
    best = report.against_best(loop).get(row.name) if loop in report.ours() else None
    if colour and best is not None and best.verdict in COLOURS:
        # Escapes have no width, so what pads to one has to come first.
        return f"\x1b[{COLOURS[best.verdict]}m{text:>26}\x1b[0m"
    return text


def details(report: Report) -> str:
    """A line for each row and loop, with all that was measured."""
    width = max(len(name) + 2 for row, cells in report.table.items() for name in (row, *cells))
    titles = f"{'per second':>11} {'±':>5} {'ratio':>7}  {'CPU us/op':>9} {'ratio':>7}"
    titles += f"  {'p50 us':>7} {'p99 us':>7} {'peak MiB':>8}"
    lines = []
    for name, cells in report.table.items():
        lines += ["", f"{name:{width}}{titles}"]
        base = cells[report.reference]
        for loop, cell in cells.items():
            head = f"  {loop:{width - 2}}"
            if cell.measured:
                lines.append((head + _figures(cell, base) + _remarks(cell)).rstrip())
            elif cell.lacks:
                lines.append(f"{head}does not have it: {cell.lacks}")
            else:
                lines.append(f"{head}fails: {cell.failure}")
    if any(cell.client_bound for cells in report.table.values() for cell in cells.values()):
        lines += ["", "client-bound: the load was the slower side; compare CPU time, not the rate."]
    return "\n".join(lines)


def _figures(cell: Cell, base: Cell) -> str:
    columns = []
    for name in ("rate", "cpu_us"):
        value, reference = cell.median(name), base.median(name)
        assert value is not None
        columns.append(quantity(value))
        columns.append(f"{value / reference:.2f}x" if reference else "")
    peak = cell.median("peak_kib")
    waits = (cell.median("p50_us"), cell.median("p99_us"), peak and peak / 1024)
    p50, p99, memory = ("" if value is None else quantity(value) for value in waits)
    around = f"{spread(cell.all('rate')):.0%}"
    rate, speed, cpu, cost = columns
    return f"{rate:>11} {around:>5} {speed:>7}  {cpu:>9} {cost:>7}  {p50:>7} {p99:>7} {memory:>8}"


def _remarks(cell: Cell) -> str:
    text = "  client-bound" if cell.client_bound else ""
    return f"{text}  A REPEAT FAILED: {cell.failure}" if cell.failure else text


def verdicts(report: Report, loop: str) -> str:
    """Every row of ``loop`` as a win, a loss or the same against each other loop, and then all that it loses."""
    lines = []
    for other in report.others():
        rows = report.against(loop, other)
        lines.append(f"{loop} against {other}:")
        for verdict in Verdict:
            found = [f"{row.row.name} {row.ratio:.2f}x" for row in rows if row.verdict is verdict]
            if found:
                lines.append(f"  {verdict.value:8} on {len(found):2}: {', '.join(found)}")
        lines.append("")
    losses = report.losses(loop)
    if losses:
        lines.append(f"Where {loop} loses:")
        lines += [f"  {row.row.name}: {row.ratio:.2f}x the speed of {row.other}" for row in losses]
    elif report.others():
        lines.append(f"Where {loop} loses: on none of these rows, beyond what the figures vary by.")
    return "\n".join(lines)

"""The outcome as one HTML file that asks for nothing from elsewhere."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path

from .chart import CLASSES, Bar, bars, ratios
from .figures import Cell, Verdict, Versus, compare
from .report import Report
from .rows import Row, named
from .table import decisive, quantity

__all__ = ("page",)

# As many colours as page.css has for loops that are not Epicycle's.
COLOURS = 4
WORDS = {Verdict.FASTER: "faster", Verdict.SAME: "level", Verdict.SLOWER: "slower"}


def page(report: Report) -> str:
    """The whole document."""
    css = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    body = "\n".join(_body(report))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(_title(report))}</title>\n<style>\n{css}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _title(report: Report) -> str:
    return f"{_listed(report.ours() or report.plan.loops[:1])} beside {_listed(_rivals(report))}"


def _rivals(report: Report) -> list[str]:
    return report.others() if report.ours() else report.plan.loops[1:]


def _listed(names: list[str]) -> str:
    shown = [name.capitalize() if name == "epicycle" else name for name in names] or ["nothing"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _body(report: Report) -> Iterator[str]:
    yield f"<header>\n<h1>{escape(_title(report))}</h1>"
    yield from _surroundings(report)
    yield "</header>"
    for loop in report.ours():
        found = report.against_best(loop)
        if found:
            yield from _summary(report, loop, found)
    yield '<section>\n<h2>Row by row</h2>\n<p class="soft">' + _legend(report) + "</p>"
    yield '<div class="cards">'
    for name, cells in report.table.items():
        yield from _card(report, named(name), cells)
    yield "</div>\n</section>"
    yield from _method(report)


def _surroundings(report: Report) -> Iterator[str]:
    machine, cores = report.machine, report.cores
    versions = ", ".join(f"{name} {version}" for name, version in report.versions().items())
    count = f"{machine.cores} {'core' if machine.cores == 1 else 'cores'}"
    facts = f"{machine.python}, {machine.system}, {machine.processor}, {count}. {report.date}."
    yield f'<p class="soft">{escape(versions)}.<br>{escape(facts)}</p>'
    if cores.shared:
        yield '<p class="warning">One core: load and server share it. Compare CPU time, not rates.</p>'
    if machine.disturbed:
        yield (
            f'<p class="warning">Other work was running when this began: load average {machine.load:.1f}. '
            "Repeat it on a quiet machine before believing small differences.</p>"
        )


def _summary(report: Report, loop: str, found: dict[str, Versus]) -> Iterator[str]:
    """What a reader in a hurry looks at: how often ahead, level and behind, and by how much on each row."""
    name = escape(_listed([loop]))
    counts = Counter(row.verdict for row in found.values())
    yield '<ul class="tally">'
    for verdict in Verdict:
        text = (
            "level with the fastest other loop"
            if verdict is Verdict.SAME
            else f"{WORDS[verdict]} than every other"
        )
        if verdict is Verdict.SLOWER:
            text = "slower than another loop"
        yield f'<li class="{CLASSES[verdict]}"><b>{counts[verdict]}</b>{_rows(counts[verdict])} {text}</li>'
    yield "</ul>"
    yield f"<section>\n<h2>{name} against the fastest other loop of each row</h2>"
    yield (
        '<p class="soft">To the right of the line it is faster, to the left slower. The scale doubles from line to '
        "line; whiskers go from the slowest repeat to the fastest.</p>"
    )
    ordered = sorted(found.values(), key=lambda row: -row.ratio)
    picture = ratios(f"{loop} against the fastest other loop", [(row.row.title, row) for row in ordered])
    yield f'<div class="panel">{picture}</div>\n</section>'
    yield from _losses(report, loop)


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def _losses(report: Report, loop: str) -> Iterator[str]:
    yield f"<section>\n<h2>Where {escape(_listed([loop]))} loses</h2>"
    losses = report.losses(loop)
    if losses:
        yield '<div class="panel"><table class="losses">'
        yield "<thead><tr><th>row</th><th>slower than</th><th>speed</th><th>range</th></tr></thead><tbody>"
        for row in losses:
            yield (
                f'<tr><td>{escape(row.row.title)} <code class="soft">{row.row.name}</code></td>'
                f'<td>{escape(row.other)}</td><td class="ratio">{row.ratio:.2f}x</td>'
                f"<td>{row.low:.2f}x to {row.high:.2f}x</td></tr>"
            )
        yield "</tbody></table></div>"
    else:
        yield "<p>On none of these rows, beyond what the figures vary by.</p>"
    yield "</section>"


def _legend(report: Report) -> str:
    return (
        "Longer is faster. The figure is operations a second; for servers it is the server's CPU time for one "
        f"operation, and the bar how many fit into a second of it. x is how many times as fast as "
        f"{escape(report.reference)}."
    )


def _card(report: Report, row: Row, cells: dict[str, Cell]) -> Iterator[str]:
    yield f'<article class="card" id="{row.name}">\n<header><h3>{escape(row.title)}</h3>'
    for loop in report.ours():
        best = report.against_best(loop).get(row.name)
        if best is not None:
            text = f"{best.ratio:.2f}x of {best.other}"
            yield f'<span class="badge {CLASSES[best.verdict]}">{WORDS[best.verdict]}: {escape(text)}</span>'
    yield f'</header>\n<p class="soft small">{escape(row.operation)} <code>{row.name}</code></p>'
    found = [_bar(report, row, cells, loop) for loop, cell in cells.items() if cell.measured]
    if found:
        yield bars(f"{row.title}: {', '.join(f'{bar.name} {bar.text} {bar.ratio}' for bar in found)}", found)
        yield from _figures(report, cells)
    for loop, cell in cells.items():
        if cell.failure:
            yield f'<p class="warning small">{escape(loop)} failed: {escape(cell.failure)}</p>'
        elif cell.lacks:
            yield f'<p class="soft small">{escape(loop)} does not have it: {escape(cell.lacks)}</p>'
    yield "</article>"


def _bar(report: Report, row: Row, cells: dict[str, Cell], loop: str) -> Bar:
    cell, base = cells[loop], cells[report.reference]
    speeds = cell.speeds(row.by_cpu)
    ratio = f"{compare(row, cell, base):.2f}x" if base.measured else ""
    ours = loop in report.ours()
    style = f"loop-{list(cells).index(loop) % COLOURS}"
    if ours:
        best = report.against_best(loop).get(row.name)
        # A row that is lost is to be seen as such from afar.
        style = "behind" if best is not None and best.verdict is Verdict.SLOWER else "ahead"
    text = decisive(row, cell).replace(" us", " µs")
    return Bar(loop, statistics.median(speeds), min(speeds), max(speeds), text, ratio, style, ours)


def _figures(report: Report, cells: dict[str, Cell]) -> Iterator[str]:
    """The figures beside the bars: rate, CPU time, waits where there are any, memory."""
    measured = {loop: cell for loop, cell in cells.items() if cell.measured}
    waits = any(cell.median("p50_us") is not None for cell in measured.values())
    titles = ["", "per second", "CPU each", *(["p50", "p99"] if waits else []), "peak MiB"]
    yield "<table><thead><tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr></thead><tbody>"
    for loop, cell in measured.items():
        found = [_figure(cell.median("rate")) + ("*" if cell.client_bound else "")]
        found += [
            _duration(cell.median(name)) for name in ["cpu_us", *(["p50_us", "p99_us"] if waits else [])]
        ]
        peak = cell.median("peak_kib")
        found.append(_figure(None if peak is None else peak / 1024))
        style = ' class="ours"' if loop in report.ours() else ""
        yield f"<tr{style}><th>{escape(loop)}</th>" + "".join(f"<td>{text}</td>" for text in found) + "</tr>"
    yield "</tbody></table>"


def _figure(value: float | None) -> str:
    return "" if value is None else quantity(value)


def _duration(microseconds: float | None) -> str:
    if microseconds is None:
        return ""
    return f"{quantity(microseconds)} µs" if microseconds < 1000 else f"{quantity(microseconds / 1000)} ms"


def _method(report: Report) -> Iterator[str]:
    plan, cores = report.plan, report.cores
    yield "<section>\n<h2>How this was measured</h2>\n<ul>"
    yield (
        f"<li>A fresh process of {plan.seconds:g} s for every loop, row and repeat, the loops in turn. Figures are "
        f"medians of {plan.repeats}, whiskers their extremes.</li>"
    )
    yield (
        f"<li>The measured process ran on core {cores.measured} with all its threads, the load on core "
        f"{cores.load}.</li>"
    )
    yield "<li>CPU time is that of the whole measured process, kernel side included.</li>"
    yield (
        "<li>The load is Python over epoll, about as fast as a good server. Where a server waited for it, its rate "
        "has a *; so CPU time decides on the rows of servers.</li>"
    )
    yield (
        "<li>Two loops are level where their medians differ by less than 3 %, or by less than the smaller of their "
        "spreads.</li>"
    )
    for name, reason in report.skipped.items():
        yield f"<li>Left out: <code>{name}</code>, because {escape(reason)}.</li>"
    yield "</ul>\n</section>"

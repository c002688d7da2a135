"""The measurements as a table and as a chart."""

import statistics
from typing import Any

HEAD = (
    "way",
    "alone ms",
    "contended/s",
    "wait p50 ms",
    "p95 ms",
    "CPU us",
    "overlaps",
    "died: next s",
    "froze: next s",
    "late write",
)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def row(result: dict[str, Any]) -> tuple[str, ...]:
    return (
        result["way"],
        f"{statistics.median(result['alone']) * 1e3:.2f}",
        f"{result['rate']:.0f}",
        f"{statistics.median(result['waits']) * 1e3:.1f}",
        f"{percentile(result['waits'], 0.95) * 1e3:.1f}",
        f"{result['cpu'] * 1e6:.0f}",
        f"{result['overlaps']}",
        f"{result['died']:.2f}",
        f"{result['froze']:.2f}",
        "accepted" if result["late"] else "fenced off",
    )


def table(results: list[dict[str, Any]]) -> str:
    rows = [HEAD, *map(row, results)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, len(HEAD) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in rows
    )


def draw(results: list[dict[str, Any]], lease: float, processes: int, file: str) -> None:
    """Write the chart to `file`, PNG or SVG by its name; `OSError` or `ValueError` when that cannot be."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    ways = [result["way"] for result in results]
    colours = dict(
        zip(
            ("mariadb", "redis", "zookeeper", "none"),
            ("#4477aa", "#cc6677", "#228833", "#888888"),
            strict=True,
        )
    )
    figure, (cost, wait, next_one) = pyplot.subplots(1, 3, figsize=(11, 3.8), layout="constrained")

    bars = cost.bar(
        ways, [statistics.median(r["alone"]) * 1e3 for r in results], color=[colours[way] for way in ways]
    )
    cost.bar_label(bars, fmt="%.2f")
    cost.set(title="cost to take it, nobody contends", ylabel="ms, median")

    for result in results:
        waits = sorted(result["waits"])
        shares = [(n + 1) / len(waits) for n in range(len(waits))]
        wait.step(
            [w * 1e3 for w in waits], shares, color=colours[result["way"]], label=result["way"], where="post"
        )
    wait.set(
        title=f"waiting, {processes} processes contend",
        xlabel="ms",
        ylabel="share of waits below",
        xscale="log",
    )
    wait.legend(frameon=False)

    places = range(len(results))
    for offset, key, label, alpha in (
        (-0.2, "died", "holder died", 1.0),
        (0.2, "froze", "holder froze", 0.5),
    ):
        heights = [result[key] for result in results]
        drawn = next_one.bar(
            [place + offset for place in places],
            heights,
            0.38,
            color=[colours[way] for way in ways],
            alpha=alpha,
            label=label,
        )
        next_one.bar_label(drawn, [f"{label.split()[1]}\n{height:.2f}" for height in heights], fontsize=8)
    next_one.axhline(lease, color="#444444", linewidth=0.8, linestyle="--")
    next_one.annotate("lease", (-0.5, lease), textcoords="offset points", xytext=(0, 3), fontsize=8)
    next_one.set_xticks(places, ways)
    next_one.margins(y=0.2)
    next_one.set(title="the next holder comes after", ylabel="s")

    for axes in (cost, wait, next_one):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)

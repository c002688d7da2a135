"""Figures of one row on one loop, and the tables made of them."""

import dataclasses
import statistics

# Within this much of the reference, two medians say the same thing, whatever their spread.
SAME = 0.03
# A server that used less of its core than this, and less than the client of its own, waited for the client.
SATURATED = 0.9


@dataclasses.dataclass
class Cell:
    """The repeats of one row on one loop."""

    rates: list[float] = dataclasses.field(default_factory=list)
    cpu_us: list[float] = dataclasses.field(default_factory=list)
    busy: list[float] = dataclasses.field(default_factory=list)
    client_busy: list[float] = dataclasses.field(default_factory=list)
    failure: str = ""

    def add(self, answer: dict[str, float]) -> None:
        self.rates.append(answer["rate"])
        self.cpu_us.append(answer["cpu_us"])
        self.busy.append(answer["busy"])
        if "client_busy" in answer:
            self.client_busy.append(answer["client_busy"])

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpu_us)

    @property
    def spread(self) -> float:
        """The spread of the rates."""
        return spread(self.rates)

    @property
    def client_bound(self) -> bool:
        """Whether the load was the slower side, so that the rate says little about the loop."""
        if not self.client_busy:
            return False
        busy = statistics.median(self.busy)
        return busy < SATURATED and busy < statistics.median(self.client_busy)


def spread(figures: list[float]) -> float:
    """Half the distance from the lowest to the highest, as a share of the median."""
    return (max(figures) - min(figures)) / 2 / statistics.median(figures)


Table = dict[str, dict[str, Cell]]


def compare(cell: Cell, reference: Cell) -> tuple[float, float]:
    """How many times the reference's rate it reaches, and how many times its CPU time an operation costs."""
    return cell.rate / reference.rate, cell.cpu / reference.cpu


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(rows: Table, reference: str) -> str:
    """A line for each row and loop; ratios are to the reference loop."""
    width = max(len(name) + 2 for row, cells in rows.items() for name in (row, *cells))
    head = f"{'per second':>12} {'spread':>7} {'ratio':>7}   {'CPU us/op':>9} {'ratio':>7}"
    lines = []
    for row, cells in rows.items():
        lines += ["", f"{row:{width}}{head}"]
        base = cells.get(reference)
        for loop, cell in cells.items():
            if not cell.rates:
                lines.append(f"  {loop:{width - 2}}fails: {cell.failure}")
                continue
            speed, cost = "", ""
            if base is not None and base.rates:
                speed, cost = (f"{ratio:.2f}x" for ratio in compare(cell, base))
            around = f"±{cell.spread:.0%}"
            lines.append(
                f"  {loop:{width - 2}}{number(cell.rate):>12} {around:>7} {speed:>7}"
                f"   {number(cell.cpu):>9} {cost:>7}{remarks(cell)}"
            )
    return "\n".join(lines)


def remarks(cell: Cell) -> str:
    """What the reader must know beside the figures."""
    text = "   client-bound" if cell.client_bound else ""
    return f"{text}   A REPEAT FAILED: {cell.failure}" if cell.failure else text


def verdicts(rows: Table, loop: str, reference: str) -> str:
    """Every row of `loop` as a win, a loss or the same; on client-bound rows CPU time decides."""
    sorts: dict[str, list[str]] = {
        "faster": [],
        "the same": [],
        "slower": [],
        "fails": [],
        "no reference": [],
    }
    for name, cells in rows.items():
        cell, base = cells[loop], cells[reference]
        if cell.failure:
            sorts["fails"].append(name)
        if not base.rates:
            sorts["no reference"].append(name)
        if not cell.rates or not base.rates:
            continue
        speed, cost = compare(cell, base)
        by_cpu = cell.client_bound or base.client_bound
        gain = 1 / cost if by_cpu else speed
        doubt = min(spread(side.cpu_us if by_cpu else side.rates) for side in (cell, base))
        noise = max(SAME, doubt)
        kind = "faster" if gain > 1 + noise else "slower" if gain < 1 - noise else "the same"
        sorts[kind].append(f"{name} {gain:.2f}x{' by CPU' if by_cpu else ''}")
    lines = [f"{loop} against {reference}:"]
    for kind, names in sorts.items():
        if names:
            lines.append(f"  {kind:12} on {len(names):2}: {', '.join(names)}")
    return "\n".join(lines)

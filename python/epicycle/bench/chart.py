"""Bars as inline SVG. Colours are classes of ``page.css``, so that one picture serves light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from .figures import Verdict, Versus

__all__ = ("CLASSES", "Bar", "bars", "ratios")

# The class of page.css for each.
CLASSES = {Verdict.FASTER: "ahead", Verdict.SAME: "level", Verdict.SLOWER: "behind"}

# Of the picture of ratios, in the units of its own drawing.
WIDTH = 920
NAMES = 196
# Room for a figure beyond the longest bar, on either side.
ENDS = 64
RIVALS = 84
LINE = 30
TOP = 34


@dataclass(frozen=True)
class Bar:
    """One bar: ``low`` and ``high`` end its whisker; ``text`` and ``ratio`` stand behind it; ``style`` is a class."""

    name: str
    value: float
    low: float
    high: float
    text: str
    ratio: str
    style: str
    ours: bool


def bars(title: str, found: Sequence[Bar]) -> str:
    """Horizontal bars from nought, the longest as wide as there is room."""
    width, names, texts, line = 440, 82, 132, 26
    room = width - names - texts
    most = max(bar.high for bar in found)
    parts = []
    for number, bar in enumerate(found):
        y = number * line + 4
        middle = y + 8.5
        length, low, high = (room * value / most for value in (bar.value, bar.low, bar.high))
        parts += [
            _text(names - 10, middle + 4.5, bar.name, "name end" + (" ours" if bar.ours else "")),
            f'<rect class="{bar.style}" x="{names}" y="{y}" width="{max(length, 1.5):.1f}" height="17" rx="3"/>',
            _whisker(names + low, names + high, middle, 4),
            _text(
                names + max(length, high) + 9, middle + 4.5, bar.text, "value" + (" ours" if bar.ours else "")
            ),
            _text(width, middle + 4.5, bar.ratio, f"value end {bar.style}" if bar.ours else "tick end"),
        ]
    return _picture(width, len(found) * line, title, parts)


def ratios(title: str, rows: Iterable[tuple[str, Versus]]) -> str:
    """A bar to the right for each row that is ahead, to the left for each behind; twice as fast is as far as half."""
    found = list(rows)
    reach = max(
        (abs(math.log2(end)) for _, row in found for end in (row.low, row.high, row.ratio)), default=1
    )
    steps = max(1, math.ceil(reach - 0.01))
    lowest = min((math.log2(min(row.low, row.ratio)) for _, row in found), default=0)
    # The left half is only as wide as the losses need it, and never so narrow that it could be overlooked.
    left = 1 if lowest > -0.95 else steps
    unit = (WIDTH - NAMES - RIVALS - 2 * ENDS) / (left + steps)
    one = NAMES + ENDS + left * unit
    bottom = TOP + len(found) * LINE
    parts = []
    for power in range(-left, steps + 1):
        x = one + power * unit
        style = "axis" if power == 0 else "grid"
        parts.append(f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom}"/>')
        parts.append(_text(x, TOP - 15, "equal" if power == 0 else f"{2.0**power:g}x", "tick middle"))
    parts.append(_text(WIDTH, TOP - 15, "against", "tick end"))
    for number, (name, row) in enumerate(found):
        y = TOP + number * LINE + 6
        middle = y + 9.0
        value, low, high = (one + math.log2(end) * unit for end in (row.ratio, row.low, row.high))
        start, length = min(one, value), max(abs(value - one), 2)
        style = CLASSES[row.verdict]
        parts += [
            _text(NAMES, middle + 4.5, name, "name end"),
            f'<rect class="{style}" x="{start:.1f}" y="{y}" width="{length:.1f}" height="18" rx="3"/>',
            _whisker(low, high, middle, 4),
        ]
        label = f"{row.ratio:.2f}x"
        if value < one:
            parts.append(_text(min(low, value) - 8, middle + 4.5, label, f"value end {style}"))
        else:
            parts.append(_text(max(high, value) + 8, middle + 4.5, label, f"value {style}"))
        parts.append(_text(WIDTH, middle + 4.5, row.other, "other end"))
    return _picture(WIDTH, bottom + 6, title, parts)


def _whisker(low: float, high: float, middle: float, half: float) -> str:
    """A line from the slowest repeat to the fastest, with ends; nothing where they are as good as one."""
    if high - low < 1:
        return ""
    return (
        f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}'
        f'M{low:.1f} {middle - half}v{2 * half}M{high:.1f} {middle - half}v{2 * half}"/>'
    )


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _picture(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    inner = "\n".join(part for part in parts if part)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>\n{inner}\n</svg>"
    )

"""The parts of the screen around the tables. Each draws itself from the model, and is told when to do so anew."""

from __future__ import annotations

from typing import Any

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from ..clean import clean, fit
from ..plain import head, lag_text, open_text
from ..tree import SORTS
from ..view import amount, bytes_text, sparkline
from .model import Model

__all__ = ("VIEWS", "Alarm", "Details", "Figures", "Note", "Views")

VIEWS = ("tasks", "groups", "connections", "stalls", "lints")


class Part(Widget):
    """A part of the screen that shows the model."""

    def __init__(self, model: Model, **more: Any) -> None:
        super().__init__(**more)
        self.model = model

    def renew(self) -> None:
        """Draw it anew."""
        self.refresh()


class Alarm(Part):
    """The banner; there only when there is something to say."""

    DEFAULT_CSS = """
    Alarm { height: auto; max-height: 3; padding: 0 1; display: none; background: $panel; text-style: bold; }
    Alarm.alarm { background: red; color: white; }
    """

    def __init__(self, model: Model, **more: Any) -> None:
        super().__init__(model, **more)
        self._shown = ""

    def renew(self) -> None:
        said = self.model.banner
        text = said.text if said is not None else ""
        if text == self._shown:
            return
        self._shown = text
        self.display = said is not None
        self.set_class(said is not None and said.alarm, "alarm")
        self.refresh(layout=True)

    def render(self) -> Text:
        return Text(self._shown)


class Figures(Part):
    """The head of the screen: what is looked at, how late timers run, so many a second of everything."""

    DEFAULT_CSS = """
    Figures { height: 6; padding: 0 1; }
    """

    def render(self) -> Text:
        model = self.model
        columns = max(20, self.content_size.width)
        half = (columns - 3) // 2
        lines = [
            Text(fit(head(model.found, model.at, len(model.looks), model.reading), columns), style="bold"),
            self._lag(columns),
            self._pair("callbacks", "steps", half),
            self._pair("turns", "events", half),
            self._pair("bytes_in", "bytes_out", half),
            Text(fit(f"open: {open_text(model.reading.counters)}", columns)),
        ]
        return Text("\n").join(lines)

    def _lag(self, columns: int) -> Text:
        text = f"{'lag':<13} {lag_text(self.model.late)}  "
        left = columns - len(text)
        return Text.assemble(text, (sparkline(self.model.history.of("lag"), min(left, 60)), "magenta"))

    def _pair(self, left: str, right: str, columns: int) -> Text:
        return Text("   ").join([self._rate(left, columns), self._rate(right, columns)])

    def _rate(self, name: str, columns: int) -> Text:
        value = self.model.speed[name]
        is_bytes = name.startswith("bytes")
        number = f"{bytes_text(value)}/s" if is_bytes else f"{amount(value)}/s"
        title = {"bytes_in": "in", "bytes_out": "out"}.get(name, name)
        bars = sparkline(self.model.history.of(name), min(60, columns - 27))
        return Text.assemble(f"{title:<13} {fit(number, 12, right=True)} ", (bars, "cyan"))


class Views(Part):
    """The names of the tables with what is in them, the one that is shown marked, and how tasks are sorted."""

    DEFAULT_CSS = """
    Views { height: 1; padding: 0 1; background: $panel; }
    """

    def __init__(self, model: Model, **more: Any) -> None:
        super().__init__(model, **more)
        self.current = VIEWS[0]

    def render(self) -> Text:
        model = self.model
        counts = {
            "tasks": model.total("tasks"),
            "groups": len(model.groups()),
            "connections": model.total("connections"),
            "stalls": len(model.reading.stalls),
            "lints": len(model.lints()),
        }
        text = Text()
        for at, name in enumerate(VIEWS, 1):
            style = "bold yellow" if name in ("stalls", "lints") and counts[name] else ""
            text.append(f" {at} {name} {counts[name]} ", "reverse bold" if name == self.current else style)
            text.append(" ")
        if self.current == "tasks":
            listed = len(model.rows)
            text.append(f"  by {SORTS[model.sort]}{', tree' if model.as_tree and not model.wanted else ''}")
            if model.wanted:
                text.append(f", with '{clean(model.wanted, 30)}': {listed}", "bold")
            elif listed < counts["tasks"]:
                text.append(f", {listed} listed")
        return text


class Note(Part):
    """Why the tasks are not today's; there only when they are not."""

    DEFAULT_CSS = """
    Note { height: 1; padding: 0 1; display: none; color: $text-warning; text-style: bold; }
    """

    def renew(self) -> None:
        self.display = bool(self.model.note)
        self.refresh()

    def render(self) -> Text:
        return Text(self.model.note)


class Details(ScrollView):
    """Lines about the row that the line is on, or about the thread of a loop that is stuck."""

    DEFAULT_CSS = """
    Details { height: 10; border-top: solid $primary; padding: 0 1; scrollbar-size-vertical: 1; overflow-x: hidden; }
    """

    can_focus = False

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._lines: list[str] = []

    def show(self, lines: list[str]) -> None:
        """Show these lines, which are clean already."""
        if lines == self._lines:
            return
        if lines[:1] != self._lines[:1]:
            self.scroll_to(y=0, animate=False)
        self._lines = lines
        self.virtual_size = Size(self.scrollable_content_region.width, len(lines))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        at = self.scroll_offset.y + y
        text = self._lines[at] if at < len(self._lines) else ""
        style = self.rich_style + Style(bold=at == 0)
        return Strip([Segment(fit(text, width), style)]).adjust_cell_length(width, style)

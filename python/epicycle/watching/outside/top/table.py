"""A table that draws the rows that can be seen, and no others, so that ten thousand cost what twenty do."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..clean import fit

__all__ = ("Column", "Table")


@dataclass(frozen=True)
class Column:
    """``width`` in terminal columns, 0 for what the others leave, shared out by ``weight``."""

    title: str
    width: int = 0
    right: bool = False
    weight: int = 1


class Table(ScrollView):
    """Rows of cleaned text under a head, with a line that the keys move.

    The line stays on the row it is on, by that row's key, when the rows are shown anew.
    """

    DEFAULT_CSS = """
    Table { height: 1fr; padding: 0 1; overflow-x: hidden; scrollbar-size-vertical: 1; }
    Table > .table--head { color: $text-muted; text-style: bold; }
    Table > .table--line { background: $boost; text-style: bold; }
    Table:focus > .table--line { background: $primary-muted; }
    Table > .table--alarm { color: $text-error; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--head", "table--line", "table--alarm"}
    can_focus = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-1000000000)", show=False),
        Binding("end", "move(1000000000)", show=False),
    ]

    class Moved(Message):
        """The line is on another row."""

    def __init__(
        self,
        columns: Sequence[Column],
        cells: Callable[[Any], Sequence[str]],
        key: Callable[[Any], Hashable],
        alarming: Callable[[Any], bool] = lambda _row: False,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self._columns = columns
        self._cells = cells
        self._key = key
        self._alarming = alarming
        self._rows: Sequence[Any] = ()
        self._line = 0

    def show(self, rows: Sequence[Any]) -> None:
        """Show these rows, with the line on the row that it was on as long as that is among them."""
        before = self.row
        self._rows = rows
        if before is not None:
            key = self._key(before)
            if self._line >= len(rows) or self._key(rows[self._line]) != key:
                self._line = next((at for at, row in enumerate(rows) if self._key(row) == key), self._line)
        self._line = max(0, min(self._line, len(rows) - 1))
        self.virtual_size = Size(self.scrollable_content_region.width, len(rows) + 1)
        self.refresh()

    @property
    def row(self) -> Any:
        """The row that the line is on, or None."""
        return self._rows[self._line] if self._line < len(self._rows) else None

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if y == 0:
            style = self.get_component_rich_style("table--head")
            return self._strip([column.title for column in self._columns], width, style)
        at = self.scroll_offset.y + y - 1
        if at >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[at]
        style = self.rich_style
        if self._alarming(row):
            style = self.get_component_rich_style("table--alarm")
        if at == self._line:
            style += self.get_component_rich_style("table--line")
        return self._strip(self._cells(row), width, style)

    def _strip(self, cells: Sequence[str], width: int, style: Style) -> Strip:
        fixed = sum(column.width + 1 for column in self._columns)
        weights = sum(column.weight for column in self._columns if not column.width) or 1
        texts = []
        for column, cell in zip(self._columns, cells, strict=True):
            columns = column.width or max(4, (width - fixed) * column.weight // weights)
            texts.append(fit(cell, columns, column.right))
        # Rich, which draws, counts the columns of a few characters otherwise.
        return Strip([Segment(fit(" ".join(texts), width), style)]).adjust_cell_length(width, style)

    def action_move(self, by: int) -> None:
        self._go_to(self._line + by)

    def action_page(self, by: int) -> None:
        self._go_to(self._line + by * max(1, self.scrollable_content_region.height - 2))

    def on_click(self, event: Click) -> None:
        if event.y > 0:
            self._go_to(self.scroll_offset.y + event.y - 1)

    def _go_to(self, line: int) -> None:
        line = max(0, min(line, len(self._rows) - 1))
        if line == self._line:
            return
        self._line = line
        # The head takes up the first of the visible lines.
        seen = self.scrollable_content_region.height - 1
        top = self.scroll_offset.y
        if line < top:
            self.scroll_to(y=line, animate=False)
        elif line >= top + seen:
            self.scroll_to(y=line - seen + 1, animate=False)
        self.refresh()
        self.post_message(self.Moved())

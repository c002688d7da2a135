"""The application: it looks at every interval, draws what has changed, and does what the keys ask for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Input

from .. import tree
from ..clean import clean
from ..find import Found
from ..view import cause_text, newest_stall, number, seconds_text, where
from . import columns
from .model import Model
from .screen import VIEWS, Alarm, Details, Figures, Note, Views
from .table import Table

__all__ = ("Top",)


class Top(App[None]):
    """The live view of one process; ``interval`` is the time between two looks, in seconds."""

    TITLE = "epicycle top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; }
    #filter { display: none; height: 1; border: none; padding: 0 1; }
    #filter.open { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("b", "sort('busy')", "Busy"),
        Binding("s", "sort('scheduled')", "Scheduled"),
        Binding("a", "sort('age')", "Age"),
        Binding("w", "sort('waits')", "Waits"),
        Binding("t", "tree", "Tree"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "clear_filter", show=False),
        Binding("d", "details", "Details"),
        Binding("tab", "next_view", "Tables", key_display="1-5", priority=True),
        Binding("l", "next_loop", "Next loop"),
        Binding("J", "scroll_details(1)", show=False),
        Binding("K", "scroll_details(-1)", show=False),
        *(Binding(str(at), f"view('{name}')", show=False) for at, name in enumerate(VIEWS, 1)),
    ]

    def __init__(self, found: Found, interval: float) -> None:
        super().__init__()
        self.model = Model(found, interval)
        self.alarm = Alarm(self.model)
        self.figures = Figures(self.model)
        self.views = Views(self.model)
        self.note = Note(self.model)
        self.tables = {
            "tasks": columns.tasks(lambda: self.model.is_stuck),
            "groups": columns.groups(),
            "connections": columns.connections(),
            "stalls": columns.stalls(),
            "lints": columns.lints(),
        }
        self.details = Details()
        # The details follow the line, but while the loop is stuck only when the user has moved it.
        self._moved = False
        self.field = Input(
            placeholder="part of a name, coroutine, file or wait; Enter, or Escape to clear", id="filter"
        )

    def compose(self) -> ComposeResult:
        yield self.alarm
        yield self.figures
        yield self.views
        yield self.note
        yield from self.tables.values()
        yield self.details
        yield self.field
        yield Footer()

    def on_mount(self) -> None:
        if not self.is_headless:
            # A terminal that nobody puts right again is of no use.
            for number_ in (signal.SIGTERM, signal.SIGHUP):
                with contextlib.suppress(ValueError, RuntimeError):
                    asyncio.get_running_loop().add_signal_handler(number_, self.exit)
        self.action_view("tasks")
        self.set_interval(self.model.interval, self.look)
        self.look()

    def look(self) -> None:
        """Read the page and draw it; the tasks that were asked for are there a moment later."""
        self.model.refresh()
        self.renew()
        self.set_timer(min(0.2, self.model.interval / 4), self._take_tasks)

    def _take_tasks(self) -> None:
        if self.model.take_tasks():
            self.renew()

    def renew(self) -> None:
        """Draw everything that is shown."""
        with self.batch_update():
            for part in (self.alarm, self.figures, self.views, self.note):
                part.renew()
            self.table.show(self._rows())
            self._show_details()

    @property
    def table(self) -> Table:
        """The table that is shown."""
        return self.tables[self.views.current]

    def _rows(self) -> list[Any]:
        model = self.model
        if self.views.current == "tasks":
            return model.rows
        if self.views.current == "groups":
            return model.groups()
        if self.views.current == "connections":
            return model.connections()
        if self.views.current == "stalls":
            return model.reading.stalls[::-1]
        return model.lints()

    def on_table_moved(self) -> None:
        self._moved = True
        self._show_details()

    def _blocked_lines(self) -> list[str]:
        """What is known of the stall that is going on."""
        reading = self.model.reading
        if reading.process != "running":
            return []
        stall = newest_stall(reading)
        if stall is not None:
            return _stall_lines(stall)
        if reading.stack and self.model.banner is not None:
            return ["the loop's thread, innermost first", *map(_frame, reading.stack)]
        return []

    def _show_details(self) -> None:
        if not self.details.display:
            return
        row = self.table.row
        lines: list[str] = []
        blocked = self._blocked_lines()
        self._moved = self._moved and bool(blocked)
        if blocked and self.views.current == "tasks" and not self._moved:
            lines = blocked
        elif row is None:
            lines = []
        elif self.views.current == "tasks":
            lines = tree.chain(row.task, tree.tasks_of(self.model.reading.snapshot))
        elif self.views.current == "stalls":
            lines = _stall_lines(row)
        elif self.views.current in ("groups", "connections"):
            lines = [f"{clean(key, 40)}: {clean(value, 200)}" for key, value in row.items()]
        else:
            lines = [clean(row.get("kind") or "", 40), clean(row.get("text") or "")]
        self.details.show(lines)

    def action_sort(self, key: str) -> None:
        self.model.sort_by(key)
        self.action_view("tasks")

    def action_tree(self) -> None:
        self.model.as_tree = not self.model.as_tree
        self.model.arrange()
        self.renew()

    def action_view(self, name: str) -> None:
        self.views.current = name
        for each, table in self.tables.items():
            table.display = each == name
        self.table.focus()
        self.renew()

    def action_next_view(self) -> None:
        self.action_view(VIEWS[(VIEWS.index(self.views.current) + 1) % len(VIEWS)])

    def action_next_loop(self) -> None:
        self.model.next_loop()
        self.renew()

    def action_details(self) -> None:
        self.details.display = not self.details.display
        self.renew()

    def action_scroll_details(self, by: int) -> None:
        self.details.scroll_relative(y=4 * by, animate=False)

    def action_filter(self) -> None:
        self.action_view("tasks")
        self.field.add_class("open")
        self.field.focus()

    def action_clear_filter(self) -> None:
        self.field.value = ""
        self.model.filter("")
        self._close_filter()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.model.filter(event.value)
        self.renew()

    def on_input_submitted(self) -> None:
        self._close_filter()

    def _close_filter(self) -> None:
        self.field.remove_class("open")
        self.table.focus()
        self.renew()


def _frame(frame: Any) -> str:
    return f"  {where(frame[0], frame[2], frame[1])}"


def _stall_lines(stall: dict[str, Any]) -> list[str]:
    lasted = seconds_text(number(stall, "lasted"))
    lines = [
        f"{clean(stall.get('kind') or 'stall', 20)} for {lasted} by {cause_text(stall) or 'something unknown'}"
    ]
    lines += [f"{key}: {clean(stall[key], 300)}" for key in ("task", "coroutine", "what") if stall.get(key)]
    stack = stall.get("stack")
    frames = (
        [frame for frame in stack if isinstance(frame, list | tuple) and len(frame) > 2]
        if isinstance(stack, list)
        else []
    )
    lines += map(_frame, frames)
    awaits = stall.get("awaits")
    lines += [f"awaits {clean(step, 200)}" for step in awaits] if isinstance(awaits, list) else []
    return lines

"""How tasks, their groups, connections, stalls and lints become rows of a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

from .. import tree
from ..clean import clean
from ..plain import connection_cells, group_cells
from ..view import cause_text, number, seconds_text, stall_place
from .table import Column, Table

__all__ = ("connections", "groups", "lints", "stalls", "tasks")


def tasks(stuck: Callable[[], bool]) -> Table:
    """The table of tasks; its rows are ``tree.Row``. While the loop is ``stuck()`` the task that runs stands out."""
    columns = [
        Column("BUSY", 8, right=True),
        Column("SCHED", 8, right=True),
        Column("AGE", 7, right=True),
        Column("TASK", weight=3),
        Column("COROUTINE", weight=3),
        Column("AT", weight=2),
        Column("WAITS FOR", weight=5),
    ]

    def alarming(row: tree.Row) -> bool:
        return row.circle or (row.task.get("state") == "running" and stuck())

    return Table(columns, _task_cells, _task_key, alarming, id="tasks")


def _task_cells(row: tree.Row) -> list[str]:
    task = row.task
    doing = tree.doing(task)
    return [
        *(seconds_text(number(task, key)) for key in ("busy", "scheduled", "age")),
        row.lead + clean(task.get("name") or "?", 80),
        clean(task.get("coroutine") or "", 120),
        tree.place(task),
        f"circle: {doing}" if row.circle else doing,
    ]


def _task_key(row: tree.Row) -> Hashable:
    return number(row.task, "id")


def groups() -> Table:
    """The table of groups of tasks; its rows are the snapshot's."""
    columns = [Column("COUNT", 8, right=True), Column("COROUTINE"), Column("WAITS FOR")]
    return Table(columns, group_cells, _group_key, id="groups")


def _group_key(group: dict[str, Any]) -> Hashable:
    return str(group.get("coroutine")), str(group.get("waits"))


def connections() -> Table:
    """The table of connections; its rows are the snapshot's."""
    columns = [
        Column("KIND", 10),
        Column("FD", 8),
        Column("LOCAL", weight=3),
        Column("PEER", weight=3),
        Column("TO SEND", 20),
        Column("STATE", weight=3),
    ]
    return Table(columns, connection_cells, _connection_key, _is_slow, id="connections")


def _connection_key(connection: dict[str, Any]) -> Hashable:
    return number(connection, "fd"), str(connection.get("kind"))


def _is_slow(connection: dict[str, Any]) -> bool:
    return bool(connection.get("slow"))


def stalls() -> Table:
    """The table of stalls; its rows are ``Page.stalls()``."""
    columns = [
        Column("#", 4, right=True),
        Column("BEGAN", 8),
        Column("LASTED", 8, right=True),
        Column("KIND", 9),
        Column("CAUSE", weight=2),
        Column("AT", weight=3),
        Column("TASK", weight=3),
    ]
    return Table(columns, _stall_cells, _stall_key, _goes_on, id="stalls")


def _stall_cells(stall: dict[str, Any]) -> list[str]:
    return [
        f"{number(stall, 'number'):.0f}",
        time.strftime("%H:%M:%S", time.localtime(max(0.0, min(number(stall, "began"), 4e9)))),
        seconds_text(number(stall, "lasted")),
        clean(stall.get("kind") or "", 20),
        cause_text(stall),
        stall_place(stall),
        clean(stall.get("task") or stall.get("what") or "", 80),
    ]


def _stall_key(stall: dict[str, Any]) -> Hashable:
    return number(stall, "number")


def _goes_on(stall: dict[str, Any]) -> bool:
    return stall.get("over") is False


def lints() -> Table:
    """The table of lints; its rows are the snapshot's."""
    return Table([Column("KIND", 24), Column("WHAT")], _lint_cells, _lint_key, id="lints")


def _lint_cells(lint: dict[str, Any]) -> list[str]:
    return [clean(lint.get("kind") or "?", 40), clean(lint.get("text") or "", 300)]


def _lint_key(lint: dict[str, Any]) -> Hashable:
    return str(lint.get("kind")), str(lint.get("text"))

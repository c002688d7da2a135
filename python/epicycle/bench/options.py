"""What the command line of the benchmark means."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ..cli.usage import UsageError
from . import loops
from .rows import ROWS, Row

__all__ = ("BENCH", "DEVELOPERS", "Front", "Options", "help_command", "parse")

HELP = """\
usage: {command} [--loops NAMES] [--rows NAMES] [--repeats N] [--seconds S] [--html FILE] [--json FILE]
       {command} --list

Measures Epicycle beside other event loops on this machine. Every figure is the median over fresh processes, with
its spread; servers run on one core, their clients on another. Close other programs first. Where Epicycle is slower
is said as plainly as where it is faster.

options:
  --loops NAMES    names with commas between them; NAME means NAME.new_event_loop, MODULE:FACTORY any other
                   (default: {loops}, as far as they are installed)
  --rows NAMES     parts of rows' names with commas between them, or 'all' (default: {rows})
  --repeats N      processes for each loop and row (default: {repeats})
  --seconds S      measured time of a process (default: {seconds:g})
  --html FILE      write a report to look at: one file that asks for nothing from elsewhere
  --json FILE      write every figure of every repeat
  --details        print CPU time, latency and memory as well{details}
  --list           name the rows, say what an operation of each is, and stop
{more}  -h, --help       show this text
"""

MORE = """\
  --reference LOOP the loop that ratios in the table are to (default: uvloop where it is measured, else the first)
  --limit COMMAND  an echo server without Python, for the rows of TCP protocols
  --allow-debug    measure a debug build, for trying things out
"""


@dataclass(frozen=True)
class Front:
    """A command that measures: what it is called, its defaults, and whether it has the developers' options."""

    command: str
    loops: tuple[str, ...]
    every_row: bool
    repeats: int
    seconds: float
    details: bool
    developers: bool


BENCH = Front("epicycle bench", ("asyncio", "uvloop", "epicycle"), False, 3, 0.2, False, False)
DEVELOPERS = Front("make bench", loops.KNOWN, True, 5, 1.0, True, True)


@dataclass
class Options:
    """``loops`` is empty where none was named."""

    rows: list[Row]
    repeats: int
    seconds: float
    details: bool
    loops: list[str] = field(default_factory=list)
    html: Path | None = None
    json: Path | None = None
    list: bool = False
    reference: str = ""
    limit: str = ""
    allow_debug: bool = False


def parse(arguments: list[str], front: Front) -> Options | str:
    """The options, or the help text where that was asked for; raises UsageError."""
    options = Options(_rows("all" if front.every_row else ""), front.repeats, front.seconds, front.details)
    words = iter(arguments)
    try:
        for word in words:
            if word in ("-h", "--help"):
                return _help(front)
            _take(options, front, word, words)
    except _Wrong as error:
        raise UsageError(str(error), help_command(front)) from None
    return options


N = TypeVar("N", int, float)


def help_command(front: Front) -> str:
    """The command that shows the right form."""
    return f'{front.command} ARGS="--help"' if front.developers else f"{front.command} --help"


class _Wrong(Exception):
    """The command line is wrong; the message says how."""


def _take(options: Options, front: Front, word: str, words: Iterator[str]) -> None:
    """Understand one option, with its value behind it or behind an equals sign."""
    name, equals, attached = word.partition("=")

    def value(what: str) -> str:
        found = attached if equals else next(words, "")
        if not found:
            raise _Wrong(f"option {name!r} needs {what}")
        return found

    flags = {"--details": "details", "--list": "list"}
    if front.developers:
        flags["--allow-debug"] = "allow_debug"
    if name in flags and not equals:
        setattr(options, flags[name], True)
    elif name == "--loops":
        options.loops = list(dict.fromkeys(value("names of loops").split(",")))
        if "" in options.loops:
            raise _Wrong("option '--loops' has a comma too many")
    elif name == "--rows":
        options.rows = _rows(value("parts of rows' names"))
    elif name == "--repeats":
        options.repeats = _number(name, value("a number"), int, 1, 1000)
    elif name == "--seconds":
        options.seconds = _number(name, value("a number of seconds"), float, 0.001, 3600)
    elif name == "--html":
        options.html = _writable(value("a file to write"))
    elif name == "--json":
        options.json = _writable(value("a file to write"))
    elif name == "--reference" and front.developers:
        options.reference = value("the name of a loop")
    elif name == "--limit" and front.developers:
        options.limit = value("a command")
    else:
        kind = "option" if word.startswith("-") else "argument"
        raise _Wrong(f"unknown {kind} {word!r} of 'bench'")


def _rows(text: str) -> list[Row]:
    if not text:
        return [row for row in ROWS if row.brief]
    if text == "all":
        return list(ROWS)
    parts = text.split(",")
    for part in parts:
        if not part or not any(part in row.name for row in ROWS):
            raise _Wrong(f"no row has {part!r} in its name: '--list' names them")
    # A whole name means that row alone, though it may be a part of another's.
    names = {row.name for row in ROWS}
    return [
        row
        for row in ROWS
        if any(part == row.name or (part not in names and part in row.name) for part in parts)
    ]


def _number(name: str, text: str, kind: Callable[[str], N], least: N, most: N) -> N:
    try:
        number = kind(text)
        # False for NaN too.
        if least <= number <= most:
            return number
    except ValueError:
        pass
    whole = "a whole number" if kind is int else "a number"
    raise _Wrong(f"option {name!r} needs {whole} from {least} to {most}, not {text!r}")


def _writable(text: str) -> Path:
    """A place for a file; asked now, because a minute later is too late to hear of it."""
    path = Path(text)
    folder = path.parent
    if path.is_dir():
        raise _Wrong(f"{text!r} is a folder, not a file to write")
    if not folder.is_dir():
        raise _Wrong(f"{text!r} cannot be written: there is no folder {str(folder)!r}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise _Wrong(f"{text!r} cannot be written: permission denied")
    return path


def _help(front: Front) -> str:
    return HELP.format(
        command="python benches/run.py" if front.developers else front.command,
        loops=", ".join(front.loops),
        rows="all" if front.every_row else f"{sum(row.brief for row in ROWS)} of {len(ROWS)}",
        repeats=front.repeats,
        seconds=front.seconds,
        details=" (always)" if front.details else "",
        more=MORE if front.developers else "",
    ).rstrip()

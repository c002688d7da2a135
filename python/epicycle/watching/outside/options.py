"""What the command lines of ``epicycle top``, ``tasks``, ``stalls`` and ``record`` mean."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ...cli.usage import UsageError
from .tree import SORTS

__all__ = ("HELP", "Options", "parse")

TARGET = """\
PID|NAME is the number of a process, or the name of its program (app.py, or app), or the file of a page that
EPICYCLE_PAGE has left of a process that has ended. Nothing is needed in the program itself; only its own user, and
root, may look into it.
"""

TOP = f"""\
usage: epicycle top [PID|NAME] [--interval S]
       epicycle top PID|NAME --once
       epicycle top [PID|NAME] --json

Shows what the loops of a process do, live: how late timers run, what blocks a loop and in which line, its tasks and
what each waits for, its connections and which side of them is slow. It works while the loop is stuck. Without a
target it lists the Epicycle processes of this user. The keys are shown at the bottom; q ends it.

{TARGET}
options:
  --once           print it once, as text, and stop; so does a top whose output is no terminal
  --json           print it once, as a JSON object
  --interval S     seconds between two looks, from 0.1 to 60 (default: 1)
  -h, --help       show this text
"""

TASKS = f"""\
usage: epicycle tasks PID|NAME [--sort KEY] [--stacks]

Prints the tasks of a process's loops as a tree: each stands below the one that awaits it. Where the loop is stuck and
does not answer, they are those it last told, and that is said.

{TARGET}
options:
  --sort KEY       busy, scheduled, age or waits (default: busy)
  --stacks         print below each task where it stands, the outermost coroutine first
  -h, --help       show this text
"""

STALLS = f"""\
usage: epicycle stalls PID|NAME

Prints the last times that a loop of the process was stuck, the latest first: for how long, in which line, by what.
They are noted while the process is watched: 'epicycle run --watch', EPICYCLE_WATCH=1 or epicycle.watch().

{TARGET}
options:
  -h, --help       show this text
"""

RECORD = f"""\
usage: epicycle record PID|NAME -o FILE [--seconds S]

Records what the loops of a process do, turn by turn, and writes it as a trace for ui.perfetto.dev or Chrome's
about:tracing. Ctrl-C ends it early and writes what there is. Of a process that has ended, what its page still holds is
written.

{TARGET}
options:
  -o FILE          where to write the trace
  --seconds S      for how long to record, from 0.1 to 3600 (default: 5)
  -h, --help       show this text
"""

HELP = {"top": TOP, "tasks": TASKS, "stalls": STALLS, "record": RECORD}

# What each command takes besides its target: with a value and without.
VALUES = {
    "top": ("--interval",),
    "tasks": ("--sort",),
    "stalls": (),
    "record": ("-o", "--output", "--seconds"),
}
FLAGS = {"top": ("--once", "--json"), "tasks": ("--stacks",), "stalls": (), "record": ()}


@dataclass
class Options:
    """One command line; ``target`` is empty where none was named."""

    command: str
    target: str = ""
    once: bool = False
    json: bool = False
    interval: float = 1.0
    sort: str = "busy"
    stacks: bool = False
    output: str = ""
    seconds: float = 5.0


def parse(command: str, arguments: list[str]) -> Options | str:
    """The options, or the help text where that was asked for; raises UsageError."""
    options = Options(command)
    try:
        words = iter(arguments)
        for word in words:
            if word in ("-h", "--help"):
                return HELP[command].rstrip()
            _take(options, word, words)
        _complete(options)
    except _Wrong as error:
        raise UsageError(str(error), f"epicycle {command} --help") from None
    return options


class _Wrong(Exception):
    """The command line is wrong; the message says how."""


def _take(options: Options, word: str, words: Iterator[str]) -> None:
    name, equals, attached = word.partition("=")
    if not word.startswith("-") or word == "-":
        if options.target:
            raise _Wrong(f"'{options.command}' takes one target, not {options.target!r} and {word!r} as well")
        if not word:
            raise _Wrong(f"'{options.command}' cannot find a process without a name")
        options.target = word
    elif word in FLAGS[options.command]:
        setattr(options, word[2:], True)
    elif name in VALUES[options.command]:
        value = attached if equals else next(words, "")
        if not value:
            raise _Wrong(f"option {name!r} needs a value")
        _set(options, name, value)
    else:
        raise _Wrong(f"unknown option {word!r} of '{options.command}'")


def _set(options: Options, name: str, value: str) -> None:
    if name == "--interval":
        options.interval = _number(name, value, 0.1, 60)
    elif name == "--seconds":
        options.seconds = _number(name, value, 0.1, 3600)
    elif name == "--sort":
        if value not in SORTS:
            raise _Wrong(f"option '--sort' needs one of {', '.join(SORTS)}, not {value!r}")
        options.sort = value
    else:
        options.output = value


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        number = float(text)
        # False for NaN too.
        if least <= number <= most:
            return number
    except ValueError:
        pass
    raise _Wrong(f"option {name!r} needs a number of seconds from {least:g} to {most:g}, not {text!r}")


def _complete(options: Options) -> None:
    if not options.target and (options.command != "top" or options.once):
        raise _Wrong(f"'{options.command}' needs a process: its number or its program's name")
    if options.once and options.json:
        raise _Wrong("'--once' and '--json' do not go together")
    if options.command == "record":
        _check_output(options.output)


def _check_output(path: str) -> None:
    """Asked before recording, because afterwards is too late to hear of it."""
    if not path:
        raise _Wrong("'record' needs a file to write: '-o FILE'")
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise _Wrong(f"{path!r} is a folder, not a file to write")
    if not os.path.isdir(folder):
        raise _Wrong(f"{path!r} cannot be written: there is no folder {folder!r}")
    # The file is put in the place of an old one, which the folder has to allow; a pipe or device is written to.
    if not os.access(path if os.path.exists(path) and not os.path.isfile(path) else folder, os.W_OK):
        raise _Wrong(f"{path!r} cannot be written: permission denied")

"""What the command line means. Parsed by hand: everything after the program's name belongs to the program, and
nothing is imported that the program might bring its own version of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

__all__ = ("Doctor", "Kind", "Run", "Say", "UsageError", "parse")

MAIN = """\
usage: epicycle run [--legacy] [--debug] PROGRAM.py [ARGS...]
       epicycle doctor [--json]
       epicycle --version

Runs asyncio programs, unchanged, on the Epicycle event loop.

commands:
  run        run a program on Epicycle
  doctor     say what is installed here, what the kernel offers and what it limits

options:
  -h, --help     show this text; 'epicycle COMMAND --help' shows a command's own
  -V, --version  show the version
"""

RUN = """\
usage: epicycle run [--legacy] [--debug] PROGRAM.py [ARGS...]
       epicycle run [--legacy] [--debug] -m MODULE [ARGS...]
       epicycle run [--legacy] [--debug] -c CODE [ARGS...]

Runs a program as 'python' would: its arguments, its __main__, its module search path and its exit status are
the same. asyncio.run, asyncio.Runner, asyncio.new_event_loop and asyncio.get_event_loop give it Epicycle loops,
in its threads and in the processes it starts with multiprocessing too. A loop class that it names itself, such
as asyncio.SelectorEventLoop, stays what it is.

PROGRAM may be a file, a directory or zip file that has a __main__.py, or '-' for standard input.
Options after it belong to the program.

options:
  -m MODULE    run a module, found on the module search path
  -c CODE      run a piece of code
  --debug      put the loops that asyncio makes into debug mode
  --legacy     let a program of 2014-2019 run: @asyncio.coroutine, loop= arguments, coroutines given to
               asyncio.wait, 'with (yield from lock)' and the like are revived, and each says once, on standard
               error, what today's form is
  -h, --help   show this text
"""

DOCTOR = """\
usage: epicycle doctor [--json]

Says which Epicycle and which Python this is, how it was built, which poller it uses and why, what the kernel
offers and limits, and which packages around asyncio are installed. The exit status is 1 where Epicycle cannot
run.

options:
  --json       the same as a JSON object
  -h, --help   show this text
"""


class UsageError(Exception):
    """The command line is wrong; the message says how, ``try_`` is the command that shows the right form."""

    def __init__(self, message: str, try_: str = "epicycle --help") -> None:
        super().__init__(message)
        self.try_ = try_


class Kind(Enum):
    """What the target of ``run`` is."""

    PATH = "path"
    MODULE = "module"
    CODE = "code"


@dataclass(frozen=True)
class Run:
    """``epicycle run``: ``target`` is a path, a module's name or code, ``arguments`` are the program's."""

    kind: Kind
    target: str
    arguments: list[str]
    debug: bool
    legacy: bool


@dataclass(frozen=True)
class Doctor:
    """``epicycle doctor``."""

    as_json: bool


@dataclass(frozen=True)
class Say:
    """Print a text and be done."""

    text: Callable[[], str]


def parse(arguments: list[str]) -> Run | Doctor | Say:
    """Turn the arguments after ``epicycle`` into a command; raises UsageError."""
    if not arguments:
        raise UsageError("a command is missing: 'run' or 'doctor'")
    first, rest = arguments[0], arguments[1:]
    if first in ("-h", "--help"):
        return Say(MAIN.rstrip)
    if first in ("-V", "--version"):
        return Say(_version)
    if first == "run":
        return _parse_run(rest)
    if first == "doctor":
        return _parse_doctor(rest)
    if first.startswith("-"):
        raise UsageError(f"unknown option {first!r}")
    raise UsageError(f"unknown command {first!r}; to run a program: 'epicycle run {first}'")


def _parse_run(arguments: list[str]) -> Run | Say:
    again = "epicycle run --help"
    debug = legacy = False
    while arguments:
        first, *arguments = arguments
        if first in ("-h", "--help"):
            return Say(RUN.rstrip)
        if first == "--debug":
            debug = True
        elif first == "--legacy":
            legacy = True
        elif first[:2] in ("-m", "-c"):
            kind, what = (Kind.MODULE, "module") if first[1] == "m" else (Kind.CODE, "piece of code")
            if len(first) > 2:
                target = first[2:]
            elif arguments:
                target, *arguments = arguments
            else:
                raise UsageError(f"option {first!r} needs a {what}", again)
            return Run(kind, target, arguments, debug, legacy)
        elif first == "--" and arguments:
            target, *arguments = arguments
            return Run(Kind.PATH, target, arguments, debug, legacy)
        elif first == "-" or not first.startswith("-"):
            return Run(Kind.PATH, first, arguments, debug, legacy)
        else:
            raise UsageError(f"unknown option {first!r} of 'run'", again)
    raise UsageError("'run' needs a program: a file, '-m MODULE' or '-c CODE'", again)


def _parse_doctor(arguments: list[str]) -> Doctor | Say:
    as_json = False
    for argument in arguments:
        if argument in ("-h", "--help"):
            return Say(DOCTOR.rstrip)
        if argument != "--json":
            raise UsageError(f"'doctor' does not take {argument!r}", "epicycle doctor --help")
        as_json = True
    return Doctor(as_json)


def _version() -> str:
    from .._version import version

    return f"epicycle {version}"

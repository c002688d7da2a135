"""What the command line means. Parsed by hand: everything after the program's name belongs to the program, and
nothing is imported that the program might bring its own version of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

__all__ = ("Bench", "Doctor", "Kind", "Run", "Say", "UsageError", "Watch", "parse")

MAIN = """\
usage: epicycle run [--watch[=SECONDS]] [--legacy] [--nested] [--debug] PROGRAM.py [ARGS...]
       epicycle doctor [--json]
       epicycle bench [--html FILE] [OPTIONS...]
       epicycle top [PID|NAME] [--once] [--json]
       epicycle tasks PID|NAME
       epicycle stalls PID|NAME
       epicycle record PID|NAME -o FILE
       epicycle --version

Runs asyncio programs, unchanged, on the Epicycle event loop.

commands:
  run        run a program on Epicycle
  doctor     say what is installed here, what the kernel offers and what it limits
  bench      measure Epicycle beside other event loops on this machine, in about a minute
  top        look into a running process, live: what blocks it, its tasks, its connections
  tasks      print the tasks of a running process as a tree
  stalls     print the last times that a process's loop was stuck, and where
  record     record what a process's loop does, as a trace for Perfetto

options:
  -h, --help     show this text; 'epicycle COMMAND --help' shows a command's own
  -V, --version  show the version
"""

RUN = """\
usage: epicycle run [--watch[=SECONDS]] [--legacy] [--nested] [--debug] PROGRAM.py [ARGS...]
       epicycle run [--watch[=SECONDS]] [--legacy] [--nested] [--debug] -m MODULE [ARGS...]
       epicycle run [--watch[=SECONDS]] [--legacy] [--nested] [--debug] -c CODE [ARGS...]

Runs a program as 'python' would: its arguments, its __main__, its module search path and its exit status are
the same. asyncio.run, asyncio.Runner, asyncio.new_event_loop and asyncio.get_event_loop give it Epicycle loops,
in its threads and in the processes it starts with multiprocessing too. A loop class that it names itself, such
as asyncio.SelectorEventLoop, stays what it is.

PROGRAM may be a file, a directory or zip file that has a __main__.py, or '-' for standard input.
Options after it belong to the program.

options:
  -m MODULE    run a module, found on the module search path
  -c CODE      run a piece of code
  --watch      say on standard error, while it is stuck, what blocks a loop for more than 0.1 s; --watch=SECONDS
               sets another time
  --debug      put the loops that asyncio makes into debug mode
  --legacy     let a program of 2014-2019 run: @asyncio.coroutine, loop= arguments, coroutines given to
               asyncio.wait, 'with (yield from lock)' and the like are revived, and each says once, on standard
               error, what today's form is
  --nested     let run_until_complete and asyncio.run be called where a loop is running already, as in notebooks
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


# Those that look into another process.
LOOKS = ("top", "tasks", "stalls", "record")

COMMANDS = "'run', 'doctor', 'bench', 'top', 'tasks', 'stalls' or 'record'"


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
    nested: bool = False
    watch: float | None = None
    """Seconds after which a stall is reported; None: no watcher."""


@dataclass(frozen=True)
class Doctor:
    """``epicycle doctor``."""

    as_json: bool


@dataclass(frozen=True)
class Bench:
    """``epicycle bench``: what its ``arguments`` mean is known where it is carried out."""

    arguments: list[str]


@dataclass(frozen=True)
class Watch:
    """``epicycle top``, ``tasks``, ``stalls`` or ``record``; so here."""

    command: str
    arguments: list[str]


@dataclass(frozen=True)
class Say:
    """Print a text and be done."""

    text: Callable[[], str]


def parse(arguments: list[str]) -> Run | Doctor | Bench | Watch | Say:
    """Turn the arguments after ``epicycle`` into a command; raises UsageError."""
    if not arguments:
        raise UsageError(f"a command is missing: {COMMANDS}")
    first, rest = arguments[0], arguments[1:]
    if first in ("-h", "--help"):
        return Say(MAIN.rstrip)
    if first in ("-V", "--version"):
        return Say(_version)
    if first == "run":
        return _parse_run(rest)
    if first == "doctor":
        return _parse_doctor(rest)
    if first == "bench":
        return Bench(rest)
    if first in LOOKS:
        return Watch(first, rest)
    if first.startswith("-"):
        raise UsageError(f"unknown option {first!r}")
    raise UsageError(f"unknown command {first!r}; to run a program: 'epicycle run {first}'")


def _parse_run(arguments: list[str]) -> Run | Say:
    again = "epicycle run --help"
    debug = legacy = nested = False
    watch: float | None = None
    while arguments:
        first, *arguments = arguments
        if first in ("-h", "--help"):
            return Say(RUN.rstrip)
        if first == "--debug":
            debug = True
        elif first == "--legacy":
            legacy = True
        elif first == "--nested":
            nested = True
        elif first == "--watch" or first.startswith("--watch="):
            watch = _seconds(first.removeprefix("--watch").removeprefix("="))
        elif first[:2] in ("-m", "-c"):
            kind, what = (Kind.MODULE, "module") if first[1] == "m" else (Kind.CODE, "piece of code")
            if len(first) > 2:
                target = first[2:]
            elif arguments:
                target, *arguments = arguments
            else:
                raise UsageError(f"option {first!r} needs a {what}", again)
            return Run(kind, target, arguments, debug, legacy, nested, watch)
        elif first == "--" and arguments:
            target, *arguments = arguments
            return Run(Kind.PATH, target, arguments, debug, legacy, nested, watch)
        elif first == "-" or not first.startswith("-"):
            return Run(Kind.PATH, first, arguments, debug, legacy, nested, watch)
        else:
            raise UsageError(f"unknown option {first!r} of 'run'", again)
    raise UsageError("'run' needs a program: a file, '-m MODULE' or '-c CODE'", again)


def _seconds(given: str) -> float:
    """The threshold that an option --watch names; raises UsageError."""
    try:
        seconds = float(given) if given else 0.1
    except ValueError:
        seconds = 0.0
    if not 0.001 <= seconds <= 3600:
        raise UsageError(f"--watch takes 0.001 to 3600 seconds, not {given!r}", "epicycle run --help")
    return seconds


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

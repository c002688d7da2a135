"""The command ``epicycle``: ``run`` a program on Epicycle as it stands, ``doctor``, ``bench``, and ``top`` and its kin.

Only what a program needs is imported before it runs, so that its own imports stay as they are under ``python``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from . import usage

__all__ = ("main",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line (by default this process's own) and return its exit status.

    What a program run by it raises, SystemExit included, passes through, so that the interpreter ends as it
    would under ``python``.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command = usage.parse(given)
        if not isinstance(command, usage.Run):
            return _tell(command)
    except usage.UsageError as error:
        print(f"epicycle: {error}", file=sys.stderr)
        print(f"Try '{error.try_}' for more.", file=sys.stderr)
        return 2
    from . import program

    return program.run(command)


def _tell(command: usage.Say | usage.Doctor | usage.Bench | usage.Watch) -> int:
    """Print what was asked for; a reader who has seen enough (``| head``) is no error."""
    try:
        if isinstance(command, usage.Say):
            print(command.text())
            status = 0
        elif isinstance(command, usage.Bench):
            from ..bench import command as bench

            status = bench.run(command.arguments)
        elif isinstance(command, usage.Watch):
            from ..watching.outside import command as watching

            status = watching.run(command.command, command.arguments)
        else:
            from . import doctor

            status = doctor.main(as_json=command.as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at its end, into a pipe that nobody reads.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status

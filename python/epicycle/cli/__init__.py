"""The command ``epicycle``: ``run`` a program on Epicycle as it stands, and ``doctor``.

Only what a program needs is imported before it runs, so that its own imports stay as they are under ``python``.
"""

from __future__ import annotations

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
    except usage.UsageError as error:
        print(f"epicycle: {error}", file=sys.stderr)
        print(f"Try '{error.try_}' for more.", file=sys.stderr)
        return 2
    if isinstance(command, usage.Say):
        print(command.text())
        return 0
    if isinstance(command, usage.Doctor):
        from . import doctor

        return doctor.main(as_json=command.as_json)
    from . import program

    return program.run(command)

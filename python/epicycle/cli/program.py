"""Run a program on Epicycle, in this process, as ``python`` would run it."""

from __future__ import annotations

import sys

from . import children, main_module, tracebacks, usage

__all__ = ("run",)


def run(command: usage.Run) -> int:
    """Run the program to its end and return 0; what it raises passes through to the interpreter.

    Returns 2 where the program's file cannot be opened, as ``python`` does, and 1 where Epicycle cannot be loaded.
    """
    try:
        children.enter(children.Mode(command.debug, command.legacy, command.nested, command.watch))
    except ImportError as error:
        print(f"epicycle: the event loop cannot be loaded: {error}", file=sys.stderr)
        print("Try 'epicycle doctor' for more.", file=sys.stderr)
        return 1
    try:
        start = main_module.prepare(command.kind, command.target, command.arguments)
    except main_module.CannotOpen as error:
        print(f"epicycle: {error}", file=sys.stderr)
        return 2
    try:
        start()
    except BaseException:
        tracebacks.show_from(start.__code__)
        raise
    return 0

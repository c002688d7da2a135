"""The mode a program runs in, in its first process and in those that multiprocessing starts.

A forked child has it already. For the spawn and forkserver methods multiprocessing starts an interpreter with
``-c CODE``; a few words before that code have it enter the same mode before anything of the program is imported.
Nothing is put into the environment, so programs that the program starts are not touched.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .. import _watching_wanted
from .._installing import activate, installed
from .._when_imported import when_imported

__all__ = ("Mode", "enter", "join")


@dataclass(frozen=True)
class Mode:
    """``debug``: loops that asyncio makes start in debug mode; ``legacy``: old programs' ways are revived; ``nested``:
    those loops, and ``asyncio.run``, may be run from within a run; ``watch``: loops that do not get on for so many
    seconds are reported."""

    debug: bool = False
    legacy: bool = False
    nested: bool = False
    watch: float | None = None


def enter(mode: Mode) -> None:
    """Put this process, and the children that multiprocessing will start, into ``mode``.

    Raises ImportError where the event loop cannot be loaded.
    """
    if mode.watch is not None:
        _watching_wanted.want(mode.watch)
    if mode.legacy:
        _enter_legacy(mode)
    else:
        activate(debug=mode.debug, nested=mode.nested)
    when_imported("multiprocessing.util", functools.partial(_start_children_in, mode=mode))


def join(
    directory: str, debug: bool, legacy: bool, nested: bool, watch: float | None, said: Sequence[str]
) -> None:
    """The first call in a child process that multiprocessing started afresh.

    ``directory`` is what the child put at the end of its search path to find this package; ``said`` names the
    revivals that the parent has already spoken of.
    """
    if sys.path and sys.path[-1] == directory:
        sys.path.pop()
    if legacy:
        from ..legacy import notices

        notices.already_said(said)
    enter(Mode(debug, legacy, nested, watch))


def _enter_legacy(mode: Mode) -> None:
    from .. import legacy
    from .._installing import has_policies

    if has_policies():
        from ..legacy.policy import LegacyEventLoopPolicy

        activate(policy_type=LegacyEventLoopPolicy, debug=mode.debug, nested=mode.nested)
    else:
        activate(debug=mode.debug, nested=mode.nested)
    legacy.activate()


def _start_children_in(util: ModuleType, *, mode: Mode) -> None:
    original: Callable[..., Any] = util.spawnv_passfds

    @functools.wraps(original)
    def spawnv_passfds(path: str | bytes, args: Sequence[str | bytes], passfds: Sequence[int]) -> Any:
        return original(path, _with_join(path, args, mode), passfds)

    util.spawnv_passfds = spawnv_passfds  # type: ignore[attr-defined]


def _with_join(path: str | bytes, args: Sequence[str | bytes], mode: Mode) -> Sequence[str | bytes]:
    """``args`` of a child interpreter with our words before its code.

    Left as they are where the child runs another interpreter, does not run the program's code (the resource
    tracker), or where the program has chosen another loop since.
    """
    plain = [os.fsdecode(argument) for argument in args]
    if os.fsdecode(path) != sys.executable or "-c" not in plain or not installed():
        return args
    at = plain.index("-c") + 1
    if at >= len(plain) or "multiprocessing.resource_tracker" in plain[at]:
        return args
    return [*args[:at], _words(mode) + plain[at], *args[at + 1 :]]


def _words(mode: Mode) -> str:
    # __file__ is python/epicycle/cli/children.py; the directory that holds the package goes at the very end of the
    # path, for the case that the package was not found by way of the installation or PYTHONPATH.
    directory = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    said: tuple[str, ...] = ()
    if mode.legacy:
        from ..legacy import notices

        said = tuple(sorted(notices.said()))
    return (
        f"import sys; sys.path.append({directory!r}); from epicycle.cli.children import join; "
        f"join({directory!r}, {mode.debug!r}, {mode.legacy!r}, {mode.nested!r}, {mode.watch!r}, {said!r}); "
    )

"""Say once what the modern form of an old one is, with the line of the program that uses it."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from asyncio import events
from collections.abc import Iterable
from types import FrameType
from typing import Any, cast

__all__ = ("LegacyWarning", "already_said", "said", "say", "show_by_default")


class LegacyWarning(DeprecationWarning):
    """A program uses a form that Python has dropped and that ``epicycle run --legacy`` keeps alive.

    Shown by default, wherever the line is; filtered like every warning, by ``warnings`` or ``-W``.
    """


LegacyWarning.__module__ = "epicycle.legacy"

_lock = threading.Lock()
_said: set[str] = set()
# Frames of these do not belong to the program: the line to name is further out.
_inner = tuple(
    os.path.dirname(os.path.abspath(file)) + os.sep for file in (os.path.dirname(__file__), events.__file__)
)


def say(old: str, new: str) -> None:
    """Warn, the first time in this process, that ``old`` is written ``new`` today.

    Raises LegacyWarning itself where the filters turn it into an error.
    """
    with _lock:
        if old in _said:
            return
        _said.add(old)
    frame = _programs_frame(sys._getframe(1))
    text = f"{old} belongs to older Pythons; today use {new}"
    if frame is None:
        warnings.warn(text, LegacyWarning, stacklevel=1)
        return
    # The registry is not passed on: being said once is seen to above, whatever the filter says.
    warnings.warn_explicit(
        text,
        LegacyWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=frame.f_globals.get("__name__") or "<unknown>",
    )


def said() -> frozenset[str]:
    """What has been said in this process."""
    with _lock:
        return frozenset(_said)


def already_said(old: Iterable[str]) -> None:
    """Do not say these in this process: its parent has."""
    with _lock:
        _said.update(old)


def show_by_default() -> None:
    """Let LegacyWarning through, except where the user's own ``-W`` or ``PYTHONWARNINGS`` say otherwise."""
    warnings.simplefilter("default", LegacyWarning)
    # The user's filters go before ours again. There is no public way to read them back.
    reapply = cast(Any, getattr(warnings, "_processoptions", None))
    if sys.warnoptions and reapply is not None:
        reapply(sys.warnoptions)


def _programs_frame(frame: FrameType | None) -> FrameType | None:
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_inner) and not file.startswith("<frozen "):
            return frame
        frame = frame.f_back
    return None

"""Ctrl-C only where a measurement waits: never while a process is started or ended, which would leave one behind."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ("Interrupts",)


class Interrupts:
    """SIGINT for as long as the block lasts: kept until the program waits, then raised there as KeyboardInterrupt.

    Where Python would not raise it (another thread than the main one, a handler of somebody else's), nothing changes.
    """

    def __init__(self) -> None:
        self._came = False
        self._welcome = False
        self._ours = False

    def __enter__(self) -> Interrupts:
        main = threading.current_thread() is threading.main_thread()
        self._ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._came:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def welcome(self) -> Iterator[None]:
        """A block that may be left at any point by KeyboardInterrupt, at once if one came before."""
        self._welcome = True
        try:
            if self._came:
                raise KeyboardInterrupt
            yield
        finally:
            self._welcome = False

    def _note(self, signal_number: int, frame: FrameType | None) -> None:
        self._came = True
        if self._welcome:
            # Once: what it interrupts has processes to end.
            self._welcome = False
            raise KeyboardInterrupt

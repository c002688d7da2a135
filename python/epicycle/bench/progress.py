"""How far the benchmark is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

__all__ = ("Progress",)

WIDTH = 28
# Without a terminal a line is written each time so much more of the whole is done.
STEP = 0.1
PARTS = " ▏▎▍▌▋▊▉█"


class Progress:
    """Counts ``total`` steps on ``stream``."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._total = total
        self._done = 0
        self._begin = time.monotonic()
        self._terminal = stream.isatty()
        self._next_line = 0.0

    def step(self, what: str) -> None:
        """Say that ``what`` begins now, and so that what came before it is done."""
        share = self._done / self._total
        if self._terminal:
            text = f"{self._bar(share)} {share:4.0%}{self._left(share)}  {what}"
            columns = shutil.get_terminal_size().columns
            self._write("\r\x1b[K" + text[: columns - 1])
        elif share >= self._next_line:
            self._write(f"{share:4.0%}{self._left(share)}: {what}\n")
            self._next_line = share + STEP
        self._done += 1

    def end(self) -> None:
        """Take the bar away."""
        if self._terminal:
            self._write("\r\x1b[K")

    def _left(self, share: float) -> str:
        passed = time.monotonic() - self._begin
        # The first few processes say little of the rest.
        if self._done < 3:
            return ""
        return f", {passed / share - passed:.0f} s left"

    def _bar(self, share: float) -> str:
        try:
            PARTS.encode(self._stream.encoding or "ascii")
        except UnicodeEncodeError:
            return f"[{'#' * round(share * WIDTH):{WIDTH}}]"
        eighths = round(share * WIDTH * 8)
        full = "█" * (eighths // 8)
        return f"▕{full + PARTS[eighths % 8] if eighths < WIDTH * 8 else full:{WIDTH}}▏"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

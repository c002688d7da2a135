"""Where the records go: a file of JSON lines that is there whole, or as it was before.

The lines are gathered in a file beside the one that is wanted, which takes its name once everything is on the disk.
A pipe or a device has no name to take: it is written as the lines come.
"""

import json
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class OutputFailed(Exception):
    """The records could not be written; the text is fit to be shown."""


class Output:
    """The records' way to `path`, or to standard output for `-`. All methods block, and any thread may call them."""

    def __init__(self, path: str) -> None:
        self.name = "standard output" if path == "-" else path
        self.standard = path == "-"
        # One writer at a time; and what is discarded is not written to any more.
        self._lock = threading.Lock()
        self._part: Path | None = None
        self._target = Path(os.path.realpath(path))
        try:
            if self.standard:
                self._fd = os.dup(sys.stdout.fileno())
            elif self._target.exists() and not self._target.is_file():
                self._fd = os.open(self._target, os.O_WRONLY)
            else:
                part = self._target.with_name(f".{self._target.name}.{os.getpid()}.part")
                self._fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
                self._part = part
        except OSError as error:
            raise self._failed(error) from error

    def write(self, records: Iterable[dict[str, Any]]) -> None:
        """Write each record as a line."""
        left = memoryview(b"".join(json.dumps(record).encode() + b"\n" for record in records))
        with self._lock:
            try:
                while left and self._fd >= 0:
                    left = left[os.write(self._fd, left) :]
            except OSError as error:
                raise self._failed(error) from error

    def commit(self) -> None:
        """Make the file appear under its name, whole and on the disk."""
        with self._lock:
            try:
                if self._part is not None:
                    os.fsync(self._fd)
                    os.replace(self._part, self._target)
                    self._part = None
            except OSError as error:
                raise self._failed(error) from error

    def close(self) -> None:
        """Let go of everything; what was not committed is gone."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            if self._part is not None:
                self._part.unlink(missing_ok=True)
                self._part = None

    def _failed(self, error: OSError) -> OutputFailed:
        return OutputFailed(f"cannot write {self.name}: {error.strerror or error}")

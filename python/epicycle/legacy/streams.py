"""``loop=`` of the functions that open streams and start subprocesses (gone in 3.10)."""

from __future__ import annotations

import asyncio
from asyncio import streams, subprocess

from .waiting import drop_loop, replace

__all__ = ("revive",)


def revive() -> None:
    for name in ("open_connection", "start_server", "open_unix_connection", "start_unix_server"):
        if hasattr(streams, name):
            replace(drop_loop(getattr(streams, name)), asyncio, streams)
    for name in ("create_subprocess_exec", "create_subprocess_shell"):
        replace(drop_loop(getattr(subprocess, name)), asyncio, subprocess)

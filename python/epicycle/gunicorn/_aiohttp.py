"""aiohttp's worker of gunicorn, on an Epicycle loop."""

from __future__ import annotations

from aiohttp.worker import GunicornWebWorker

from .._installing import install

__all__ = ("AiohttpWorker",)


class AiohttpWorker(GunicornWebWorker):
    """``aiohttp.worker.GunicornWebWorker`` in a process where asyncio makes Epicycle loops.

    gunicorn calls ``init_process`` once the worker has been forked, so its first process stays as it was.
    """

    def init_process(self) -> None:
        install()
        super().init_process()

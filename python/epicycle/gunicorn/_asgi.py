"""gunicorn's own ASGI worker, on an Epicycle loop."""

from __future__ import annotations

from gunicorn.workers.gasgi import ASGIWorker

from .._installing import install

__all__ = ("AsgiWorker",)


class AsgiWorker(ASGIWorker):
    """``gunicorn.workers.gasgi.ASGIWorker`` in a process where asyncio makes Epicycle loops.

    The setting ``asgi_loop``, which knows asyncio and uvloop only, counts as ``asyncio`` here: choosing this class
    is choosing the loop.
    """

    def init_process(self) -> None:
        install()
        self.cfg.set("asgi_loop", "asyncio")
        super().init_process()

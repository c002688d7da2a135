"""uvicorn as a worker of gunicorn, on an Epicycle loop."""

from __future__ import annotations

from typing import Any, ClassVar

import uvicorn_worker

__all__ = ("UvicornH11Worker", "UvicornWorker")

_LOOP = "epicycle:new_event_loop"


class UvicornWorker(uvicorn_worker.UvicornWorker):
    """``uvicorn_worker.UvicornWorker``, except that uvicorn is given Epicycle's loop factory."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {**uvicorn_worker.UvicornWorker.CONFIG_KWARGS, "loop": _LOOP}


class UvicornH11Worker(uvicorn_worker.UvicornH11Worker):
    """``uvicorn_worker.UvicornH11Worker``, HTTP in pure Python, with Epicycle's loop factory."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {**uvicorn_worker.UvicornH11Worker.CONFIG_KWARGS, "loop": _LOOP}

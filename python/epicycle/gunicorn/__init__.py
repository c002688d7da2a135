"""Worker classes with which gunicorn's workers run on Epicycle.

``gunicorn -k epicycle.gunicorn.NAME MODULE:APP``, where NAME is one of:

* ``UvicornWorker``, ``UvicornH11Worker``: an ASGI application by way of uvicorn (the package uvicorn-worker);
* ``AiohttpWorker``: an ``aiohttp.web`` application (the package aiohttp);
* ``AsgiWorker``: an ASGI application by gunicorn's own means (gunicorn 24 or newer).

A class is loaded when it is first asked for, and with it the package that it needs: Epicycle itself needs none
of them. Where that package is missing, asking raises ImportError with what to install.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._aiohttp import AiohttpWorker as AiohttpWorker
    from ._asgi import AsgiWorker as AsgiWorker
    from ._uvicorn import UvicornH11Worker as UvicornH11Worker
    from ._uvicorn import UvicornWorker as UvicornWorker

__all__ = ("AiohttpWorker", "AsgiWorker", "UvicornH11Worker", "UvicornWorker")

# Each class with the module here that defines it, and what pip has to install for it.
_HOMES = {
    "AiohttpWorker": ("_aiohttp", "gunicorn aiohttp"),
    "AsgiWorker": ("_asgi", "'gunicorn>=24'"),
    "UvicornH11Worker": ("_uvicorn", "gunicorn uvicorn-worker 'uvicorn>=0.36'"),
    "UvicornWorker": ("_uvicorn", "gunicorn uvicorn-worker 'uvicorn>=0.36'"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, packages = _HOMES[name]
    try:
        value: object = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    except ImportError as error:
        raise ImportError(f"{__name__}.{name}: {error}; try: pip install {packages}") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

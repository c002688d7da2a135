"""The version of the package that is running."""

from __future__ import annotations

from importlib import import_module, metadata


def _find_version() -> str:
    """The installed distribution's version, or the compiled module's where the package runs from its sources."""
    try:
        return metadata.version("epicycle")
    except metadata.PackageNotFoundError:
        pass
    try:
        return str(import_module("epicycle._epicycle").build_facts()["version"])
    except (ImportError, AttributeError, KeyError):
        return "0+unknown"


version = _find_version()

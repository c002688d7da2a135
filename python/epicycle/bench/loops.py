"""The loops that can be compared: a name gives a factory; a debug build of Epicycle is refused."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable

__all__ = ("KNOWN", "DebugBuild", "Unusable", "factory", "is_epicycle", "refuse_debug", "version")

KNOWN = ("asyncio", "uvloop", "rloop", "epicycle")


class Unusable(Exception):
    """A loop that cannot be measured, and why."""


class DebugBuild(Unusable):
    """An Epicycle that was built without optimisation."""


def factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The factory that ``name`` stands for.

    ``asyncio`` is the standard selector loop, ``MODULE:CALLABLE`` anything, and any other NAME means
    ``NAME.new_event_loop``. Raises Unusable where there is none.
    """
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    module, _, attribute = name.partition(":")
    try:
        found: Callable[[], asyncio.AbstractEventLoop] = getattr(
            importlib.import_module(module), attribute or "new_event_loop"
        )
    except ModuleNotFoundError as error:
        if error.name == module:
            raise Unusable(f"the loop {name!r} is not installed here") from error
        raise Unusable(f"the loop {name!r} cannot be loaded: {error}") from error
    except (ImportError, AttributeError, ValueError) as error:
        raise Unusable(f"the loop {name!r} cannot be loaded: {error}") from error
    return found


def version(name: str) -> str:
    """What is measured under ``name``, for the head of the table."""
    if name == "asyncio":
        return "of this Python"
    module = importlib.import_module(name.partition(":")[0])
    return str(getattr(module, "__version__", "of no known version"))


def is_epicycle(name: str) -> bool:
    """Whether ``name`` stands for a loop of this package."""
    return name.partition(":")[0] == "epicycle"


def refuse_debug(name: str) -> None:
    """Raise DebugBuild for an Epicycle that was built without optimisation, Unusable for one not built at all."""
    if not is_epicycle(name):
        return
    try:
        build = importlib.import_module("epicycle._epicycle").build_facts()
    except ImportError as error:
        raise Unusable(f"the compiled module epicycle._epicycle cannot be loaded: {error}") from error
    if not build["optimised"]:
        raise DebugBuild(
            "this is a debug build of Epicycle, and its speed says nothing: install a wheel, or build a release "
            "('pip install .', 'make wheel')"
        )

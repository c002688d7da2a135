"""The loops that can be compared: a name gives a factory; a debug build of Epicycle is refused."""

import asyncio
import importlib
from collections.abc import Callable

KNOWN = ("asyncio", "uvloop", "rloop", "epicycle")


class Unusable(Exception):
    """A loop that cannot be measured, and why."""


def factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The factory that `name` stands for.

    `asyncio` is the standard selector loop, `MODULE:CALLABLE` anything, and any other NAME means
    `NAME.new_event_loop`. Raises Unusable where there is none.
    """
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    module, _, attribute = name.partition(":")
    try:
        found: Callable[[], asyncio.AbstractEventLoop] = getattr(
            importlib.import_module(module), attribute or "new_event_loop"
        )
    except (ImportError, AttributeError) as error:
        raise Unusable(f"{name}: {error}") from error
    return found


def version(name: str) -> str:
    """What is measured under `name`, for the head of the table."""
    if name == "asyncio":
        return "of this interpreter"
    module = importlib.import_module(name.partition(":")[0])
    return str(getattr(module, "__version__", "of no known version"))


def refuse_debug(name: str) -> None:
    """Raise Unusable if `name` is an Epicycle that was built without optimisation."""
    if name.partition(":")[0] != "epicycle":
        return
    try:
        facts = importlib.import_module("epicycle._epicycle").build_facts()
    except ImportError as error:
        raise Unusable(f"{name}: the extension is not built ({error})") from error
    if facts["profile"] == "debug":
        raise Unusable(f"{name}: a debug build says nothing about speed; `make bench` builds a release")

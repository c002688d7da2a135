"""``inspect.getargspec`` and ``inspect.formatargspec`` (gone in 3.11)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .attributes import revive_attribute

__all__ = ("ArgSpec", "formatargspec", "getargspec", "revive")


class ArgSpec(NamedTuple):
    """A function's arguments, as Python 2 had them."""

    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple[Any, ...] | None


def getargspec(func: Callable[..., Any]) -> ArgSpec:
    """The names and default values of a function's arguments.

    Raises ValueError for a function with keyword-only arguments or annotations, which have no place in the result.
    """
    full = inspect.getfullargspec(func)
    if full.kwonlyargs or full.annotations:
        raise ValueError(
            "Function has keyword-only parameters or annotations, "
            "use inspect.signature() API which can support them"
        )
    return ArgSpec(full.args, full.varargs, full.varkw, full.defaults)


def formatargspec(
    args: Sequence[str],
    varargs: str | None = None,
    varkw: str | None = None,
    defaults: Sequence[Any] | None = None,
    kwonlyargs: Sequence[str] = (),
    kwonlydefaults: Mapping[str, Any] | None = None,
    annotations: Mapping[str, Any] | None = None,
    formatarg: Callable[[str], str] = str,
    formatvarargs: Callable[[str], str] = lambda name: "*" + name,
    formatvarkw: Callable[[str], str] = lambda name: "**" + name,
    formatvalue: Callable[[Any], str] = lambda value: "=" + repr(value),
    formatreturns: Callable[[str], str] = lambda text: " -> " + text,
    formatannotation: Callable[[Any], str] = inspect.formatannotation,
) -> str:
    """The text of a function's arguments, from the values that ``getargspec`` or ``getfullargspec`` returns."""
    notes = annotations or {}

    def with_note(name: str) -> str:
        text = formatarg(name)
        return f"{text}: {formatannotation(notes[name])}" if name in notes else text

    given = list(defaults or ())
    first_default = len(args) - len(given)
    parts = [
        with_note(name) + (formatvalue(given[at - first_default]) if at >= first_default else "")
        for at, name in enumerate(args)
    ]
    if varargs is not None:
        parts.append(formatvarargs(with_note(varargs)))
    elif kwonlyargs:
        parts.append("*")
    for name in kwonlyargs:
        has_default = kwonlydefaults is not None and name in kwonlydefaults
        parts.append(with_note(name) + (formatvalue((kwonlydefaults or {})[name]) if has_default else ""))
    if varkw is not None:
        parts.append(formatvarkw(with_note(varkw)))
    text = f"({', '.join(parts)})"
    return text + formatreturns(formatannotation(notes["return"])) if "return" in notes else text


def revive() -> None:
    revive_attribute("inspect", "ArgSpec", lambda: ArgSpec, "inspect.FullArgSpec")
    revive_attribute(
        "inspect", "getargspec", lambda: getargspec, "inspect.signature() or inspect.getfullargspec()"
    )
    revive_attribute("inspect", "formatargspec", lambda: formatargspec, "str(inspect.signature(...))")

"""A case of bad input, and how the cases for wrong types are written: every argument in turn, many odd values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """One call that should not be made."""

    method: str
    """Of the loop, or `Class.method` of what the loop makes."""
    what: str
    """What is wrong with the call."""
    attempt: Callable[[Any], Any]
    """Makes the call with things of the stage.  Returns its result, or a coroutine."""
    place: str = "running"
    """Where: see `stage.PLACES`."""

    def __str__(self) -> str:
        place = "" if self.place == "running" else f", {self.place}"
        return f"{self.method}: {self.what}{place}"


ODD = {
    "None": None,
    "an object": object,
    "a word": "word",
    "bytes": b"bytes",
    "a negative number": -1,
    "a fraction": 1.5,
    "a huge number": 1 << 80,
    "a list": [],
    "a tuple of three": (1, 2, 3),
    "a type": int,
}


def odd(name):
    value = ODD[name]
    return value() if name == "an object" else value


def wrong_types(method, arguments, *, on=None, leave_out=(), place="running"):
    """A case for every argument and every odd value, the other arguments being right.

    `arguments(stage)` returns the right ones, as (args, kwargs), or is a coroutine function that does.  `on` names what
    the method is called on, as a method of the stage that makes it; the loop if None.  `leave_out` holds names and
    positions of arguments that may be anything, and pairs (argument, odd value) that are right as well.
    """
    cases = []
    for where in arguments.names:
        for kind in ODD:
            if where in leave_out or (where, kind) in leave_out:
                continue
            cases.append(
                Case(method, f"{where} is {kind}", _Replaced(method, arguments, where, kind, on), place)
            )
    return cases


class Arguments:
    """The right arguments of a call: positional ones by their names, keyword ones, each made from the stage."""

    def __init__(self, *positional, **keyword):
        self.positional = positional
        self.keyword = keyword
        self.names = [name for name, _ in positional] + list(keyword)

    def made(self, stage, replaced=None, kind=None):
        def make(name, maker):
            return odd(kind) if name == replaced else maker(stage)

        args = [make(name, maker) for name, maker in self.positional]
        return args, {name: make(name, maker) for name, maker in self.keyword.items()}


@dataclass(frozen=True)
class _Replaced:
    """Calls a method with one argument replaced by an odd value."""

    method: str
    arguments: Arguments
    where: str
    kind: str
    on: str | None

    def __call__(self, stage):
        if self.on is not None:
            return self.on_made(stage)
        args, kwargs = self.arguments.made(stage, self.where, self.kind)
        return getattr(stage.loop, self.method)(*args, **kwargs)

    async def on_made(self, stage):
        subject = await getattr(stage, self.on)()
        args, kwargs = self.arguments.made(stage, self.where, self.kind)
        result = getattr(subject, self.method.rpartition(".")[2])(*args, **kwargs)
        return await result if hasattr(result, "__await__") else result

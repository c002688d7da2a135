"""What a task waits for, told from its chain of coroutines and from the future at the end of it.

Tasks whose chains run through the same code wait in the same way, so what can be told from code alone is told once: the
`Shape`.  The rest is read from each task's own variables.
"""

from __future__ import annotations

import asyncio
from types import CodeType, FrameType
from typing import Any

from epicycle.watching.inside import chains, entered, jobs
from epicycle.watching.inside.encoding import encode
from epicycle.watching.inside.kinds import (
    KNOWN,
    OUTER,
    Details,
    Known,
    Seen,
    View,
    children_details,
    job_details,
)
from epicycle.watching.inside.tasks import attribute, is_done, is_future, is_task

_SHAPES = 4096
_PLACES = 64
_Gathering: Any = asyncio.tasks._GatheringFuture  # type: ignore[attr-defined]


class Place:
    """Where a task stands: its stack, and the innermost frame of the user's code in it."""

    __slots__ = ("file", "line", "stack")

    def __init__(self, frames: list[FrameType], shape: Shape) -> None:
        self.file, self.line = shape.file, shape.line
        if frames:
            users = [frame for frame in frames if chains.is_users(frame.f_code)]
            innermost = (users or frames)[-1]
            self.file, self.line = innermost.f_code.co_filename, innermost.f_lineno or 0
        # JSON: the same for very many tasks.
        self.stack = encode(chains.stack(frames))


class Shape:
    """What all tasks have in common whose chains run through the same code."""

    __slots__ = ("_codes", "_places", "at", "coroutine", "entering", "file", "known", "line", "verb", "where")

    def __init__(self, links: chains.Links, codes: list[CodeType], coroutine: Any) -> None:
        # Keeps their `id`s from being given to others.
        self._codes = codes
        self._places: dict[tuple[int, ...], Place] = {}
        # Which links may be inside of an `async with`.
        self.entering = [index for index, code in enumerate(codes) if entered.enters(code)]
        frames = [chains.frame_of(link) for link in links]
        if links:
            self.coroutine = chains.full_name(frames[0], codes[0])
        else:
            self.coroutine = chains.type_name(type(coroutine))
        self.file = codes[0].co_filename if codes else ""
        self.line = codes[0].co_firstlineno if codes else 0
        # The innermost function, and where the library's own begin.
        self.where = chains.full_name(frames[-1], codes[-1]) if links else self.coroutine
        self.known: Known | None = None
        self.at = -1
        self.verb = ""
        best = ""
        for index in range(len(links) - 1, -1, -1):
            code = codes[index]
            if not chains.is_asyncios(code):
                break
            name = chains.full_name(frames[index], code)
            if name in KNOWN and (self.known is None or name in OUTER) and not self._passes(name, index):
                self.known, self.at, best = KNOWN[name], index, name
            self.verb = ".".join(code.co_qualname.split(".")[-2:])
        if best.startswith("epicycle."):
            # Methods of the loop, whichever part of it they are in.
            self.verb = self.verb.rpartition(".")[2] if not self.verb.startswith("Server.") else self.verb

    def _passes(self, name: str, index: int) -> bool:
        """`wait_for` that awaits a coroutine itself is no more than a time limit."""
        return name == "asyncio.tasks.wait_for" and index != len(self._codes) - 1

    def place(self, links: chains.Links) -> Place:
        """Where a suspended chain of this shape stands."""
        key = chains.lasts(links)
        place = self._places.get(key)
        if place is None:
            place = Place(chains.frames_of(links), self)
            # Unless it has moved meanwhile.
            if chains.lasts(links) == key:
                if len(self._places) >= _PLACES:
                    self._places.clear()
                self._places[key] = place
        return place

    def group(self, future: Any) -> str:
        """What the tasks of a group wait for, in words that fit all of them."""
        if self.known is not None:
            return self.known.text or self.verb
        if future is None:
            return "ready"
        if is_task(future):
            return "task"
        if type(future) is _Gathering:
            return "gather"
        return f"a future in {self.where}"


class Shapes:
    """The shapes seen so far, by the code of their chains."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], Shape] = {}

    def of(self, links: chains.Links, coroutine: Any) -> Shape:
        """The shape of a chain; `coroutine` is what the task runs."""
        codes = [chains.code_of(link) for link in links]
        key = tuple(map(id, codes)) if codes else (0, id(type(coroutine)))
        shape = self._known.get(key)
        if shape is None:
            if len(self._known) >= _SHAPES:
                self._known.clear()
            shape = Shape(links, codes, coroutine)
            if codes:
                self._known[key] = shape
        return shape


def children(shape: Shape, links: chains.Links, future: Any, view: View) -> tuple[list[Any], bool]:
    """The tasks and futures that a suspended task waits for, and whether for all.  Held by the caller alone."""
    known = shape.known
    if known is not None:
        if known.children is None:
            return [], True
        seen = _seen(shape, links, future, view)
        return known.children(seen), seen.value("return_when") in (None, asyncio.ALL_COMPLETED)
    if is_task(future):
        return [future], True
    gathered = _gathered(future)
    if gathered is not None:
        return gathered, True
    inner = jobs.shielded(future)
    return ([inner] if is_future(inner) else []), True


def _gathered(future: Any) -> list[Any] | None:
    if type(future) is not _Gathering:
        return None
    # The instance's dictionary cannot be had, but nobody else's code is in the way.
    known: Any = getattr(future, "_children", None)
    return [child for child in known if is_future(child)] if type(known) in (list, tuple) else []


def _seen(shape: Shape, links: chains.Links, future: Any, view: View) -> Seen:
    link = links[shape.at] if 0 <= shape.at < len(links) else None
    return Seen(link, shape.verb, future, view)


def describe(shape: Shape, links: chains.Links, future: Any, view: View) -> Details:
    """What a suspended task waits for: `kind`, `text` and what else is known of it."""
    if future is None or is_done(future):
        return {"kind": "ready", "text": "its turn"}
    if shape.known is not None:
        details = {"kind": shape.known.kind} | shape.known.describe(_seen(shape, links, future, view))
    else:
        details = _of_future(shape, links, future, view)
    return _with_limit(details, shape, links, view)


def _of_future(shape: Shape, links: chains.Links, future: Any, view: View) -> Details:
    seen = _seen(shape, links, future, view)
    if is_task(future):
        return {"kind": "task"} | children_details("task", [future], seen)
    gathered = _gathered(future)
    if gathered is not None:
        return {"kind": "gather"} | children_details("gather", gathered, seen)
    inner = jobs.shielded(future)
    if is_future(inner):
        return {"kind": "task"} | children_details("shield", [inner], seen)
    if is_future(future) and view.job(future) is not None:
        return {"kind": "executor"} | job_details("", seen)
    if attribute(future, "_state") is None:
        return {"kind": "future", "text": f"{chains.type_name(type(future))} in {shape.where}"}
    if jobs.job_future(future) is not None:
        return {"kind": "future", "text": f"a future of another thread, in {shape.where}"}
    return {"kind": "future", "text": f"a future in {shape.where}"}


def _with_limit(details: Details, shape: Shape, links: chains.Links, view: View) -> Details:
    """Adds how long the time-out lets it wait that the task is inside of."""
    end = entered.deadline(links[index] for index in shape.entering) if shape.entering else None
    if end is None:
        return details
    left = round(end - view.now, 3)
    return details | {"limit": left, "text": f"{details['text']}, time-out in {left:.1f} s"}

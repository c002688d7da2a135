"""Text of another process on its way to a terminal: made harmless, measured and cut to fit.

Task names, file names and messages are whatever the watched program put there, so none of it may move the cursor,
change colours, turn the direction of writing or fill the screen.
"""

from __future__ import annotations

import unicodedata

__all__ = ("clean", "cut", "fit", "width")

# Nothing that is shown needs more; a name of a megabyte would otherwise be measured and cut at every refresh.
LONGEST = 400
# More marks on one letter than any script has only serve to paint over the lines above.
MOST_MARKS = 4


def clean(value: object, limit: int = LONGEST) -> str:
    """``value`` as one line of at most ``limit`` characters without anything that a terminal obeys.

    Control and format characters, line separators, lone surrogates and unassigned characters are written as escapes
    (``\\x1b``, ``\\u202e``). What is too long ends in an ellipsis.
    """
    text = value if type(value) is str else str(value)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    shown = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in ("Mn", "Me", "Mc"):
            marks += 1
            if marks > MOST_MARKS:
                continue
        else:
            marks = 0
        if category == "Zs":
            shown.append(" ")
        elif character.isprintable():
            shown.append(character)
        else:
            shown.append(_escape(character))
    return cut("".join(shown), limit)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def width(text: str) -> int:
    """The columns that cleaned ``text`` takes up on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, columns: int) -> str:
    """The beginning of ``text`` that fits into ``columns``, with an ellipsis where something is missing."""
    if width(text) <= columns:
        return text
    if columns < 1:
        return ""
    kept = []
    left = columns - 1
    for character in text:
        left -= _columns(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"


def fit(text: str, columns: int, right: bool = False) -> str:
    """``text`` in exactly ``columns``: cut, or filled with spaces behind it, or before it (``right``)."""
    text = cut(text, columns)
    filling = " " * (columns - width(text))
    return filling + text if right else text + filling

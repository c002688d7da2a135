"""A regular expression that backtracks: each letter more doubles the time that it takes to find no match.

It is native code that does not let go of the interpreter, so no other thread of the process can tell of it either. The
page can: `epicycle top` shows the line in `is_name` while it lasts, and the log has it once the interpreter is free.
"""

import re

from stage import letters_for, play

# Words with one space between them. That a space may be left out gives each word very many ways to be read.
BACKTRACKS = re.compile(r"(\w+\s?)+$")
# The same without a choice.
STRAIGHT = re.compile(r"\w+(\s\w+)*\s?$")


def name_of(letters: int) -> str:
    return "a" * letters + "!"


def is_name(text: str) -> bool:
    return BACKTRACKS.match(text) is not None


async def validate() -> None:
    is_name(name_of(LETTERS))


async def validate_cured() -> None:
    assert STRAIGHT.match(name_of(100_000)) is None
    assert STRAIGHT.match("Ada Lovelace")


if __name__ == "__main__":
    LETTERS = letters_for(lambda letters: is_name(name_of(letters)))
    play(validate, validate_cured)

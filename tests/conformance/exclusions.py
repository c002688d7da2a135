"""The list of tests that are not asked of Epicycle: reading it, and finding the entry of a test."""

from __future__ import annotations

import fnmatch
import operator
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

KINDS = {
    "private": "looks into the standard loop's private parts",
    "next": "waits for the next release",
}
UNRUN = {
    "hangs": "waits for ever where the feature is missing",
    "flaky": "passes only sometimes, on the standard loop as well",
    "elsewhere": "makes the standard loop's own classes, and no loop of ours",
    "same": "differs from another test only by the standard loop's selector",
}
_COMPARE = {">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt}
_CONDITION = re.compile(r"(>=|<=|==|>|<)\s*3\.(\d+)")


class ListError(ValueError):
    """The list of exclusions is not written as its README says."""


@dataclass(frozen=True)
class Entry:
    """One pattern of the list, with the kind, the reason and the Python versions it holds for."""

    pattern: str
    kind: str
    reason: str
    python: str = ""
    unrun: str = ""

    def matches(self, short_id: str) -> bool:
        """Whether the test is meant; short_id is the test's id without its package."""
        return fnmatch.fnmatchcase(short_id, self.pattern)

    def holds_for(self, version: tuple[int, int]) -> bool:
        """Whether the entry is valid for this version of Python, as (3, minor)."""
        return all(
            _COMPARE[sign](version, (3, int(minor))) for sign, minor in _CONDITION.findall(self.python)
        )


class Exclusions:
    """The entries that hold for one version of Python and for the kinds that are asked for."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    def find(self, short_id: str) -> Entry | None:
        """The first entry that means this test, one that forbids running it before the others."""
        found = [entry for entry in self.entries if entry.matches(short_id)]
        return next((entry for entry in found if entry.unrun), found[0] if found else None)


def read(
    path: Path,
    version: tuple[int, int] = sys.version_info[:2],
    kinds: frozenset[str] = frozenset(KINDS),
) -> Exclusions:
    """Read the list from a TOML file.

    Raises ListError where an entry lacks a field, has an unknown one, or a word that is not defined.
    """
    entries: list[Entry] = []
    for number, table in enumerate(tomllib.loads(path.read_text(encoding="utf-8")).get("exclude", []), 1):
        where = f"{path.name}, entry {number}"
        fields = dict(table)
        patterns = fields.pop("tests", None)
        if not isinstance(patterns, list) or not patterns:
            raise ListError(f"{where}: `tests` must be a list of patterns")
        unknown = set(fields) - {"kind", "reason", "python", "unrun"}
        if unknown:
            raise ListError(f"{where}: unknown field {', '.join(sorted(unknown))}")
        if fields.get("kind") not in KINDS:
            raise ListError(f"{where}: `kind` must be one of {', '.join(KINDS)}")
        if fields.get("unrun", "hangs") not in UNRUN:
            raise ListError(f"{where}: `unrun` must be one of {', '.join(UNRUN)}")
        if not fields.get("reason", "").strip():
            raise ListError(f"{where}: `reason` is missing")
        python = fields.get("python", "")
        if _CONDITION.sub("", python).strip(" ,"):
            raise ListError(f"{where}: `python` must be like '>=3.12,<3.14', not {python!r}")
        for pattern in patterns:
            entry = Entry(pattern, **fields)
            if entry.kind in kinds and entry.holds_for(version):
                entries.append(entry)
    return Exclusions(entries)

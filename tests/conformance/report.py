"""What a run comes to: its tables, its lists and its closing line."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from drive import ModuleRun, Result, last_line
from exclusions import KINDS, Entry


@dataclass
class Report:
    """The results of a run, told apart into those that count and those that the list excludes."""

    runs: list[ModuleRun]
    judged: bool
    forgiven: set[str] = field(default_factory=set)
    unmatched: list[Entry] = field(default_factory=list)

    def results(self) -> list[Result]:
        return [result for run in self.runs for result in run.results.values()]

    def state(self, result: Result) -> str:
        """passed, failed, skipped, or the kind of the entry that excludes the test."""
        if result.entry is not None and result.outcome != "skipped":
            return result.entry["kind"]
        if result.id in self.forgiven:
            return "skipped"
        return "failed" if result.bad else result.outcome

    def failures(self) -> list[Result]:
        return [result for result in self.results() if self.state(result) == "failed"]

    def stale(self) -> list[Result]:
        """Listed tests that passed. Only a run of the whole list against its own loop can tell."""
        if not self.judged:
            return []
        return [r for r in self.results() if r.entry and not r.entry["unrun"] and r.outcome == "passed"]

    def totals(self) -> Counter[str]:
        return Counter(self.state(result) for result in self.results())

    def table(self) -> str:
        columns = ("passed", "failed", "skipped", *KINDS)
        width = max([len(run.name) for run in self.runs] + [6])
        head = (
            f"{'module':{width}}" + "".join(f"{name:>9}" for name in columns) + f"{'on it':>9}{'seconds':>9}"
        )
        lines = [head, "-" * len(head)]
        for run in sorted(self.runs, key=lambda run: run.name):
            count = Counter(self.state(result) for result in run.results.values())
            lines.append(f"{run.name:{width}}" + self._cells(count, columns, self._on_it(run), run.seconds))
        on_it = sum(self._on_it(run) for run in self.runs)
        seconds = sum(run.seconds for run in self.runs)
        lines += ["-" * len(head), f"{'total':{width}}" + self._cells(self.totals(), columns, on_it, seconds)]
        return "\n".join(lines)

    def _on_it(self, run: ModuleRun) -> int:
        """Passed tests that made a loop under test: the others are about asyncio's own parts."""
        return sum(1 for r in run.results.values() if self.state(r) == "passed" and r.loops)

    @staticmethod
    def _cells(count: Counter[str], columns: tuple[str, ...], on_it: int, seconds: float) -> str:
        return "".join(f"{count[name] or '·':>9}" for name in columns) + f"{on_it or '·':>9}{seconds:9.1f}"

    def text(self, verbose: bool) -> str:
        """Everything the user is told, the closing line last."""
        parts = [self.table()]
        for kind, meaning in KINDS.items():
            excluded = [result for result in self.results() if self.state(result) == kind]
            if excluded:
                parts.append(
                    f"Excluded, {kind} ({meaning}): {len(excluded)}\n{self._by_reason(excluded, verbose)}"
                )
        forgiven = [result for result in self.results() if result.id in self.forgiven]
        if forgiven:
            parts.append("Skipped, for the standard loop fails them here too:\n" + _lines(forgiven))
        if self.failures():
            details = _whole if verbose else _lines
            parts.append("Failed:\n" + details(self.failures()))
        if self.stale():
            parts.append("Listed as excluded, and pass (stale entries):\n" + _lines(self.stale()))
        if self.unmatched:
            lines = "\n".join(f"  {entry.pattern}" for entry in self.unmatched)
            parts.append("Patterns that mean no test of this interpreter (stale entries):\n" + lines)
        totals = self.totals()
        parts.append(
            f"conformance: {totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped"
        )
        return "\n\n".join(parts)

    @staticmethod
    def _by_reason(excluded: list[Result], verbose: bool) -> str:
        reasons: dict[str, list[Result]] = {}
        for result in excluded:
            reasons.setdefault((result.entry or {})["reason"], []).append(result)
        lines = []
        for reason, results in sorted(reasons.items(), key=lambda item: -len(item[1])):
            lines.append(f"  {len(results):4}  {reason}")
            if verbose:
                lines += [f"        {result.id}" for result in results]
        return "\n".join(lines)

    def write_json(self, path: Path, about: dict[str, str]) -> None:
        """Write every result, for other programs to read."""
        tests = [{**asdict(result), "state": self.state(result)} for result in self.results()]
        stale = [result.id for result in self.stale()] + [entry.pattern for entry in self.unmatched]
        whole = {**about, "totals": dict(self.totals()), "stale": stale, "tests": tests}
        path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def _lines(results: list[Result]) -> str:
    return "\n".join(
        f"  {result.outcome:8}{result.id}  {last_line(result.message)}".rstrip() for result in results
    )


def _whole(results: list[Result]) -> str:
    return "\n".join(f"  {r.outcome:8}{r.id}\n" + _indented(r.message) for r in results)


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.rstrip().splitlines())

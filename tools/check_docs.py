"""Check what the documents say against the project.

In every Markdown file each relative link leads to a file, each `make TARGET` is a target, each script of the
project that a command names exists, and each Python block runs: it is given to `epicycle run` and has to end by
itself with status 0. A block that serves forever, or shows a fragment, is fenced as ```python no-run and only
has to compile.
"""

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")
MAKE = re.compile(r"^(?:\$ )?make\b(.*)")
SCRIPT = re.compile(r"\b((?:examples|benches|tests|tools)/[\w./-]+\.(?:py|sh))\b")
SHELL = {"sh", "shell", "bash", "console", ""}
SECONDS = 30


@dataclasses.dataclass
class Tally:
    """How many statements held and which did not."""

    passed: int = 0
    failed: int = 0

    def note(self, held: bool, file: Path, complaint: str) -> None:
        if held:
            self.passed += 1
        else:
            self.failed += 1
            print(f"{file.relative_to(ROOT)}: {complaint}")


def documents() -> list[Path]:
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith((".", "target"))]
        found += [Path(folder, name) for name in files if name.endswith(".md")]
    return sorted(found)


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


def commands(text: str) -> Iterator[str]:
    """Every line of a shell block and every inline code span."""
    for info, body in FENCE.findall(text):
        if info.strip() in SHELL:
            yield from (line.strip() for line in body.splitlines())
    yield from INLINE.findall(FENCE.sub("", text))


def check_commands(file: Path, text: str, targets: set[str], tally: Tally) -> None:
    for command in commands(text):
        made = MAKE.match(command)
        if made:
            words = re.sub(r"\"[^\"]*\"|'[^']*'", "_", made[1].split("#")[0]).split()
            for word in words:
                if re.fullmatch(r"[a-z][a-z-]*", word):
                    tally.note(word in targets, file, f"`make {word}`: no such target")
        for script in SCRIPT.findall(command):
            tally.note((ROOT / script).is_file(), file, f"`{script}`: no such file")


def check_links(file: Path, text: str, tally: Tally) -> None:
    for target in LINK.findall(FENCE.sub("", text)):
        path = target.split("#")[0]
        if path and "://" not in path and not path.startswith("mailto:"):
            tally.note((file.parent / path).exists(), file, f"link to {path}: no such file")


def check_python(file: Path, text: str, tally: Tally) -> None:
    for info, body in FENCE.findall(text):
        words = info.split()
        if words[:1] != ["python"]:
            continue
        try:
            compile(body, str(file), "exec")
        except SyntaxError as error:
            tally.note(False, file, f"Python block: {error}")
            continue
        if "no-run" in words:
            tally.note(True, file, "")
        else:
            complaint = run_block(body)
            tally.note(complaint is None, file, f"Python block {body.strip().splitlines()[0]!r}: {complaint}")


def run_block(source: str) -> str | None:
    """Run `source` under `epicycle run`; what went wrong, or None."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "block.py")
        program.write_text(source, encoding="utf-8")
        try:
            run = subprocess.run(
                [sys.executable, "-m", "epicycle", "run", str(program)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"still running after {SECONDS} s"
    return None if run.returncode == 0 else f"status {run.returncode}\n{run.stdout}"


def main() -> int:
    """Check all documents; 1 if something in them is not so."""
    targets = make_targets()
    tally = Tally()
    for file in documents():
        text = file.read_text(encoding="utf-8")
        check_links(file, text, tally)
        check_commands(file, text, targets, tally)
        check_python(file, text, tally)
    print(f"docs: {tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())

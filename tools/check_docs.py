"""Check what the documents say against the project.

In every Markdown file each relative link leads to a file, each `make TARGET` is a target, each script of the
project that a command names exists, and each Python block runs: it is given to `epicycle run` and has to end by
itself with status 0. Where an ```output block follows directly, it prints exactly that.

A block that serves forever, or shows a fragment, is fenced as ```python no-run and only has to compile. One that
talks to a service is fenced as ```python service=redis. A block is skipped, and the last lines say so, where a package
that it imports is not installed or its service does not answer. Blocks of docs/zh, which are those of the pages
translated there (tests/documents looks at that), run with these.

The arguments are the documents to look at; without any, all of them.
"""

import ast
import dataclasses
import importlib.util
import os
import re
import socket
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
# A Python block, and what it prints where that follows.
PYTHON = re.compile(
    r"^```(python[^\n`]*)\n(.*?)^```[ ]*\n(?:\n```output\n(.*?)^```[ ]*$)?", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")
MAKE = re.compile(r"^(?:\$ )?make\b(.*)")
SCRIPT = re.compile(r"\b((?:examples|benches|tests|tools)/[\w./-]+\.(?:py|sh))\b")
SHELL = {"sh", "shell", "bash", "console", ""}
SECONDS = 60
TRANSLATIONS = ROOT / "docs" / "zh"
# Where a block finds its service: the variable that says so, and what holds without it.
SERVICES = {
    "redis": ("EPICYCLE_REDIS_URL", "redis://127.0.0.1:6379/0"),
    "mysql": ("EPICYCLE_MYSQL_URL", "mysql://root@127.0.0.1:3306/test"),
    "rabbitmq": ("EPICYCLE_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/"),
}


@dataclasses.dataclass
class Tally:
    """How many statements held, which did not, and which could not be tried here."""

    passed: int = 0
    failed: int = 0
    skipped: list[str] = dataclasses.field(default_factory=list)

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
    for info, body, printed in PYTHON.findall(text):
        words = info.split()
        try:
            tree = ast.parse(body, str(file))
        except SyntaxError as error:
            tally.note(False, file, f"Python block: {error}")
            continue
        if "no-run" in words[1:] or TRANSLATIONS in file.parents:
            tally.note(True, file, "")
        elif lacking := what_is_missing(tree, words[1:]):
            tally.skipped.append(f"{file.relative_to(ROOT)}: a Python block needs {lacking}")
        else:
            complaint = run_block(body, printed or None)
            tally.note(complaint is None, file, f"Python block {body.strip().splitlines()[0]!r}: {complaint}")


def what_is_missing(tree: ast.Module, words: list[str]) -> str | None:
    """The package or the service without which a block cannot run here, or None."""
    for node in ast.walk(tree):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            package = name.split(".")[0]
            if package and importlib.util.find_spec(package) is None:
                return f"the package {package} (requirements/ecosystem.in)"
    for word in words:
        if word.startswith("service="):
            variable, default = SERVICES[word.removeprefix("service=")]
            url = urllib.parse.urlsplit(os.environ.get(variable, default))
            try:
                socket.create_connection((url.hostname or "", url.port or 0), timeout=2).close()
            except OSError as error:
                return (
                    f"{word.removeprefix('service=')} at {url.hostname}:{url.port} ({error}); make services"
                )
    return None


def run_block(source: str, printed: str | None) -> str | None:
    """Run `source` under `epicycle run`; what went wrong, or None. With `printed` that is its whole output."""
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
    if run.returncode != 0:
        return f"status {run.returncode}\n{run.stdout}"
    if printed is not None and run.stdout != printed:
        return f"prints something else:\n{run.stdout}"
    return None


def main() -> int:
    """Check the documents; 1 if something in them is not so."""
    targets = make_targets()
    tally = Tally()
    for file in [Path(name).resolve() for name in sys.argv[1:]] or documents():
        text = file.read_text(encoding="utf-8")
        check_links(file, text, tally)
        check_commands(file, text, targets, tally)
        check_python(file, text, tally)
    for reason in tally.skipped:
        print(f"skipped: {reason}")
    print(f"docs: {tally.passed} passed, {tally.failed} failed, {len(tally.skipped)} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""What mkdocs does differently for this project; `mkdocs.yml` names this file under `hooks`.

The site takes in documents that lie outside of docs/, and the examples, without copies of them: they are pages made
while it is built. Links are written for the repository, where they lead from file to file; here each is turned into
one that leads from page to page. What is not on the site is no link there.
"""

import os
import posixpath
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "DIFFERENCES.md",
    "SAFETY.md",
    "benches/README.md",
    "examples/README.md",
    "tests/conformance/README.md",
)
# The front page stands for the two READMEs.
ELSEWHERE = {"README.md": "index.md", "README.zh-CN.md": "zh/index.md"}

FENCED = re.compile(r"^```.*?^```[ ]*$", re.MULTILINE | re.DOTALL)
FENCE_LINE = re.compile(r"^```(\w+)[ ][^\n]*$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
HELP = re.compile(r"^<!-- help of: (epicycle[\w ]*) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents that lie outside of docs/, and a page for the source of each example."""
    for name in DOCUMENTS:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    for path in sorted(ROOT.glob("examples/**/*.py")):
        source = path.relative_to(ROOT).as_posix()
        text = f"# {path.name}\n\n```python\n{path.read_text(encoding='utf-8').rstrip()}\n```\n"
        page = File.generated(config, f"{source}.md", content=text)
        page.inclusion = page.inclusion.NOT_IN_NAV
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files, **_: Any) -> str:
    """Turn what is written for the repository into what the site can show."""
    markdown = HELP.sub(lambda match: help_text(match[1].split()), markdown)
    # What follows the language is for tools/check_docs.py.
    markdown = FENCE_LINE.sub(r"```\1", markdown)
    parts, end = [], 0
    for fenced in FENCED.finditer(markdown):
        parts += [relinked(markdown[end : fenced.start()], page, files), fenced[0]]
        end = fenced.end()
    return "".join([*parts, relinked(markdown[end:], page, files)])


def relinked(text: str, page: Page, files: Files) -> str:
    here = page.file.src_uri
    # Where the text lies in the repository: a page of docs/, or one that was added.
    folder = posixpath.dirname(here if page.file.generated_by else f"docs/{here}")

    def lead(match: re.Match[str]) -> str:
        label, target = match.groups()
        path, mark, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, path))
        found = page_of(path, files)
        if found is None:
            return label
        if path in ELSEWHERE:
            mark = anchor = ""
        return f"[{label}]({posixpath.relpath(found, posixpath.dirname(here) or '.')}{mark}{anchor})"

    return LINK.sub(lead, text)


def page_of(path: str, files: Files) -> str | None:
    """The page for a file or folder of the repository, or None."""
    inner = path.removeprefix("docs/")
    for candidate in (
        ELSEWHERE.get(path, ""),
        inner,
        f"{inner}.md",
        f"{inner}/README.md",
        f"{inner}/index.md",
    ):
        if candidate and files.get_file_from_path(candidate):
            return candidate
    return None


def help_text(command: list[str]) -> str:
    """What the command says of itself, as a block."""
    run = subprocess.run(
        [sys.executable, "-m", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    return f"```text\n{run.stdout.rstrip()}\n```"

"""What the documents refer to is there: tests by name, source files, counts of unsafe code; the two READMEs agree."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# As the documents write them: `tests/loop/test_fork.py::test_name` or `crates/reactor/tests/turn.rs::name`.
TEST = re.compile(r"`((?:tests|crates)/[\w/.-]+\.(?:py|rs))::(\w+)`")
SOURCE = re.compile(r"`((?:python|crates|tests|tools|benches|examples|docs)/[\w/.-]+\.\w+)`")
# Notes for those who edit.
HIDDEN = re.compile(r"<!--.*?-->", re.DOTALL)
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(path):
    return HIDDEN.sub("", path.read_text(encoding="utf-8"))


def documents():
    return [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_what_is_named_is_there(document):
    text = read(document)
    missing = []
    for path, name in TEST.findall(text):
        source = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else ""
        if not re.search(rf"\b(?:def|fn) {name}\(", source):
            missing.append(f"{path}::{name}")
    missing += [path for path in SOURCE.findall(text) if not (ROOT / path).exists()]
    assert missing == []


def test_every_difference_and_every_invariant_has_its_test():
    for name in ("DIFFERENCES.md", "SAFETY.md"):
        sections = re.split(r"^### ", read(ROOT / name), flags=re.MULTILINE)[1:]
        assert sections, name
        without = [section.splitlines()[0] for section in sections if not TEST.search(section)]
        assert without == [], name


def unsafe_code(path):
    """How many blocks, implementations and functions of a Rust file are unsafe."""
    lines = path.read_text(encoding="utf-8").splitlines()
    code = "\n".join(line for line in lines if not line.lstrip().startswith("//"))
    patterns = (r"\bunsafe\s*\{", r"\bunsafe impl\b", r'\bunsafe (?:extern "C" )?fn\b')
    return tuple(len(re.findall(pattern, code)) for pattern in patterns)


def test_the_list_of_unsafe_code_is_the_code():
    found = {}
    for path in sorted(ROOT.glob("crates/*/src/**/*.rs")):
        counts = unsafe_code(path)
        if any(counts):
            found[str(path.relative_to(ROOT))] = counts
    row = re.compile(r"^\| `(crates/[\w/.-]+)` \| (\d+) \| (\d+) \| (\d+) \|", re.MULTILINE)
    listed = {path: (int(b), int(i), int(f)) for path, b, i, f in row.findall(read(ROOT / "SAFETY.md"))}
    assert listed == found


def test_the_readmes_say_the_same():
    one, other = (read(ROOT / name) for name in ("README.md", "README.zh-CN.md"))

    def skeleton(text):
        blocks = [body for info, body in FENCE.findall(text) if info.startswith("python")]
        ticks = re.findall(r"^- \[(.)\]", text, re.MULTILINE)
        rows = len(re.findall(r"^\|", text, re.MULTILINE))
        links = sorted(set(re.findall(r"\]\(([\w./-]+)\)", text)) - {"README.md", "README.zh-CN.md"})
        levels = re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE)
        return blocks, ticks, rows, links, levels

    assert skeleton(one) == skeleton(other)


def test_the_readmes_count_the_examples():
    listed = set(re.findall(r"\]\(([\w/]+\.py)\)", read(ROOT / "examples" / "README.md"))) - {"reaching.py"}
    for name in ("README.md", "README.zh-CN.md"):
        counted = re.search(r"\[examples/\]\(examples/README.md\)[^\d]*(\d+)", read(ROOT / name))
        assert int(counted[1]) == len(listed), name

"""A page of docs/zh has the programs, the outputs, the headings and the links of the page it translates."""

import pathlib
import posixpath
import re

import pytest

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
FENCE = re.compile(r"^```[^\n]*\n.*?^```[ ]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def pages():
    return sorted(path.relative_to(DOCS / "zh").as_posix() for path in (DOCS / "zh").rglob("*.md"))


def code(page):
    return FENCE.findall((DOCS / page).read_text(encoding="utf-8"))


def prose(page):
    return FENCE.sub("", (DOCS / page).read_text(encoding="utf-8"))


def links(page):
    """Where a page leads, seen from docs/; a page and its translation are one."""
    found = set()
    for target in LINK.findall(prose(page)):
        if "://" not in target:
            found.add(posixpath.normpath(posixpath.join(posixpath.dirname(page), target)).removeprefix("zh/"))
    return found


def test_the_front_page_and_every_page_of_the_tutorial_are_translated():
    tutorial = {path.relative_to(DOCS).as_posix() for path in (DOCS / "tutorial").glob("*.md")}
    assert len(tutorial) > 10
    assert set(pages()) == {"index.md", *tutorial}


@pytest.mark.parametrize("page", pages())
def test_a_translation_has_the_same_code(page):
    assert code(f"zh/{page}") == code(page)


@pytest.mark.parametrize("page", pages())
def test_a_translation_has_the_same_headings_and_rows(page):
    def skeleton(text):
        return re.findall(r"^(#+ |\||- |\d+\. )", text, re.MULTILINE)

    assert skeleton(prose(f"zh/{page}")) == skeleton(prose(page))


@pytest.mark.parametrize("page", pages())
def test_a_translation_leads_to_the_same_places(page):
    # Each front page names the other.
    assert links(f"zh/{page}") - {"index.md", "tutorial/index.md"} == links(page) - {
        "index.md",
        "tutorial/index.md",
    }

"""Text of another process never reaches a terminal as it is."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epicycle.watching.outside.clean import LONGEST, clean, cut, fit, width

HARMFUL = {
    "\x1b[31mred": "\\x1b[31mred",
    "a\nb\tc\r": "a\\x0ab\\x09c\\x0d",
    "\x9b2J": "\\x9b2J",
    "\x07\x00\x7f": "\\x07\\x00\\x7f",
    "evil\u202egpj.exe": "evil\\u202egpj.exe",
    "\u2066hidden\u2069": "\\u2066hidden\\u2069",
    "zero\u200bwidth\ufeff": "zero\\u200bwidth\\ufeff",
    "line\u2028paragraph\u2029": "line\\u2028paragraph\\u2029",
    "\ud800": "\\ud800",
    "\U000e0041": "\\U000e0041",
    "no\u00a0break": "no break",
}


@pytest.mark.parametrize("text", HARMFUL, ids=ascii)
def test_what_a_terminal_obeys_is_escaped(text):
    assert clean(text) == HARMFUL[text]


@given(st.text(max_size=600))
def test_nothing_but_printable_characters_is_left(text):
    shown = clean(text)
    assert shown.isprintable()
    assert len(shown) <= LONGEST
    assert not any(
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for character in shown
    )


def test_usual_text_stays_as_it_is():
    for text in ("Task-1", "наука", "名字", "e\u0301", "🎉 done"):
        assert clean(text) == text


def test_marks_do_not_pile_up():
    assert clean("a" + "\u0301" * 100 + "b") == "a" + "\u0301" * 4 + "b"


def test_what_is_too_long_is_cut():
    assert clean("x" * 10**6) == "x" * (LONGEST - 1) + "…"
    assert clean("\x1b" * 300, 20).endswith("…")
    assert len(clean("\x1b" * 300, 20)) <= 20


def test_what_is_no_text_becomes_one():
    assert clean(12) == "12"
    assert clean(None) == "None"
    assert clean(["\x1b"]) == "['\\x1b']"


@given(st.text(), st.integers(0, 40))
def test_a_fitting_text_is_exactly_as_wide_as_asked_for(text, columns):
    assert width(fit(clean(text), columns)) == columns
    assert width(fit(clean(text), columns, right=True)) == columns
    assert width(cut(clean(text), columns)) <= columns


def test_wide_characters_take_up_two_columns():
    assert width("名字") == 4
    assert fit("名字", 6) == "名字  "
    assert fit("名字名字", 5) == "名字…"
    assert fit("7", 3, right=True) == "  7"

"""What `make docs` says of a block that does not do what its page says."""

import importlib.util
import pathlib
import socket
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def checking(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("check_docs", ROOT / "tools" / "check_docs.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "check_docs", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


@pytest.fixture
def unused_port():
    # Bound and not listening, so that nobody else gets it meanwhile.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def tally_of(checking, text):
    tally = checking.Tally()
    checking.check_python(checking.ROOT / "page.md", text, tally)
    return tally


def block(source, info="python", printed=None):
    text = f"```{info}\n{source}\n```\n"
    return text if printed is None else f"{text}\n```output\n{printed}\n```\n"


def test_a_block_prints_what_its_page_says(checking):
    tally = tally_of(checking, block("print(1)", printed="1"))
    assert (tally.passed, tally.failed, tally.skipped) == (1, 0, [])


def test_a_block_that_prints_something_else_fails(checking, capsys):
    tally = tally_of(checking, block("print(2)", printed="1"))
    assert (tally.passed, tally.failed) == (0, 1)
    assert "prints something else:\n2" in capsys.readouterr().out


def test_a_block_that_raises_fails(checking, capsys):
    assert tally_of(checking, block("raise SystemExit(3)")).failed == 1
    assert "status 3" in capsys.readouterr().out


def test_a_block_that_does_not_compile_fails(checking, capsys):
    assert tally_of(checking, block("def", "python no-run")).failed == 1
    assert "page.md: Python block" in capsys.readouterr().out


def test_a_missing_package_is_named(checking):
    tally = tally_of(checking, block("from no_such_package.inner import name"))
    assert tally.failed == 0
    assert tally.skipped == [
        "page.md: a Python block needs the package no_such_package (requirements/ecosystem.in)"
    ]


def test_a_service_that_does_not_answer_is_named(checking, monkeypatch, unused_port):
    monkeypatch.setenv("EPICYCLE_REDIS_URL", f"redis://127.0.0.1:{unused_port}/0")
    tally = tally_of(checking, block("raise SystemExit(1)", "python service=redis"))
    assert tally.failed == 0
    assert f"needs redis at 127.0.0.1:{unused_port}" in tally.skipped[0]

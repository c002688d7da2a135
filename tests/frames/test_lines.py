"""The table of lines, against what the interpreter makes of it: every instruction of every function of some modules."""

import argparse
import ast
import asyncio.base_events
import asyncio.tasks
import inspect
import re._parser
import typing
from types import CodeType

import pytest

from .made_up import MOST, Stack

MODULES = [argparse, ast, asyncio.base_events, asyncio.tasks, inspect, re._parser, typing]


def codes(code):
    """A code object and all inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def compare(stack, code):
    positions = [line or 0 for line, *_ in code.co_positions()]
    offsets = range(0, len(code.co_code), 2)
    assert len(positions) == len(offsets)
    for begin in range(0, len(offsets), MOST):
        part = offsets[begin : begin + MOST]
        for index, offset in enumerate(part):
            stack.put(index, code, offset, index + 1 if index + 1 < len(part) else None)
        rows = stack.read()
        assert {row[1] for row in rows} == {code.co_qualname[-256:]}
        assert [row[2] for row in rows] == positions[begin : begin + MOST], code


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_instruction_of_a_module(layout, module):
    stack = Stack(layout)
    with open(module.__file__, encoding="utf-8") as source:
        top = compile(source.read(), module.__file__, "exec")
    found = list(codes(top))
    assert len(found) > 30
    # Of a module's own code, which may be long, the tables are looked through from the beginning each time.
    for code in found:
        compare(stack, code)


SOURCES = {
    "far apart": "x = 1\n" + "\n" * 100_000 + "y = 2\n",
    "long lines": "x = (" + "1, " * 3000 + "\n" * 50 + ")\n",
    "backwards": "x = (\n" + "\n" * 40 + "f(\n  a,\n  b\n).c(\n d)[\n 0])\n",
    "many": "".join(f"x{i} = {i} + y\n" for i in range(800)),
    "empty": "",
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_unusual_sources(layout, source):
    for code in codes(compile(source, "made up", "exec")):
        compare(Stack(layout), code)


def test_an_offset_outside_of_the_code(layout):
    stack = Stack(layout)
    code = compare.__code__
    stack.put(0, code, -2, 1)
    stack.put(1, code, 1_000_000, None)
    assert [row[2] for row in stack.read()] == [code.co_firstlineno, 0]

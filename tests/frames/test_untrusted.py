"""Addresses and layouts that are wrong: an error, whatever they are."""

import os
import random
import sys

import pytest

from epicycle import _epicycle

from .made_up import NAMES, NONE, Stack

ADDRESSES = [0, 1, 8, 4096, 2**31, 2**47 - 8, 2**47, 2**63 - 1, 2**63, 2**64 - 4096, 2**64 - 8, 2**64 - 1]


@pytest.mark.parametrize("address", ADDRESSES, ids=hex)
def test_a_wrong_address_is_an_error(own, address):
    with pytest.raises(OSError, match="."):
        own(address)


def test_random_addresses(own):
    chance = random.Random(5)
    for _ in range(2000):
        with pytest.raises(OSError, match="."):
            own(chance.randrange(2**47, 2**64) & ~7)


def test_addresses_of_objects_that_are_no_thread_states(own):
    things = [*range(50), *map(str, range(50)), sys, os, *vars(os).values(), *sys.modules.values()]
    read = 0
    for thing in things:
        try:
            rows = own(id(thing))
        except OSError:
            continue
        # Where a frame should be is nothing.
        read += 1
        assert rows == []
    assert read < len(things)


def test_a_wrong_layout_is_an_error(layout):
    state = _epicycle.thread_state()
    wrong = [[], layout[:-1], [*layout, 0], [0] * len(layout), [layout[0] + 1, *layout[1:]]]
    for index, name in enumerate(NAMES):
        if name.startswith(("thread", "frame_", "object", "code_f", "bytes_d")):
            wrong.append([*layout[:index], 2**40, *layout[index + 1 :]])
    for each in wrong:
        with pytest.raises(ValueError, match="frame layout"):
            _epicycle.read_stack(os.getpid(), state, each)
    with pytest.raises(OverflowError):
        _epicycle.read_stack(os.getpid(), state, [2**64] * len(layout))


def test_layouts_with_a_few_words_changed(layout):
    chance = random.Random(6)
    state = _epicycle.thread_state()
    outcomes = set()
    for _ in range(5000):
        words = list(layout)
        for index in chance.sample(range(1, len(words)), chance.randrange(1, 6)):
            words[index] = chance.choice(
                [0, 8, 504, NONE, chance.randrange(512), chance.randrange(2**16), chance.randrange(2**64)]
            )
        try:
            rows = _epicycle.read_stack(os.getpid(), state, words)
        except (OSError, ValueError) as error:
            outcomes.add(type(error))
        else:
            assert len(rows) <= 128
            assert all(len(row[0]) <= 256 and len(row[1]) <= 256 for row in rows)
            outcomes.add(list)
    assert outcomes >= {OSError, ValueError}


def test_frames_in_a_circle_end(layout):
    stack = Stack(layout)
    for index in range(3):
        stack.put(index, Stack.put.__code__, 4, (index + 1) % 3)
    rows = stack.read()
    assert len(rows) == 128
    assert {row[:2] for row in rows} == {(Stack.put.__code__.co_filename, "Stack.put")}


def test_a_frame_of_something_else_than_code(layout):
    stack = Stack(layout)
    for thing in ("text", b"bytes", Stack, 5, None, [None] * 100):
        stack.put(0, thing, 0, None)
        with pytest.raises(OSError, match="no Python stack"):
            stack.read()


def test_a_thread_without_frames(layout):
    stack = Stack(layout)
    stack.thread[:] = [0] * len(stack.thread)
    if stack.at["cframe_frame"] != NONE:
        with pytest.raises(OSError, match="."):
            stack.read()
    else:
        assert stack.read() == []


@pytest.mark.parametrize("pid", [0, 2**22 + 1, 2**31 - 1, 2**32 - 1])
def test_no_such_process(layout, pid):
    with pytest.raises(ProcessLookupError):
        _epicycle.read_stack(pid, _epicycle.thread_state(), layout)

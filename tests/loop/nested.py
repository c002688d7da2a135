"""What the tests of nested loops share."""

import asyncio

import pytest

from epicycle import NestedEventLoop


@pytest.fixture
def loop_factory(loop_name):
    return NestedEventLoop


async def later(value, turns=3):
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def failing(error):
    await asyncio.sleep(0)
    raise error

"""``install()`` has asyncio make streams of Epicycle's, and ``uninstall()`` asyncio's again."""

from __future__ import annotations

import pytest

PRELUDE = """
import asyncio, asyncio.streams, inspect
import epicycle

async def made():
    async def serve(reader, writer):
        arrived.set_result((type(reader), type(writer)))
        writer.close()
    arrived = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    kinds = [type(reader), type(writer), *await arrived]
    await reader.read()
    writer.close()
    await writer.wait_closed()
    server.close()
    return {kind.__module__ for kind in kinds}
"""

NAMES = ("open_connection", "start_server", "open_unix_connection", "start_unix_server")


@pytest.fixture
def tell(process):
    def tell(code: str, *options: str) -> list[str]:
        return process(PRELUDE + code, *options).split()

    return tell


def test_streams_are_ours_while_it_stands(tell):
    code = """
print(*asyncio.run(made()))
epicycle.install()
print(*asyncio.run(made()))
epicycle.uninstall()
print(*asyncio.run(made()))
"""
    assert tell(code) == ["asyncio.streams", "epicycle._streams", "asyncio.streams"]


def test_the_functions_are_put_back(tell):
    code = f"""
names = {NAMES}
before = [getattr(asyncio, name) for name in names]
epicycle.install()
epicycle.install(nested=True)
print(any(getattr(module, name) is one for module in (asyncio, asyncio.streams) for name, one in zip(names, before)))
epicycle.uninstall()
print(all(getattr(module, name) is one for module in (asyncio, asyncio.streams) for name, one in zip(names, before)))
"""
    assert tell(code) == ["False", "True"]


def test_they_look_like_asyncios(tell):
    code = """
before = asyncio.open_connection
epicycle.install()
print(asyncio.open_connection.__qualname__, asyncio.open_connection.__module__)
print(inspect.signature(asyncio.open_connection) == inspect.signature(before))
print(inspect.iscoroutinefunction(asyncio.start_server))
"""
    assert tell(code) == ["open_connection", "asyncio.streams", "True", "True"]


def test_what_a_program_has_put_there_stays(tell):
    code = """
async def open_connection(*args, **kwargs):
    print("called")
    return await original(*args, **kwargs)
original = asyncio.open_connection
asyncio.open_connection = asyncio.streams.open_connection = open_connection
epicycle.install()
asyncio.run(made())
epicycle.uninstall()
print(asyncio.open_connection is open_connection)
"""
    assert tell(code) == ["called", "True"]


def test_what_a_program_puts_there_later_stays(tell):
    code = """
epicycle.install()
asyncio.open_connection = mine = lambda: None
epicycle.uninstall()
print(asyncio.open_connection is mine)
"""
    assert tell(code) == ["True"]

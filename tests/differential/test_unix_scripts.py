"""The same orders of writing, pausing and closing on two ends of a Unix connection are told the same on both loops."""

import asyncio
import contextlib
import random

import pytest

from differential.conversations import ACTIONS, play, trace_of, write_script
from toolkit import accepted, dropped

TABLE = ACTIONS | {"write_size": 4}


@pytest.mark.parametrize("seed", range(60))
def test_traces_are_equal(seed, tmp_path):
    script = write_script(random.Random(f"unix {seed}"), table=TABLE)
    # A path, or an abstract name, which leaves no file.
    path = str(tmp_path / "socket") if seed % 2 else f"\0epicycle differential {tmp_path}"

    @contextlib.asynccontextmanager
    async def connected(client_kind, server_kind):
        loop = asyncio.get_running_loop()
        protocols = []

        def factory():
            protocols.append(server_kind())
            return protocols[-1]

        server = await loop.create_unix_server(factory, path)
        try:
            transport, protocol = await loop.create_unix_connection(client_kind, path)
            try:
                yield protocol, await accepted(protocols)
            finally:
                await dropped(protocol, transport)
                for each in protocols:
                    await dropped(each, each.transport)
        finally:
            server.close()
            await server.wait_closed()

    def playing():
        return play(script, connected)

    assert trace_of("epicycle", playing) == trace_of("asyncio", playing), script

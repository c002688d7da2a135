"""A protocol over TLS that runs the loop from within its callbacks."""

import asyncio
import hashlib

import pytest
from secured import secured

from epicycle import NestedEventLoop
from toolkit import Filler, Recorder, finish, until

pytestmark = pytest.mark.epicycle_only

# Several times what one receive brings, so that a callback comes while more is waiting to be decrypted.
DATA = hashlib.shake_128(b"nested").digest(1 << 20)


@pytest.fixture
def loop_factory(loop_name):
    return NestedEventLoop


async def some_turns():
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("base", [Recorder, Filler])
def test_what_arrives_meanwhile_comes_behind_what_was_there(loop, server_context, client_context, base):
    runs = []

    class Nesting(base):
        """Runs the loop in its first callbacks, while more arrives."""

        def data_received(self, data):
            super().data_received(data)
            self.run_the_loop()

        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            self.run_the_loop()

        def run_the_loop(self):
            if len(runs) < 20:
                length = len(self.data)
                loop.run_until_complete(some_turns())
                runs.append(len(self.data) - length)

    async def send():
        async with secured(server_context, client_context, client=Nesting) as (client, server):
            server.transport.write(DATA)
            await until(lambda: len(client.data) == len(DATA))
            return bytes(client.data) == DATA

    assert finish(loop, send())
    assert any(runs), "nothing arrived during an inner run"

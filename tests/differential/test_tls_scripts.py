"""The same orders of writing, pausing and closing over TLS are told the same on both loops."""

import asyncio
import contextlib
import functools
import random

import pytest

from differential.conversations import ACTIONS, Answering, play, trace_of, write_script
from toolkit import Filler, Recorder, accepted, connected, dropped, serving

# write_eof() is refused over TLS, and reading what a paused end has left behind is a documented difference.
TABLE = ACTIONS | {"write_size": 6, "set_protocol": 1, "limits": 2}


class Viewing(Filler):
    """Gives a view for a buffer: of others asyncio loses data over TLS, as DIFFERENCES.md says."""

    def get_buffer(self, sizehint):
        return memoryview(self.buffer)


KINDS = [Recorder, Viewing, Answering]


def without_flow(trace):
    """The trace without flow control, which begins later over TLS on asyncio (DIFFERENCES.md), and without
    whether something waits to be sent, of which asyncio does not count what is encrypted already.

    What must hold of it on either loop is checked instead: pauses and resumptions take turns.
    """
    return [
        (*entry[:-1], [end_without_flow(*end) for end in entry[-1]]) if isinstance(entry[-1], list) else entry
        for entry in (part if isinstance(part, tuple) else (part,) for part in trace)
    ]


def end_without_flow(events, data, lost, state):
    flow = [event for event in events if event in ("pause", "resume")]
    assert flow == (["pause", "resume"] * len(flow))[: len(flow)], events
    left = [event for event in events if event not in ("pause", "resume")]
    return [event for i, event in enumerate(left) if i == 0 or left[i - 1] != event], data, lost, state[:2]


def resumed_before_closing(script):
    """The script with both ends reading whenever one closes.

    What closing does to an end that has paused is a documented difference, with tests of its own.
    """
    client_kind, server_kind, actions = script
    awake = []
    for action in actions:
        if action[1] == "close":
            awake += [("client", "resume_reading", 0), ("server", "resume_reading", 0)]
        awake.append(action)
    return client_kind, server_kind, awake


@contextlib.asynccontextmanager
async def over_tls(contexts, client_kind, server_kind):
    """TLS from the beginning."""
    loop = asyncio.get_running_loop()
    server_context, client_context = contexts
    async with serving(server_kind, ssl=server_context) as (_, port, protocols):
        transport, protocol = await loop.create_connection(
            client_kind, "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
        )
        try:
            yield protocol, await accepted(protocols)
        finally:
            await dropped(protocol, transport)


@contextlib.asynccontextmanager
async def switched(contexts, client_kind, server_kind, *, turned=False):
    """Both ends of a plain connection switch; `turned`: the end that connected is the server of TLS."""
    loop = asyncio.get_running_loop()
    server_context, client_context = contexts
    async with connected(client_kind, server_kind) as (client, server):
        serves, asks = (client, server) if turned else (server, client)
        asks.transport, serves.transport = await asyncio.gather(
            loop.start_tls(asks.transport, asks, client_context, server_hostname="localhost"),
            loop.start_tls(serves.transport, serves, server_context, server_side=True),
        )
        yield client, server


WAYS = {
    "from the beginning": over_tls,
    "by start_tls": switched,
    "by start_tls, turned round": functools.partial(switched, turned=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(25))
def test_traces_are_equal(seed, way, tls_contexts):
    script = resumed_before_closing(write_script(random.Random(f"tls {way} {seed}"), KINDS, TABLE))

    def playing():
        return play(script, functools.partial(WAYS[way], tls_contexts))

    assert without_flow(trace_of("epicycle", playing)) == without_flow(trace_of("asyncio", playing)), script


def test_a_large_write_pauses_at_once(loop_name, tls_contexts):
    async def playing():
        async with over_tls(tls_contexts, Recorder, Recorder) as (client, server):
            server.transport.pause_reading()
            client.transport.write(bytes(10_000_000))
            return [event for event in client.events if event == "pause"]

    assert trace_of(loop_name, playing) == {"asyncio": [], "epicycle": ["pause"]}[loop_name]

"""Orders of writing, pausing and closing on the two ends of a connection, written by chance, and what the ends tell.

A script is plain data.  Playing it waits after every action until neither end has anything new to tell, so that the
trace does not depend on how the system cuts data or on which end comes first; the order of each end's own events is
kept.
"""

import asyncio
import re

from toolkit import FACTORIES, Filler, Recorder, dropped, finish

ACTIONS = {
    "write": 6,
    "write_much": 2,
    "writelines": 2,
    "close": 2,
    "abort": 1,
    "write_eof": 2,
    "pause_reading": 3,
    "resume_reading": 4,
    "limits": 1,
}


class Open(Recorder):
    """Keeps its side open when the other has ended."""

    def eof_received(self):
        super().eof_received()
        return True


class Raising(Recorder):
    """Cannot bear its third piece of data."""

    def data_received(self, data):
        super().data_received(data)
        if len(self.data) > 25:
            raise ValueError("too much")


class Answering(Recorder):
    """Answers what it gets, up to a point, and then ends."""

    def data_received(self, data):
        super().data_received(data)
        if len(self.data) < 40:
            self.transport.write(b"answer")
        else:
            self.transport.close()


class Pausing(Recorder):
    """Pauses as soon as it has something."""

    def data_received(self, data):
        super().data_received(data)
        self.transport.pause_reading()


# Around the sizes of records, of pages and of the receive buffer.
SIZES = [0, 1, 2, 100, 4095, 4096, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 262_144, 300_000]
KINDS = [Recorder, Filler, Open, Raising, Answering, Pausing]


def write_script(chance, kinds=KINDS, table=ACTIONS):
    actions = []
    for _ in range(chance.randint(2, 9)):
        kind = chance.choices(list(table), list(table.values()))[0]
        actions.append((chance.choice(("client", "server")), kind, chance.randint(0, 20)))
    return chance.choice(kinds), chance.choice(kinds), actions


def act(transport, kind, number):
    if kind == "write":
        transport.write(b"%03d," % number)
    elif kind == "write_much":
        transport.write(bytes(6_000_000))
    elif kind == "writelines":
        # Nothing is left of this in a buffer, where versions differ.
        if not transport.is_closing() and not transport.get_write_buffer_size():
            transport.writelines([b"%03d;" % number] * 3)
    elif kind == "write_size":
        transport.write(bytes([number]) * SIZES[number % len(SIZES)])
    elif kind == "set_protocol":
        transport.set_protocol(transport.get_protocol())
    elif kind == "limits":
        transport.set_write_buffer_limits(high=number * 10_000)
    else:
        getattr(transport, kind)()


def reporting(trace):
    """An exception handler that puts what it is told into the trace.

    A failing callback of a protocol is the failure of a read on asyncio, and of that callback on Epicycle.
    """

    def reported(loop, context):
        message = re.sub(r"^Exception in callback .*", "Exception in a callback", context["message"])
        trace.append(("handler", message, repr(context.get("exception"))))

    return reported


async def settled(ends):
    """Wait until neither end has been told anything new for some turns."""
    last = None
    quiet = 0
    while quiet < 8:
        now = [(len(end.events), len(end.data), end.transport.get_write_buffer_size()) for end in ends]
        quiet = quiet + 1 if now == last else 0
        last = now
        await asyncio.sleep(0.0005 if quiet == 7 else 0)


async def play(script, connected):
    """The trace of a script.  `connected(client_kind, server_kind)` makes the connection: a context manager that
    gives the two protocols."""
    loop = asyncio.get_running_loop()
    client_kind, server_kind, actions = script
    trace = []
    loop.set_exception_handler(reporting(trace))
    async with connected(client_kind, server_kind) as (client, server):
        ends = {"client": client, "server": server}
        # What is told of a connection that is gone differs between versions, as does abort() there.
        for name, kind, number in actions:
            end = ends[name]
            if end.is_lost:
                continue
            try:
                act(end.transport, kind, number)
            except Exception as error:
                # Before 3.12 writelines() complains in the name of write().
                trace.append((name, kind, repr(error).replace("writelines()", "write()")))
            await settled(ends.values())
            trace.append((name, kind, [tell(each) for each in ends.values()]))
        for end in ends.values():
            await dropped(end, end.transport)
            await settled(ends.values())
        trace.append([tell(each) for each in ends.values()])
    return trace


def tell(end):
    folded = [event for i, event in enumerate(end.events) if i == 0 or end.events[i - 1] != event]
    transport = end.transport
    state = (transport.is_closing(), transport.is_reading(), transport.get_write_buffer_size() > 0)
    # A reset may be found by whichever of reading and writing comes first.
    lost = "a network error" if isinstance(end.lost, OSError) else repr(end.lost)
    # How much of a large write gets through before it is cut short is the system's affair.
    data = bytes(end.data) if len(end.data) < 1000 else "much"
    return folded, data, lost, state


def trace_of(loop_name, playing, timeout=30):
    """The result of the coroutine function `playing` on a loop."""
    loop = FACTORIES[loop_name]()
    try:
        return finish(loop, playing(), timeout=timeout)
    finally:
        loop.close()

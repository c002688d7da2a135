"""Children that are written to, signalled and closed in orders written by chance are told the same on both loops.

Each step waits for its effect, so that the order between a child's pipes and its end is the script's.
"""

import asyncio
import random
import signal
import sys

import pytest

from differential.conversations import trace_of
from toolkit import until

# Echoes what it gets in capitals, tells of its end on the other pipe, and exits with the length of the last line.
CHILD = """
import sys
last = b""
for line in sys.stdin.buffer:
    last = line.strip()
    if last == b"close out":
        sys.stdout.close()
        import os
        os.close(1)
        break
    sys.stdout.buffer.write(line.upper())
    sys.stdout.buffer.flush()
sys.stderr.write("over")
sys.exit(len(last))
"""
STEPS = (
    "line",
    "line",
    "large",
    "close input",
    "close output",
    "SIGTERM",
    "SIGUSR1",
    "kill",
    "close",
    "close out",
)


class Watching(asyncio.SubprocessProtocol):
    def __init__(self):
        self.events = []
        self.data = {1: bytearray(), 2: bytearray()}
        self.is_lost = False

    def pipe_data_received(self, fd, data):
        self.data[fd] += data

    def pipe_connection_lost(self, fd, exc):
        self.events.append(("pipe lost", fd, type(exc).__name__))

    def process_exited(self):
        self.events.append("exited")

    def connection_lost(self, exc):
        self.events.append(("lost", exc))
        self.is_lost = True


def write_script(chance):
    steps = [(chance.choice(STEPS), chance.randint(1, 60)) for _ in range(chance.randint(1, 5))]
    return chance.choice(("exec", "shell")), steps


async def play(script):
    loop = asyncio.get_running_loop()
    way, steps = script
    command = (sys.executable, "-I", "-S", "-c", CHILD)
    if way == "exec":
        transport, protocol = await loop.subprocess_exec(Watching, *command)
    else:
        quoted = " ".join(f"'{word}'" for word in command[:-1])
        transport, protocol = await loop.subprocess_shell(Watching, f"exec {quoted} '{CHILD}'")
    trace = []
    written = 0
    for kind, number in steps:
        if protocol.is_lost or "exited" in protocol.events:
            break
        pipe = transport.get_pipe_transport(0)
        try:
            if kind in ("line", "large") and not pipe.is_closing():
                line = (b"x" * (number * (2000 if kind == "large" else 1))) + b"\n"
                pipe.write(line)
                written += len(line)
                await until(lambda total=written: len(protocol.data[1]) == total or protocol.events)
            elif kind == "close out" and not pipe.is_closing():
                pipe.write(b"close out\n")
                await until(lambda: protocol.is_lost)
            elif kind == "close input":
                pipe.close()
                await until(lambda: protocol.is_lost)
            elif kind == "close output":
                transport.get_pipe_transport(1).close()
                await until(lambda: protocol.events)
                break
            elif kind == "close":
                transport.close()
                await until(lambda: protocol.is_lost)
            elif kind == "kill":
                transport.kill()
                await until(lambda: protocol.is_lost)
            else:
                transport.send_signal(getattr(signal, kind))
                await until(lambda: protocol.is_lost)
        except Exception as error:
            trace.append((kind, repr(error)))
        trace.append((kind, bytes(protocol.data[1]), [e for e in protocol.events if e == "exited"]))
    transport.close()
    await until(lambda: protocol.is_lost)
    # Which of a child's pipes is told first is the system's affair; that the end comes last is not.
    pipes = sorted(event for event in protocol.events if event[0] == "pipe lost")
    assert protocol.events[-1] == ("lost", None)
    trace.append(
        (pipes, protocol.events.count("exited"), bytes(protocol.data[2]), transport.get_returncode())
    )
    try:
        transport.send_signal(signal.SIGTERM)
    except ProcessLookupError as error:
        trace.append(repr(error))
    return trace


@pytest.mark.parametrize("seed", range(12))
def test_traces_are_equal(seed):
    script = write_script(random.Random(f"process {seed}"))

    def playing():
        return play(script)

    assert trace_of("epicycle", playing) == trace_of("asyncio", playing), script

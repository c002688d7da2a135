"""A program ends while a daemon thread runs a loop: quietly, with its own status, whatever the loop is at."""

import pytest

from toolkit import script

PRELUDE = """
import asyncio, contextlib, os, socket, sys, threading, time

busy = threading.Event()

def run(main):
    with contextlib.suppress(Exception):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())

"""

# What the loop of the daemon thread does when the program ends; each sets `busy` when it has begun.
WORK = {
    "parked": """
async def main():
    busy.set()
    await asyncio.Event().wait()
""",
    "in callbacks": """
async def main():
    loop = asyncio.get_running_loop()
    def again():
        for _ in range(1000):
            pass
        loop.call_soon(again)
    again()
    busy.set()
    await asyncio.Event().wait()
""",
    "in one long callback": """
async def main():
    busy.set()
    while True:
        pass
""",
    "in timers and tasks": """
async def main():
    async def short():
        async with asyncio.timeout(1):
            await asyncio.sleep(0.0001)
    busy.set()
    while True:
        await asyncio.gather(*(short() for _ in range(10)))
""",
    "in a blocking call": """
async def main():
    busy.set()
    while True:
        time.sleep(0.0001)
""",
    "in the wait for a lock": """
async def main():
    busy.set()
    threading.Lock().acquire(timeout=0.0001)
    threading.Event().wait()
""",
    "in messages": """
class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        busy.set()
        self.transport.write(data)

async def main():
    loop = asyncio.get_running_loop()
    for _ in range(5):
        one, two = socket.socketpair()
        transport, _ = await loop.create_connection(Echo, sock=one)
        await loop.create_connection(Echo, sock=two)
        transport.write(b"ball")
    await asyncio.Event().wait()
""",
    "in handshakes": """
import ssl
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname = False
client.verify_mode = ssl.CERT_NONE
for context in server, client:
    context.set_ciphers("aNULL@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2

async def main():
    served = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=server)
    address = served.sockets[0].getsockname()
    while True:
        _, writer = await asyncio.open_connection(*address, ssl=client)
        busy.set()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
""",
    "in look-ups": """
async def main():
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.gather(*(loop.getaddrinfo("localhost", 80) for _ in range(5)))
        busy.set()
""",
    "in an executor": """
async def main():
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.gather(*(loop.run_in_executor(None, sum, range(1000)) for _ in range(5)))
        busy.set()
""",
    "in calls from other threads": """
def storm(loop):
    with contextlib.suppress(RuntimeError):
        while True:
            loop.call_soon_threadsafe(busy.set)

async def main():
    threading.Thread(target=storm, args=(asyncio.get_running_loop(),), daemon=True).start()
    await asyncio.Event().wait()
""",
}

END = """
threading.Thread(target=run, args=(main,), daemon=True).start()
assert busy.wait(20)
for _ in range({turns}):
    pass
sys.exit(3)
"""


@pytest.mark.parametrize("work", list(WORK))
def test_a_program_ends_while_a_daemon_thread_runs_a_loop(loop_name, work):
    # The thread is met at different places.
    for turns in (0, 20_000):
        done = script(loop_name, PRELUDE + WORK[work] + END.format(turns=turns), check=False)
        assert (done.returncode, done.stdout, done.stderr) == (3, "", "")

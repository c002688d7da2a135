"""The interpreter ends while the loop has work: quietly, and with the program's own status."""

import pytest

from toolkit import script

WORK = """
import asyncio, socket, sys, threading, warnings

warnings.simplefilter("ignore")


async def serve(kept):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    transport, protocol = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    transport.write(bytes(20_000_000))
    one, two = socket.socketpair()
    loop.add_reader(one, print)
    loop.call_later(3600, print, "late")
    task = loop.create_task(asyncio.sleep(3600))
    kept += [server, transport, protocol, one, two, task]


class Last:
    def __init__(self, loop):
        self.loop = loop

    def __del__(self):
        try:
            self.loop.call_soon(print)
        except Exception:
            pass
"""

ENDINGS = {
    "never closed": """
kept = []
loop = new_loop()
loop.run_until_complete(serve(kept))
loop.call_soon(print, Last(loop))
sys.exit(3)
""",
    "closed with connections open": """
kept = []
loop = new_loop()
loop.run_until_complete(serve(kept))
loop.close()
sys.exit(3)
""",
    "in a cycle with a module": """
kept = []
loop = new_loop()
loop.run_until_complete(serve(kept))
loop.everything = kept, loop, Last(loop), sys.modules["__main__"]
sys.exit(3)
""",
    "parked in another thread": """
def run():
    loop = new_loop()
    loop.call_soon(started.set)
    loop.run_forever()

started = threading.Event()
threading.Thread(target=run, daemon=True).start()
started.wait()
sys.exit(3)
""",
    "busy in another thread": """
def run():
    loop = new_loop()
    def again():
        loop.call_soon(again)
    loop.call_soon(again)
    loop.call_soon(started.set)
    loop.run_forever()

started = threading.Event()
threading.Thread(target=run, daemon=True).start()
started.wait()
sys.exit(3)
""",
}


@pytest.mark.parametrize("ending", list(ENDINGS))
def test_an_interpreter_ends_with_work_pending(loop_name, ending):
    done = script(loop_name, WORK + ENDINGS[ending], check=False)
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    for sign in ("panic", "Fatal Python error", "Traceback", "terminate called"):
        assert sign not in done.stderr, done.stderr

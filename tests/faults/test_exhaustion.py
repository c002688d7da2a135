"""No descriptors left: accepting goes on once there are some again, and nobody is lost."""

import json

import pytest

from toolkit import script

ACCEPTING = """
import asyncio, errno, json, os, resource, socket

resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
contexts = []
answers = []

async def echo(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()
    await writer.wait_closed()

async def ask(sock, number):
    reader, writer = await asyncio.open_connection(sock=sock)
    writer.write(b"%d\\n" % number)
    answers.append(int(await reader.readline()))
    writer.close()
    await writer.wait_closed()

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: contexts.append(context))
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    clients = []
    for _ in range(20):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(server.sockets[0].getsockname())
        clients.append(client)
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError as error:
        assert error.errno == errno.EMFILE
    while not contexts:
        await asyncio.sleep(0)
    for fd in taken:
        os.close(fd)
    await asyncio.gather(*(ask(client, number) for number, client in enumerate(clients)))
    reported = len(contexts)
    server.close()
    await server.wait_closed()
    print(json.dumps({
        "answers": sorted(answers),
        "messages": sorted({context["message"] for context in contexts}),
        "errors": sorted({errno.errorcode[context["exception"].errno] for context in contexts}),
        "sockets": sorted({type(context["socket"]).__name__ for context in contexts}),
        "reported": reported,
    }))

loop = new_loop()
loop.run_until_complete(asyncio.wait_for(main(), 20))
loop.close()
"""

CONNECTING = """
import asyncio, errno, os, resource, socket

resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

async def main():
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        taken = []
        try:
            while True:
                taken.append(os.dup(0))
        except OSError:
            pass
        for call in (
            lambda: loop.create_connection(asyncio.Protocol, *address),
            lambda: loop.create_server(asyncio.Protocol, "127.0.0.1", 0),
            lambda: asyncio.open_connection(*address),
        ):
            try:
                await call()
            except OSError as error:
                print(errno.errorcode[error.errno] if error.errno else str(error))
        for fd in taken:
            os.close(fd)
        transport, _ = await loop.create_connection(asyncio.Protocol, *address)
        transport.abort()
        await asyncio.sleep(0)
        print("works again")

loop = new_loop()
loop.run_until_complete(asyncio.wait_for(main(), 20))
loop.close()
"""

MAKING_LOOPS = """
import errno, os, resource

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
new_loop().close()
taken = []
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass
# One descriptor is less than a loop needs: what it had already opened must be closed again.
os.close(taken.pop())
for _ in range(3):
    try:
        new_loop()
    except OSError as error:
        print(errno.errorcode[error.errno])
os.dup(0)
for fd in taken:
    os.close(fd)
new_loop().close()
print("works again")
"""


def test_clients_wait_until_there_are_descriptors(loop_name):
    told = json.loads(script(loop_name, ACCEPTING).stdout)
    assert told["answers"] == list(range(20))
    assert told["messages"] == ["socket.accept() out of system resource"]
    assert told["errors"] == ["EMFILE"]
    assert told["sockets"] == ["TransportSocket"]
    # Once for each client that waits would do; a report for each turn of the loop would not.
    assert 1 <= told["reported"] <= 200


def test_connecting_without_descriptors_is_an_error(loop_name):
    told = script(loop_name, CONNECTING).stdout.splitlines()
    assert told[0] == "EMFILE" and told[-2:] == ["EMFILE", "works again"]


@pytest.mark.epicycle_only
def test_a_loop_that_cannot_be_made_leaves_nothing_open(loop_name):
    assert script(loop_name, MAKING_LOOPS).stdout.splitlines() == ["EMFILE"] * 3 + ["works again"]

"""An echo server and its client with the streams of 2014."""

import asyncio


@asyncio.coroutine
def handle(reader, writer):
    line = yield from reader.readline()
    writer.write(line.upper())
    yield from writer.drain()
    writer.close()


@asyncio.coroutine
def talk(port, loop):
    reader, writer = yield from asyncio.open_connection("127.0.0.1", port, loop=loop)
    writer.write(b"hello\n")
    answer = yield from reader.read()
    writer.close()
    return answer


loop = asyncio.get_event_loop()
server = loop.run_until_complete(asyncio.start_server(handle, "127.0.0.1", 0, loop=loop))
port = server.sockets[0].getsockname()[1]
print(loop.run_until_complete(talk(port, loop)))
server.close()
loop.run_until_complete(server.wait_closed())
reader = asyncio.StreamReader(loop=loop)
reader.feed_data(b"fed\n")
print(loop.run_until_complete(reader.readline()))
loop.close()

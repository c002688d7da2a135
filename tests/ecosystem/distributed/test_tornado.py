"""tornado, which Dask stands on, by itself: its loop is a view of the running one."""

import asyncio
import socket

import pytest

from toolkit import finish

pytest.importorskip(
    "tornado", reason="the package tornado is not installed: pip install -r requirements/ecosystem.txt"
)

from tornado import gen, httpclient, httpserver, ioloop, iostream, netutil, tcpserver, web, websocket

LARGE = bytes(range(256)) * 20_000


class Pages(web.RequestHandler):
    async def get(self, size):
        for start in range(0, int(size), 65536):
            self.write(LARGE[start : min(start + 65536, int(size))])
            await self.flush()

    def post(self, _):
        self.write(self.request.body[::-1])


class Echo(websocket.WebSocketHandler):
    async def on_message(self, message):
        await self.write_message(message, binary=isinstance(message, bytes))


def test_the_view_is_of_the_running_loop(loop):
    async def run():
        view = ioloop.IOLoop.current()
        ticks = []
        ticking = ioloop.PeriodicCallback(lambda: ticks.append(view.time()), 1)
        ticking.start()
        called = asyncio.Event()
        view.call_later(0, view.add_callback, called.set)
        await called.wait()
        assert await view.run_in_executor(None, pow, 3, 4) == 81
        while len(ticks) < 3:
            await gen.sleep(0)
        ticking.stop()
        return view.asyncio_loop is asyncio.get_running_loop()

    assert finish(loop, run(), 30)


def test_descriptors_are_watched_and_let_go(loop):
    async def run():
        view = ioloop.IOLoop.current()
        mine, peer = socket.socketpair()
        with mine, peer:
            mine.setblocking(False)
            events = asyncio.Queue()
            view.add_handler(mine, lambda fd, event: events.put_nowait((fd, event)), view.READ)
            peer.send(b"x")
            assert await events.get() == (mine, view.READ)
            view.update_handler(mine, view.READ | view.WRITE)
            while (await events.get())[1] != view.WRITE:
                pass
            view.remove_handler(mine)
            await gen.sleep(0)
            while not events.empty():
                events.get_nowait()
            await gen.sleep(0.01)
            assert events.empty()

    finish(loop, run(), 30)


def test_pages_go_both_ways_and_web_sockets_echo(loop):
    async def run():
        app = web.Application([(r"/page/(\d+)", Pages), (r"/echo", Echo)])
        (sock,) = netutil.bind_sockets(0, "127.0.0.1")
        server = httpserver.HTTPServer(app, max_body_size=10_000_000)
        server.add_sockets([sock])
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        client = httpclient.AsyncHTTPClient(force_instance=True, max_clients=20, max_buffer_size=20_000_000)
        try:
            pages = await asyncio.gather(
                *(client.fetch(f"http://{address}/page/{n * 999}") for n in range(40))
            )
            assert [page.body for page in pages] == [LARGE[: n * 999] for n in range(40)]
            large = await client.fetch(f"http://{address}/page/{len(LARGE)}")
            assert large.body == LARGE
            posted = await client.fetch(
                f"http://{address}/page/0",
                method="POST",
                body=LARGE,
                headers={"Content-Type": "application/octet-stream"},
            )
            assert posted.body == LARGE[::-1]
            with pytest.raises(httpclient.HTTPError, match="404"):
                await client.fetch(f"http://{address}/nowhere")

            connection = await websocket.websocket_connect(f"ws://{address}/echo")
            for message in ("text", "ü" * 70_000, b"\x00\x01"):
                await connection.write_message(message, binary=isinstance(message, bytes))
                assert await connection.read_message() == message
            connection.close()
            assert await connection.read_message() is None
        finally:
            client.close()
            server.stop()
            await server.close_all_connections()

    finish(loop, run(), 60)


def test_streams_tell_of_the_other_end_s_end(loop):
    class Lines(tcpserver.TCPServer):
        async def handle_stream(self, stream, address):
            try:
                while True:
                    line = await stream.read_until(b"\n")
                    await stream.write(line.upper())
                    if line == b"end\n":
                        stream.close()
            except iostream.StreamClosedError:
                ended.set()

    ended = asyncio.Event()

    async def run():
        (sock,) = netutil.bind_sockets(0, "127.0.0.1")
        server = Lines()
        server.add_sockets([sock])
        stream = iostream.IOStream(socket.socket())
        try:
            await stream.connect(sock.getsockname())
            await stream.write(b"one\ntwo\nend\n")
            assert await stream.read_until_close() == b"ONE\nTWO\nEND\n"
            await ended.wait()
        finally:
            stream.close()
            server.stop()

    finish(loop, run(), 30)

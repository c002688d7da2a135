"""`requests` in threads, asking a server on the very loop that waits for the answers."""

import asyncio
import threading

import pytest

from toolkit import finish, refusing

requests = pytest.importorskip(
    "requests", reason="the package requests is not installed: pip install -r requirements/ecosystem.txt"
)


class Server:
    """Answers each request by its path, on the running loop."""

    def __init__(self):
        self.asked = asyncio.Queue()
        self.release = asyncio.Event()
        self.serving = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        host, port = self.server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_):
        self.release.set()
        self.server.close()
        await self.server.wait_closed()
        await asyncio.gather(*self.serving)

    async def serve(self, reader, writer):
        self.serving.add(asyncio.current_task())
        try:
            while head := await self._head(reader):
                path = head.split()[1].decode()
                self.asked.put_nowait(path)
                if path == "/held":
                    await self.release.wait()
                body = b"x" * 3_000_000 if path == "/large" else path.encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _head(self, reader):
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""


def get(url, **options):
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=options.pop("timeout", 30), **options).content


def test_many_at_once_against_a_server_on_the_same_loop(loop):
    async def run():
        async with Server() as server:
            urls = [f"{server.url}/{n}" for n in range(60)]
            return await asyncio.gather(*(asyncio.to_thread(get, url) for url in urls))

    assert finish(loop, run(), 60) == [f"/{n}".encode() for n in range(60)]


def test_a_body_streams_from_a_thread_into_a_coroutine(loop):
    async def run():
        running = asyncio.get_running_loop()
        pieces = asyncio.Queue()

        def stream(url):
            with requests.Session() as session:
                session.trust_env = False
                with session.get(url, stream=True, timeout=30) as response:
                    for piece in response.iter_content(65536):
                        running.call_soon_threadsafe(pieces.put_nowait, piece)
            running.call_soon_threadsafe(pieces.put_nowait, None)

        async with Server() as server:
            streaming = asyncio.create_task(asyncio.to_thread(stream, f"{server.url}/large"))
            size = 0
            while (piece := await pieces.get()) is not None:
                size += len(piece)
            await streaming
            return size

    assert finish(loop, run(), 60) == 3_000_000


def test_who_gives_up_waiting_goes_on_while_the_thread_still_waits(loop):
    async def run():
        async with Server() as server:
            asking = asyncio.create_task(asyncio.to_thread(get, f"{server.url}/held"))
            assert await server.asked.get() == "/held"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await asking
            # The loop and the other threads are not held up by the one that still waits.
            assert await asyncio.to_thread(get, f"{server.url}/other") == b"/other"
            assert asking.cancelled()

    finish(loop, run(), 60)
    # And the end waits for it.
    finish(loop, loop.shutdown_default_executor(), 60)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")]


def test_the_library_s_own_time_out_ends_the_thread(loop):
    async def run():
        async with Server() as server:
            with pytest.raises(requests.exceptions.ReadTimeout):
                await asyncio.to_thread(get, f"{server.url}/held", timeout=0.05)

    finish(loop, run(), 60)


def test_an_error_arrives_as_it_was_raised(loop):
    async def run():
        with refusing() as (host, port), pytest.raises(requests.exceptions.ConnectionError):
            await asyncio.to_thread(get, f"http://{host}:{port}/")
        with pytest.raises(requests.exceptions.MissingSchema):
            await asyncio.to_thread(get, "no-address")

    finish(loop, run(), 60)

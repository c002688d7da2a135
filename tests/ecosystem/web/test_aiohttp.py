"""aiohttp's server and client in one process, on asyncio and on Epicycle."""

import asyncio
import contextlib
import ssl

import pytest

from toolkit import finish, refusing, until

aiohttp = pytest.importorskip("aiohttp", reason="the package aiohttp is not installed; try: make ecosystem")
from aiohttp import WSMsgType, web  # noqa: E402

MEGABYTE = 1024 * 1024
PATIENCE = 60.0


@contextlib.asynccontextmanager
async def serving(*routes, context=None, port=0, on_shutdown=(), **options):
    """A running site with these routes: its runner, and a session of a client with the site as its base address."""
    app = web.Application(client_max_size=0)
    app.add_routes(routes)
    app.on_shutdown.extend(on_shutdown)
    runner = web.AppRunner(app, **options)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
        await site.start()
        scheme = "https" if context else "http"
        port = site._server.sockets[0].getsockname()[1]
        async with aiohttp.ClientSession(f"{scheme}://127.0.0.1:{port}/") as session:
            yield runner, session
    finally:
        await runner.cleanup()
        # A transport that is closing has its last word with the loop one turn later.
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def authority():
    """A certificate for 127.0.0.1: the context of a server, and that of a client who trusts it."""
    trustme = pytest.importorskip(
        "trustme", reason="the package trustme is not installed; try: make ecosystem"
    )
    ca = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    return server, client


async def peer(request):
    """Which connection this is, told by the client's port."""
    return web.Response(text=str(request.transport.get_extra_info("peername")[1]))


def test_requests_one_after_another_share_a_connection(loop):
    async def main():
        async with serving(web.get("/", peer)) as (_, session):
            ports = set()
            for _ in range(50):
                async with session.get("") as response:
                    ports.add(await response.text())
            assert len(ports) == 1
            async with session.get("", headers={"Connection": "close"}) as response:
                ports.add(await response.text())
            async with session.get("") as response:
                assert await response.text() not in ports

    finish(loop, main(), PATIENCE)


def test_requests_at_once_have_connections_of_their_own(loop):
    gathered = []

    async def meet(request):
        gathered.append(asyncio.get_running_loop().create_future())
        if len(gathered) == 80:
            for future in gathered:
                future.set_result(None)
        await gathered[-1]
        return web.Response(text=request.query["place"])

    async def main():
        async with serving(web.get("/", meet)) as (_, session):

            async def visit(number):
                async with session.get("", params={"place": str(number)}) as response:
                    return int(await response.text())

            assert await asyncio.gather(*map(visit, range(80))) == list(range(80))

    finish(loop, main(), PATIENCE)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_bodies_stream_both_ways_at_once(loop, authority, secure):
    """The server sends back each piece as it comes; the client sends the next when it has the one before."""

    async def mirror(request):
        response = web.StreamResponse()
        await response.prepare(request)
        async for piece in request.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response

    async def main():
        pieces = [bytes([number]) * (number * 5_003 + 1) for number in range(60)]
        came_back = asyncio.Queue()

        async def one_at_a_time():
            for piece in pieces:
                yield piece
                await came_back.get()

        context, trusting = authority if secure else (None, True)
        async with serving(web.put("/", mirror), context=context) as (_, session):
            async with session.put("", data=one_at_a_time(), ssl=trusting) as response:
                for piece in pieces:
                    assert await response.content.readexactly(len(piece)) == piece
                    came_back.put_nowait(None)
                assert await response.content.read() == b""

    finish(loop, main(), PATIENCE)


def test_a_reader_who_does_not_read_holds_up_the_writer(loop):
    """The server's writing stops while the client takes nothing, and goes on when it does."""
    written = 0
    total = 64 * MEGABYTE

    async def pour(request):
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(total // 65536):
            await response.write(bytes(65536))
            written += 65536
        return response

    async def main():
        async with serving(web.get("/", pour)) as (_, session):
            async with session.get("", read_bufsize=65536) as response:
                # The writer is stuck once it has written nothing new in a hundred turns of the loop.
                before, quiet = -1, 0
                while quiet < 100:
                    await asyncio.sleep(0)
                    quiet = quiet + 1 if written == before and written else 0
                    before = written
                assert written < total / 2
                received = 0
                async for piece in response.content.iter_any():
                    received += len(piece)
                assert received == total == written

    finish(loop, main(), PATIENCE)


def test_a_certificate_nobody_vouches_for_is_refused(loop, authority):
    server, trusting = authority

    async def main():
        async with serving(web.get("/", peer), context=server) as (_, session):
            with pytest.raises(aiohttp.ClientConnectorCertificateError, match="certificate verify failed"):
                await session.get("")
            async with session.get("", ssl=trusting) as response:
                assert response.status == 200

    loop.set_exception_handler(lambda loop, context: None)
    finish(loop, main(), PATIENCE)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_websocket_carries_text_bytes_and_pings(loop, authority, secure):
    codes = asyncio.Queue()

    async def echo(request):
        websocket = web.WebSocketResponse(max_msg_size=0)
        await websocket.prepare(request)
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await websocket.send_bytes(message.data)
        codes.put_nowait(websocket.close_code)
        return websocket

    async def main():
        context, trusting = authority if secure else (None, True)
        async with serving(web.get("/", echo), context=context) as (_, session):
            async with session.ws_connect("", ssl=trusting, autoping=False, max_msg_size=0) as websocket:
                for number in range(100):
                    await websocket.send_str(f"message {number}")
                for number in range(100):
                    assert await websocket.receive_str() == f"message {number}"
                large = bytes(range(256)) * 16384
                await websocket.send_bytes(large)
                assert await websocket.receive_bytes() == large
                await websocket.ping(b"there?")
                assert (await websocket.receive())[:2] == (WSMsgType.PONG, b"there?")
                await websocket.close(code=4000)
                assert await codes.get() == 4000

    finish(loop, main(), PATIENCE)


def test_a_request_under_way_is_answered_before_the_end(loop):
    arrived, let_go = asyncio.Event(), asyncio.Event()

    async def slow(request):
        arrived.set()
        await let_go.wait()
        return web.Response(text="in the end")

    async def main():
        async with serving(web.get("/", slow), shutdown_timeout=PATIENCE) as (runner, session):
            asking = asyncio.ensure_future(session.get(""))
            await arrived.wait()
            ending = asyncio.ensure_future(runner.cleanup())
            await until(lambda: not runner.sites)
            with pytest.raises(aiohttp.ClientConnectorError):
                # A new connection, as the only one there is waits for its answer.
                await session.get("")
            assert not ending.done()
            let_go.set()
            async with await asking as response:
                assert await response.text() == "in the end"
            await ending

    finish(loop, main(), PATIENCE)


def test_the_end_of_the_server_says_goodbye_to_websockets(loop):
    live = []

    async def wait(request):
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        live.append(websocket)
        await websocket.receive()
        return websocket

    async def goodbye(app):
        await asyncio.gather(*(w.close(code=aiohttp.WSCloseCode.GOING_AWAY, message=b"bye") for w in live))

    async def main():
        async with serving(web.get("/", wait), on_shutdown=[goodbye]) as (runner, session):
            websockets = [await session.ws_connect("") for _ in range(10)]
            _, *messages = await asyncio.gather(runner.cleanup(), *(w.receive() for w in websockets))
            assert {(m.type, m.data, m.extra) for m in messages} == {(WSMsgType.CLOSE, 1001, "bye")}

    finish(loop, main(), PATIENCE)


def test_a_client_that_goes_away_cancels_its_handler(loop):
    async def main():
        arrived, cancelled = asyncio.Event(), asyncio.Event()

        async def endless(request):
            arrived.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                cancelled.set()

        async with serving(web.get("/", endless), handler_cancellation=True) as (_, session):
            asking = asyncio.ensure_future(session.get(""))
            await arrived.wait()
            asking.cancel()
            await cancelled.wait()

    finish(loop, main(), PATIENCE)


def test_a_server_that_dies_in_an_answer_is_an_error_of_the_client(loop):
    async def half(request):
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(bytes(500))
        request.transport.abort()
        return response

    async def main():
        async with serving(web.get("/", half)) as (_, session):
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
                async with session.get("") as response:
                    await response.read()

    finish(loop, main(), PATIENCE)


def test_a_session_goes_on_when_its_server_comes_back(loop):
    async def main():
        async with serving(web.get("/", peer)) as (runner, session):
            async with session.get("") as response:
                first = await response.text()
            port = session._base_url.port
            await runner.cleanup()
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get("")
            async with serving(web.get("/", peer), port=port):
                async with session.get("") as response:
                    assert response.status == 200
                    assert await response.text() != first

    finish(loop, main(), PATIENCE)


def test_what_is_wrong_with_an_address_is_told(loop):
    async def main():
        with refusing() as (host, port):
            async with aiohttp.ClientSession() as session:
                with pytest.raises(aiohttp.ClientConnectorError, match="Connect call failed"):
                    await session.get(f"http://{host}:{port}/")
                with pytest.raises(aiohttp.ClientConnectorDNSError, match=r"nowhere\.invalid"):
                    await session.get("http://nowhere.invalid/")
                with pytest.raises(aiohttp.InvalidURL):
                    await session.get("http://:80")

    finish(loop, main(), PATIENCE)


def test_a_taken_port_is_an_error_of_the_server(loop):
    async def main():
        async with serving(web.get("/", peer)) as (_, session):
            with pytest.raises(OSError, match="address already in use"):
                async with serving(web.get("/", peer), port=session._base_url.port):
                    pass

    finish(loop, main(), PATIENCE)

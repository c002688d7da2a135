"""An aiohttp server that takes and gives bodies of any size, without ever holding more than a piece of one.

    epicycle run examples/transfer_server.py --port 8080
    epicycle run examples/transfer_client.py http://127.0.0.1:8080/ --megabytes 100

A body put to /digest is read as it comes, and answered with its length and its SHA-256. /random/COUNT sends that
many bytes of a pseudo-random generator, and after them the 64 digits of their SHA-256. /status tells the loop, the
process and its peak memory. The WebSocket at /echo sends back what it gets.

Port 0, the default, lets the system choose: the address is in the line that begins with "listening on".
--certificate and --key switch on TLS. Ctrl-C ends it: it takes no new connections, and lets the requests under way
have --grace seconds.
"""

import argparse
import asyncio
import hashlib
import os
import random
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import WSCloseCode, WSMsgType, web

PIECE = 64 * 1024
LIVE = web.AppKey("live", set[web.WebSocketResponse])


async def digest(request: web.Request) -> web.Response:
    seen, length = hashlib.sha256(), 0
    async for piece in request.content.iter_chunked(PIECE):
        seen.update(piece)
        length += len(piece)
    return web.json_response({"bytes": length, "sha256": seen.hexdigest()})


async def random_bytes(request: web.Request) -> web.StreamResponse:
    left = int(request.match_info["count"])
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    await response.prepare(request)
    seen, source = hashlib.sha256(), random.Random(left)
    while left:
        piece = source.randbytes(min(left, PIECE))
        left -= len(piece)
        seen.update(piece)
        # Returns only when the client has taken enough of what was sent before.
        await response.write(piece)
    await response.write(seen.hexdigest().encode())
    await response.write_eof()
    return response


def peak_memory() -> int:
    """In KiB. Not from `getrusage`, which counts the memory of the process that started this one as well."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


async def status(_request: web.Request) -> web.Response:
    return web.json_response(
        {
            "loop": str(type(asyncio.get_running_loop())),
            "pid": os.getpid(),
            "peak memory in KiB": peak_memory(),
        }
    )


async def echo(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(max_msg_size=0)
    await websocket.prepare(request)
    request.app[LIVE].add(websocket)
    try:
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await websocket.send_bytes(message.data)
    finally:
        request.app[LIVE].discard(websocket)
    return websocket


async def say_goodbye(app: web.Application) -> None:
    for websocket in set(app[LIVE]):
        await websocket.close(code=WSCloseCode.GOING_AWAY, message=b"the server ends")


def application() -> web.Application:
    app = web.Application(client_max_size=0)
    app[LIVE] = set()
    app.on_shutdown.append(say_goodbye)
    app.add_routes(
        [
            web.put("/digest", digest),
            web.get(r"/random/{count:\d+}", random_bytes),
            web.get("/status", status),
            web.get("/echo", echo),
        ]
    )
    return app


def context_of(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        sys.exit(f"transfer_server: cannot use the certificate {certificate}: {error}")
    return context


def url_of(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def main() -> None:
    parser = argparse.ArgumentParser(description="Take and give bodies of any size.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, lets the system choose")
    parser.add_argument("--certificate", help="a file of PEM; switches on TLS")
    parser.add_argument("--key", help="the certificate's key, where it is in another file")
    parser.add_argument(
        "--grace", type=float, default=10.0, help="seconds for requests at the end (default: 10)"
    )
    args = parser.parse_args()

    context = context_of(args.certificate, args.key)
    family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
    try:
        listener = socket.create_server((args.host, args.port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        sys.exit(f"transfer_server: cannot listen on {args.host} port {args.port}: {error}")

    async def announce(_app: web.Application) -> AsyncIterator[None]:
        print("loop:", type(asyncio.get_running_loop()))
        print("listening on", url_of(listener, "https" if context else "http"), flush=True)
        yield
        print("stopped")

    app = application()
    app.cleanup_ctx.append(announce)
    web.run_app(app, sock=listener, ssl_context=context, shutdown_timeout=args.grace, print=None)


if __name__ == "__main__":
    main()

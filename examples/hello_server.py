"""An aiohttp server with an index page and a greeting, each of which takes half a second to answer.

While one request sleeps the loop serves all the others, so five hundred visitors who come at once wait
little longer than one. `tour.py` shows that; so does any load generator.

    epicycle run examples/hello_server.py --port 8080
    curl http://127.0.0.1:8080/hello/Ada

Port 0, the default, lets the system choose: the address is in the line that begins with "listening on".
Ctrl-C ends it.
"""

import argparse
import asyncio
import html
import socket
import sys
from collections.abc import AsyncIterator

from aiohttp import web

BACKLOG = 1024
DELAY = web.AppKey("delay", float)


def page(text: str) -> web.Response:
    return web.Response(
        text=f"<!doctype html><title>Hello</title><h1>{text}</h1>\n", content_type="text/html"
    )


async def index(request: web.Request) -> web.Response:
    await asyncio.sleep(request.app[DELAY])
    return page("Index")


async def hello(request: web.Request) -> web.Response:
    await asyncio.sleep(request.app[DELAY])
    return page(f"Hello, {html.escape(request.match_info['name'])}!")


def application(delay: float) -> web.Application:
    app = web.Application()
    app[DELAY] = delay
    app.router.add_get("/", index)
    app.router.add_get("/hello/{name}", hello)
    return app


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve an index page and /hello/{name}.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, lets the system choose")
    parser.add_argument("--delay", type=float, default=0.5, help="seconds each answer takes (default: 0.5)")
    args = parser.parse_args()

    # The socket is bound here, so that its port is known and a port in use ends the program with one line.
    family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
    try:
        listener = socket.create_server((args.host, args.port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        sys.exit(f"hello_server: cannot listen on {args.host} port {args.port}: {error}")

    async def announce(_app: web.Application) -> AsyncIterator[None]:
        print("loop:", type(asyncio.get_running_loop()))
        print("listening on", url_of(listener), flush=True)
        yield
        print("stopped")

    app = application(args.delay)
    app.cleanup_ctx.append(announce)
    web.run_app(app, sock=listener, backlog=BACKLOG, print=None)


if __name__ == "__main__":
    main()

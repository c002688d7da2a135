"""A Starlette application with what web applications are made of: streams both ways, events, a WebSocket, lifespan.

It runs under any ASGI server; each of these puts Epicycle under it:

    uvicorn --app-dir examples --loop epicycle:new_event_loop starlette_app:app
    gunicorn --chdir examples -k epicycle.gunicorn.UvicornWorker starlette_app:app
    epicycle run -m hypercorn examples/starlette_app.py:app
    epicycle run -m granian --interface asgi --loop asyncio --working-dir examples starlette_app:app

and so does the program itself: `epicycle run examples/starlette_app.py --port 8000`. Ctrl-C ends it.

    curl http://127.0.0.1:8000/                          the loop and the process that answer
    curl -N http://127.0.0.1:8000/events?count=3         server-sent events
    curl -T FILE http://127.0.0.1:8000/digest            a body of any size, read as it comes
    curl http://127.0.0.1:8000/zeros/1000000 -o FILE     an answer of any size, sent as it is taken

The WebSocket at /echo sends back what it gets.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

CHUNK = bytes(64 * 1024)


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, str]]:
    kind = type(asyncio.get_running_loop())
    print("started on", kind, flush=True)
    yield {"loop": f"{kind.__module__}.{kind.__qualname__}"}
    print("stopped", flush=True)


async def index(request: Request) -> JSONResponse:
    """The loop as it was when the application started, and as it is now, with the process's number."""
    kind = type(asyncio.get_running_loop())
    return JSONResponse(
        {
            "loop": f"{kind.__module__}.{kind.__qualname__}",
            "started on": request.state.loop,
            "pid": os.getpid(),
        }
    )


async def digest(request: Request) -> JSONResponse:
    seen, length = hashlib.sha256(), 0
    async for part in request.stream():
        seen.update(part)
        length += len(part)
    return JSONResponse({"bytes": length, "sha256": seen.hexdigest()})


async def zeros(request: Request) -> StreamingResponse:
    async def parts(left: int) -> AsyncIterator[bytes]:
        while left:
            part = CHUNK[:left]
            left -= len(part)
            yield part

    return StreamingResponse(parts(request.path_params["count"]), media_type="application/octet-stream")


async def events(request: Request) -> StreamingResponse:
    count = int(request.query_params.get("count", "10"))
    pause = float(request.query_params.get("pause", "0.1"))

    async def numbered() -> AsyncIterator[str]:
        try:
            for number in range(1, count + 1):
                yield f"id: {number}\ndata: event {number}\n\n"
                await asyncio.sleep(pause)
        finally:
            print("events ended", flush=True)

    return StreamingResponse(
        numbered(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", index),
        Route("/digest", digest, methods=["PUT", "POST"]),
        Route("/zeros/{count:int}", zeros),
        Route("/events", events),
        WebSocketRoute("/echo", echo),
    ],
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a Starlette application on Epicycle's loop.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 lets the system choose (default: 8000)")
    args = parser.parse_args()

    import uvicorn

    uvicorn.run(app, host=args.host, port=args.port, loop="epicycle:new_event_loop")


if __name__ == "__main__":
    main()

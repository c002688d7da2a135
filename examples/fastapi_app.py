"""A FastAPI application under uvicorn on Epicycle: the loop factory is all uvicorn has to be told.

From the command line, or from the program itself (both need uvicorn 0.36 or later):

    uvicorn --app-dir examples --loop epicycle:new_event_loop fastapi_app:app
    epicycle run examples/fastapi_app.py --port 8000

It has an asynchronous route, one that blocks and therefore runs in a thread, one that adds the numbers of a
JSON body, and one that names the loop. Ctrl-C ends it.
"""

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    print("loop:", type(asyncio.get_running_loop()), flush=True)
    yield
    print("stopped", flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/hello/{name}")
async def hello(name: str, delay: float = 0.0) -> dict[str, str]:
    await asyncio.sleep(delay)
    return {"message": f"Hello, {name}!"}


@app.get("/blocking/{name}")
def blocking(name: str, delay: float = 0.0) -> dict[str, str]:
    time.sleep(delay)
    return {"message": f"Hello from a thread, {name}!"}


@app.post("/sum")
async def add(numbers: list[int]) -> dict[str, int]:
    return {"sum": sum(numbers)}


@app.get("/loop")
async def loop() -> dict[str, str]:
    kind = type(asyncio.get_running_loop())
    return {"loop": f"{kind.__module__}.{kind.__qualname__}"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a FastAPI application on Epicycle's loop.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 lets the system choose (default: 8000)")
    args = parser.parse_args()
    uvicorn.run(app, host=args.host, port=args.port, loop="epicycle:new_event_loop")


if __name__ == "__main__":
    main()

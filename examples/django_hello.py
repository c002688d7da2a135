"""A whole Django site in one file, with asynchronous views, for any ASGI server on Epicycle.

    uvicorn --app-dir examples --lifespan off --loop epicycle:new_event_loop django_hello:app
    gunicorn --chdir examples -k epicycle.gunicorn.UvicornWorker django_hello:app
    epicycle run examples/django_hello.py --port 8000

    curl http://127.0.0.1:8000/hello/Ada?delay=0.5
    curl http://127.0.0.1:8000/loop

Ctrl-C ends it. Django knows nothing of ASGI's lifespan, which uvicorn finds out by itself as well.
"""

import argparse
import asyncio
import html
import secrets

import django
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost", "[::1]"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=secrets.token_hex(32),
)
django.setup()


async def hello(request: HttpRequest, name: str) -> HttpResponse:
    await asyncio.sleep(float(request.GET.get("delay", "0")))
    return HttpResponse(f"<!doctype html><title>Hello</title><h1>Hello, {html.escape(name)}!</h1>\n")


def blocking(_request: HttpRequest, name: str) -> HttpResponse:
    """A view of the old kind: Django runs it in a thread."""
    return HttpResponse(f"Hello from a thread, {html.escape(name)}!\n")


async def loop(_request: HttpRequest) -> JsonResponse:
    kind = type(asyncio.get_running_loop())
    return JsonResponse({"loop": f"{kind.__module__}.{kind.__qualname__}"})


async def countdown(_request: HttpRequest, start: int) -> StreamingHttpResponse:
    async def numbers():  # type: ignore[no-untyped-def]
        for number in range(start, 0, -1):
            yield f"{number}\n"
            await asyncio.sleep(0.01)

    return StreamingHttpResponse(numbers(), content_type="text/plain")


urlpatterns = [
    path("hello/<str:name>", hello),
    path("blocking/<str:name>", blocking),
    path("loop", loop),
    path("countdown/<int:start>", countdown),
]

app = get_asgi_application()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a small Django site on Epicycle's loop.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 lets the system choose (default: 8000)")
    args = parser.parse_args()
    uvicorn.run(app, host=args.host, port=args.port, loop="epicycle:new_event_loop", lifespan="off")


if __name__ == "__main__":
    main()

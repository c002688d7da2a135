"""A web site of two thousand pages on two hosts, to try a crawler on: slow pages, errors, traps.

Page n links to pages 2n + 1 and 2n + 2, and the hosts have the pages by turns, so every page is found by going over
the links. Some pages are slow; some fail, lose their connection or break off when first asked for; some are reached
by a redirect. The first page also links to a loop of redirects, an endless chain of them, a page that always
fails, one that is missing, one too large, one that robots.txt forbids, a picture, and a host that is not there.

    python examples/crawler/practice_site.py --pages 2000
"""

import argparse
import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Callable

from aiohttp import web

ROBOTS = "User-agent: *\nDisallow: /private/\n"
TRAPS = [
    "/loop/a",
    "/endless/0",
    "/broken",
    "/missing",
    "/large",
    "/private/page",
    "/picture.png",
    "/away",
    "http://host.invalid/",
    "http://[::bad",
    "mailto:somebody@host.invalid",
    "javascript:alert(1)",
    "#top",
]


class Site:
    """Serves `pages` pages; a slow one takes `slow` seconds.

    `requests` counts what was asked for, by address; `at_once` and `most_at_once` say how many requests a host has
    and had on its hands; `on_request` is called for each. `robots` is the first host's robots.txt, or the status it
    answers with instead; the other hosts have none.
    """

    def __init__(self, pages: int = 2000, slow: float = 0.3, robots: str | int = ROBOTS) -> None:
        self.pages = pages
        self.slow = slow
        self.robots = robots
        self.hosts: list[str] = []
        self.requests: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.on_request: Callable[[], None] = lambda: None
        self.at_once: Counter[str] = Counter()
        self._runners: list[web.AppRunner] = []

    async def start(self, addresses: list[str]) -> None:
        """Listen on each of `addresses`, on ports that the system picks; `hosts` has their URLs then."""
        for address in addresses:
            app = web.Application(middlewares=[self._count])
            app.router.add_get("/{path:.*}", self._answer)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            self._runners.append(runner)
            await runner.setup()
            site = web.TCPSite(runner, address, 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.hosts.append(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    def address_of(self, number: int) -> str:
        """Where page `number` is."""
        return f"{self.hosts[number % len(self.hosts)]}/" + (f"page/{number}" if number else "")

    def is_slow(self, number: int) -> bool:
        return number % 40 == 7

    def is_moved(self, number: int) -> bool:
        return number % 100 == 17

    def first_trouble(self, number: int) -> str | None:
        """What happens to the first request for a page."""
        return {11: "unavailable", 23: "lost", 38: "broken off"}.get(number % 50)

    @web.middleware
    async def _count(self, request: web.Request, handler) -> web.StreamResponse:
        host = f"http://{request.host}"
        self.requests[f"{host}{request.path}"] += 1
        self.agents.add(request.headers.get("User-Agent", ""))
        self.at_once[host] += 1
        self.most_at_once[host] = max(self.most_at_once[host], self.at_once[host])
        self.on_request()
        try:
            return await handler(request)
        finally:
            self.at_once[host] -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, host = request.path, f"http://{request.host}"
        name, _, rest = path[1:].partition("/")
        if f"{host}{path}" == self.address_of(0):
            return await self._page(request, 0)
        if path == "/":
            raise web.HTTPFound(f"/page/{self.hosts.index(host)}")
        if (
            name == "page"
            and rest.isdigit()
            and int(rest) < self.pages
            and host in self.address_of(int(rest))
        ):
            return await self._page(request, int(rest))
        if path == "/robots.txt" and host == self.hosts[0]:
            if isinstance(self.robots, int):
                return web.Response(status=self.robots)
            return web.Response(text=self.robots)
        if name == "moved":
            raise web.HTTPMovedPermanently(self.address_of(int(rest)))
        if name == "loop":
            raise web.HTTPFound("/loop/b" if rest == "a" else "/loop/a")
        if name == "endless":
            raise web.HTTPTemporaryRedirect(f"/endless/{int(rest) + 1}")
        if name == "away":
            raise web.HTTPSeeOther("http://host.invalid/elsewhere")
        if name == "broken":
            raise web.HTTPInternalServerError
        if name == "large":
            return web.Response(body=b"<a href=/missing2>" * 1_000_000, content_type="text/html")
        if name == "picture.png":
            return web.Response(body=b"<a href=/missing3>", content_type="image/png")
        raise web.HTTPNotFound

    async def _page(self, request: web.Request, number: int) -> web.StreamResponse:
        if self.requests[f"http://{request.host}{request.path}"] == 1:
            trouble = self.first_trouble(number)
            if trouble == "unavailable":
                raise web.HTTPServiceUnavailable(headers={"Retry-After": "0"})
            if trouble is not None:
                return await self._break_off(request, trouble)
        if self.is_slow(number):
            await asyncio.sleep(self.slow)
        return web.Response(text=self._html(number), content_type="text/html")

    async def _break_off(self, request: web.Request, trouble: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "text/html"})
        if trouble == "broken off":
            await response.prepare(request)
            await response.write(b"<title>Half a p")
        if request.transport is not None:
            request.transport.close()
        return response

    def _html(self, number: int) -> str:
        children = [child for child in (2 * number + 1, 2 * number + 2) if child < self.pages]
        links = [self._link(number, child) for child in children]
        # Pages are met more than once, and under addresses that differ only behind the `#`.
        links += [self.address_of(number // 2) + "#top", self.address_of((number * 7 + 3) % self.pages)]
        if number == 0:
            links += TRAPS
        anchors = "\n".join(f'<a href="{link}">on</a>' for link in links)
        return f"<!doctype html>\n<title>Page {number}</title>\n<h1 id=top>Page {number}</h1>\n{anchors}\n"

    def _link(self, number: int, child: int) -> str:
        if self.is_moved(child):
            return f"{self.hosts[number % len(self.hosts)]}/moved/{child}"
        here = self.address_of(number).rpartition("/")[0].removesuffix("/page")
        return self.address_of(child).removeprefix(here)


async def serve(args: argparse.Namespace) -> None:
    site = Site(args.pages, args.slow)
    try:
        await site.start(args.addresses)
        for host in site.hosts:
            print(f"listening on {host}/", flush=True)
        await asyncio.Event().wait()
    finally:
        await site.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a web site to try a crawler on.")
    parser.add_argument(
        "addresses", nargs="*", metavar="ADDRESS", help="default: 127.0.0.1 twice, on two ports"
    )
    parser.add_argument("--pages", type=int, default=2000, help="how many (default: 2000)")
    parser.add_argument(
        "--slow", type=float, default=0.3, help="seconds that a slow page takes (default: 0.3)"
    )
    args = parser.parse_args()
    args.addresses = args.addresses or ["127.0.0.1", "127.0.0.1"]
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(args))
    except OSError as error:
        sys.exit(f"practice_site: cannot listen: {error.strerror or error}")


if __name__ == "__main__":
    main()

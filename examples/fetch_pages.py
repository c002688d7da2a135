"""An aiohttp client that fetches pages from several hosts at once.

The requests overlap, so the whole takes about as long as the slowest of them; the table keeps the order of
the command line. A page that cannot be fetched gets a line on standard error, and the exit status is 1.

    epicycle run examples/fetch_pages.py http://127.0.0.1:8080/ 'http://[::1]:8081/hello/Ada'
"""

import argparse
import asyncio
import sys
import time

import aiohttp


async def fetch(session: aiohttp.ClientSession, url: str) -> tuple[int, int, float]:
    """Return the status, the length of the body in bytes, and the seconds it took."""
    began = time.perf_counter()
    async with session.get(url) as response:
        body = await response.read()
    return response.status, len(body), time.perf_counter() - began


async def fetch_all(urls: list[str], timeout: float) -> int:
    """Fetch and print all; return how many failed."""
    print("loop:", type(asyncio.get_running_loop()))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session:
        outcomes = await asyncio.gather(*(fetch(session, url) for url in urls), return_exceptions=True)

    failures = 0
    for url, outcome in zip(urls, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            failures += 1
            print(f"fetch_pages: {url}: {type(outcome).__name__}: {outcome}", file=sys.stderr)
        else:
            status, size, seconds = outcome
            print(f"{url} status={status} bytes={size} seconds={seconds:.2f}")
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch pages from several hosts at once.")
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds allowed per page (default: 10)")
    args = parser.parse_args()
    try:
        failures = asyncio.run(fetch_all(args.urls, args.timeout))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

"""A blocking library, `requests`, used from coroutines: each page is fetched in a thread.

A page that cannot be fetched gets a line on standard error, and the exit status is 1.

    epicycle run examples/requests_in_threads.py http://127.0.0.1:8080/ http://127.0.0.1:8080/hello/Ada
"""

import argparse
import asyncio
import sys

import requests


async def fetch(url: str, timeout: float) -> requests.Response:
    return await asyncio.to_thread(requests.get, url, timeout=timeout)


async def fetch_all(urls: list[str], timeout: float) -> int:
    """Fetch and print all; return how many failed."""
    print("loop:", type(asyncio.get_running_loop()))
    outcomes = await asyncio.gather(*(fetch(url, timeout) for url in urls), return_exceptions=True)
    failures = 0
    for url, outcome in zip(urls, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            failures += 1
            print(f"requests_in_threads: {url}: {outcome}", file=sys.stderr)
        else:
            print(f"{url} status={outcome.status_code} bytes={len(outcome.content)}")
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch pages with requests, in threads.")
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

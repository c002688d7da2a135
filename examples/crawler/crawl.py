"""Crawl the hosts of some URLs and write a line of JSON for every page: a bounded pool of workers at work.

Each host gets so many requests at once and no more, its robots.txt is obeyed, what fails in passing is tried again
later, redirects are followed and loops of them found. Ctrl-C ends it with a report, and with the pages so far in the
file. `practice_site.py` serves two thousand pages to try it on:

    python examples/crawler/practice_site.py
    epicycle run examples/crawler/crawl.py http://127.0.0.1:PORT/ --output pages.jsonl
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import TextIO

import aiohttp
from crawler import Crawler, Limits
from fetching import BackOff, Fetcher
from output import Output, OutputFailed
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from yarl import URL

AGENT = "epicycle-example-crawler"


async def crawl(args: argparse.Namespace, output: Output) -> int:
    """Crawl, report, and return the exit status."""
    began = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=args.workers)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=connector, headers={"User-Agent": AGENT}
    ) as session:
        with progress_bar() as show:
            crawler = Crawler(
                args.urls,
                Fetcher(session, args.timeout, args.max_bytes),
                output,
                Limits(args.workers, args.per_host, args.max_redirects, args.max_urls),
                BackOff(args.retries, args.back_off),
                AGENT,
                lambda: show(sum(crawler.counts.values()), len(crawler.frontier.seen)),
            )
            with stopped_by_signals(crawler):
                await crawler.run()

    fetched = crawler.counts["fetched"] + crawler.counts["redirects"]
    if fetched:
        await asyncio.to_thread(output.commit)
    report(crawler, time.monotonic() - began, sys.stderr if output.standard else sys.stdout)
    bad = [url for url in crawler.starts if url in crawler.failed]
    for url in bad:
        print(f"crawl: {url}: {crawler.failed[url]}", file=sys.stderr)
    if crawler.interrupted:
        return 130
    return 1 if bad else 0


@contextlib.contextmanager
def stopped_by_signals(crawler: Crawler) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the crawl in good order, a second one at once."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        restore()
        crawler.stop()

    def restore() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        restore()


@contextlib.contextmanager
def progress_bar():
    """A function that shows how many of how many URLs are done; it shows nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda done, known: None
        return
    columns = (TextColumn("crawling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("crawling", total=None)
        yield lambda done, known: progress.update(bar, completed=done, total=known)


def report(crawler: Crawler, seconds: float, stream: TextIO) -> None:
    counts = crawler.counts
    say = {
        "loop": type(asyncio.get_running_loop()),
        "pages": counts["fetched"],
        "redirects": counts["redirects"],
        "excluded by robots.txt": counts["excluded"],
        "failed": counts["failed"],
        "retries": crawler.retries,
        "not reached": len(crawler.frontier.seen) - sum(counts.values()),
        "bytes": crawler.bytes,
        "answers": ", ".join(f"{status}: {times}" for status, times in sorted(crawler.statuses.items()))
        or "none",
        "seconds": f"{seconds:.1f}",
    }
    for name, value in say.items():
        print(f"{name}: {value}", file=stream)
    for origin, host in sorted(crawler.frontier.hosts.items(), key=lambda item: str(item[0])):
        print(f"most at once from {origin}: {host.most_at_once}", file=stream)
    print("interrupted" if crawler.interrupted else "finished", file=stream, flush=True)


def http_url(text: str) -> URL:
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        port = None
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or not port:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address like http://host/path")
    return url


def at_least(least: float, kind: type = int):
    def number(text: str):
        value = kind(text)
        if not value >= least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return value

    number.__name__ = "number"
    return number


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Crawl the hosts of some URLs; a line of JSON for every page."
    )
    parser.add_argument(
        "urls", nargs="+", type=http_url, metavar="URL", help="where to start; no other hosts are visited"
    )
    parser.add_argument(
        "--output", default="pages.jsonl", metavar="FILE", help="default: pages.jsonl; - is standard output"
    )
    parser.add_argument(
        "--workers", type=at_least(1), default=20, help="requests at once in all (default: 20)"
    )
    parser.add_argument(
        "--per-host", type=at_least(1), default=8, help="requests at once to one host (default: 8)"
    )
    parser.add_argument(
        "--retries", type=at_least(0), default=3, help="new tries of what fails in passing (default: 3)"
    )
    parser.add_argument(
        "--back-off",
        type=at_least(0, float),
        default=0.5,
        metavar="SECONDS",
        help="before the first new try; doubles each time (default: 0.5)",
    )
    parser.add_argument(
        "--timeout",
        type=at_least(0, float),
        default=10.0,
        metavar="SECONDS",
        help="for one answer (default: 10)",
    )
    parser.add_argument("--max-redirects", type=at_least(0), default=5, help="in a chain (default: 5)")
    parser.add_argument(
        "--max-bytes", type=at_least(1), default=1_000_000, help="of one page (default: 1000000)"
    )
    parser.add_argument("--max-urls", type=at_least(1), help="to look at in all (default: no limit)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    try:
        with contextlib.closing(Output(args.output)) as output:
            status = asyncio.run(crawl(args, output))
    except OutputFailed as error:
        sys.exit(f"crawl: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(status)


if __name__ == "__main__":
    main()

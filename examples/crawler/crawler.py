"""The crawler: workers that take from the frontier, fetch, read, and hand a record of each URL to one writer."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from fetching import Answer, BackOff, Failure, Fetcher
from frontier import Frontier, Job
from output import Output
from pages import read_page
from robots import Robots
from yarl import URL


@dataclass(frozen=True)
class Limits:
    """`workers` fetch at once in all, `per_host` from one host; a chain of redirects is at most `redirects` long."""

    workers: int
    per_host: int
    redirects: int
    urls: int | None


class Crawler:
    """Crawls the hosts of `starts`, from those URLs on, and writes a record for every URL met.

    `counts` says how many records of each kind there were, `failed` why a URL was not fetched, and `retries`, `bytes`
    and `statuses` what their names say.
    `on_record` is called after each record.
    """

    def __init__(
        self,
        starts: Iterable[URL],
        fetcher: Fetcher,
        output: Output,
        limits: Limits,
        back_off: BackOff,
        agent: str,
        on_record: Callable[[], None] = lambda: None,
    ) -> None:
        self.starts = [url.with_fragment(None) for url in starts]
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.retries = 0
        self.bytes = 0
        self.failed: dict[URL, str] = {}
        self.interrupted = False
        self.frontier = Frontier(limits.per_host, limits.urls)
        self._hosts = {url.origin() for url in self.starts}
        self._fetcher = fetcher
        self._robots = Robots(fetcher, agent, back_off, self._count_retry)
        self._output = output
        self._limits = limits
        self._back_off = back_off
        self._on_record = on_record
        # Bounded, so that a slow disk slows the workers down rather than filling the memory.
        self._records: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(1000)
        self._workers: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Crawl until nothing is left or `stop` is called. Raises OutputFailed as soon as a record cannot be kept."""
        for url in self.starts:
            self.frontier.add(Job(url))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write())
                self._workers = [group.create_task(self._work()) for _ in range(self._limits.workers)]
                await asyncio.wait(self._workers)
                await self._records.put(None)
        except BaseExceptionGroup as errors:
            # The first one ended the others.
            raise errors.exceptions[0] from errors

    def stop(self) -> None:
        """Give up what is on its way and start nothing more; `run` then writes what there is and returns."""
        self.interrupted = True
        self.frontier.stop()
        for worker in self._workers:
            worker.cancel()

    async def _work(self) -> None:
        while (job := await self.frontier.take()) is not None:
            try:
                await self._handle(job)
            finally:
                self.frontier.done(job)

    async def _handle(self, job: Job) -> None:
        began = time.monotonic()
        try:
            if not await self._robots.allow(job.url):
                await self._record(job, "excluded", reason="robots.txt")
                return
            self.frontier.pace(job.url, await self._robots.delay(job.url))
            answer = await self._fetcher.fetch(job.url)
        except Failure as failure:
            if not (failure.passing and self._try_again(job, None)):
                await self._record(job, "failed", error=str(failure))
            return
        if answer.passing and self._try_again(job, answer.wait):
            return
        self.statuses[answer.status] += 1
        self.bytes += len(answer.body)
        seconds = round(time.monotonic() - began, 4)
        if answer.location is not None:
            await self._follow(job, answer, answer.location, seconds)
        elif answer.status >= 300:
            await self._record(job, "failed", answer, seconds=seconds, error=f"status {answer.status}")
        else:
            await self._read(job, answer, seconds)

    def _try_again(self, job: Job, wait: float | None) -> bool:
        if job.attempt > self._back_off.retries:
            return False
        self._count_retry()
        self.frontier.again(replace(job, attempt=job.attempt + 1), self._back_off.delay(job.attempt, wait))
        return True

    def _count_retry(self) -> None:
        self.retries += 1

    async def _follow(self, job: Job, answer: Answer, target: URL, seconds: float) -> None:
        chain = (*job.chain, job.url)
        facts: dict[str, Any] = {"location": str(target), "seconds": seconds}
        if target in chain:
            await self._record(job, "failed", answer, **facts, error="a loop of redirects")
        elif len(chain) > self._limits.redirects:
            await self._record(
                job, "failed", answer, **facts, error=f"more than {self._limits.redirects} redirects"
            )
        else:
            if target.origin() in self._hosts:
                self.frontier.add(Job(target, chain))
            await self._record(job, "redirects", answer, **facts)

    async def _read(self, job: Job, answer: Answer, seconds: float) -> None:
        facts: dict[str, Any] = {"seconds": seconds}
        if answer.type == "text/html":
            try:
                text = answer.body.decode(answer.charset, "replace")
            except LookupError:
                text = answer.body.decode("utf-8", "replace")
            page = read_page(job.url, text)
            facts |= {"bytes": len(answer.body), "title": page.title, "links": len(page.links)}
            for link in page.links:
                if link.origin() in self._hosts:
                    self.frontier.add(Job(link))
        await self._record(job, "fetched", answer, **facts)

    async def _record(self, job: Job, kind: str, answer: Answer | None = None, **facts: Any) -> None:
        record: dict[str, Any] = {"url": str(job.url), "outcome": kind, "attempts": job.attempt}
        if answer is not None:
            record |= {"status": answer.status, "type": answer.type}
        if job.chain:
            record["from"] = [str(url) for url in job.chain]
        await self._records.put(record | facts)
        self.counts[kind] += 1
        if kind in ("failed", "excluded"):
            self.failed[job.url] = facts.get("error") or "excluded by robots.txt"
        self._on_record()

    async def _write(self) -> None:
        while True:
            batch = [await self._records.get()]
            while not self._records.empty():
                batch.append(self._records.get_nowait())
            records = [record for record in batch if record is not None]
            await asyncio.to_thread(self._output.write, records)
            if len(records) < len(batch):
                return

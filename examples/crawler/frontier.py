"""What is still to be fetched, and whose turn it is: fair between hosts, never more than so many at once from one."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from yarl import URL


@dataclass(frozen=True)
class Job:
    """One URL to fetch: the redirects that led to it, and which attempt this is."""

    url: URL
    chain: tuple[URL, ...] = ()
    attempt: int = 1


@dataclass
class Host:
    """One origin: what waits for it, how many requests are on their way, and its pace in seconds.

    Until its pace is known it is asked one thing at a time.
    """

    waiting: deque[Job] = field(default_factory=deque)
    active: int = 0
    most_at_once: int = 0
    delay: float | None = None
    not_before: float = 0.0


class Frontier:
    """Hands out each URL once. `per_host` is the most jobs of one origin at a time, `limit` the most URLs in all."""

    def __init__(self, per_host: int, limit: int | None = None) -> None:
        self.hosts: dict[URL, Host] = {}
        self.seen: set[URL] = set()
        self.unfinished = 0
        self._per_host = per_host
        self._limit = limit
        self._turns: deque[Host] = deque()
        self._later: set[asyncio.TimerHandle] = set()
        self._changed = asyncio.Event()
        self._stopped = False

    def add(self, job: Job) -> bool:
        """Take `job` in unless its URL is known already or the limit is reached; whether it was taken."""
        if job.url in self.seen or (self._limit is not None and len(self.seen) >= self._limit):
            return False
        self.seen.add(job.url)
        self.unfinished += 1
        self._host(job.url).waiting.append(job)
        self._changed.set()
        return True

    def again(self, job: Job, delay: float) -> None:
        """Hand out a job once more after `delay` seconds; no worker waits for it meanwhile."""
        self.unfinished += 1

        def return_it() -> None:
            self._later.discard(handle)
            self._host(job.url).waiting.append(job)
            self._changed.set()

        handle = asyncio.get_running_loop().call_later(delay, return_it)
        self._later.add(handle)

    async def take(self) -> Job | None:
        """Wait for a job whose host may be asked now; None when everything is done, or after `stop`."""
        while not self._stopped and self.unfinished:
            job = self._next()
            if job is not None:
                return job
            self._changed.clear()
            await self._changed.wait()
        return None

    def done(self, job: Job) -> None:
        """A job that was taken has come to its end."""
        self._host(job.url).active -= 1
        self.unfinished -= 1
        self._changed.set()

    def pace(self, url: URL, delay: float) -> None:
        """Leave at least `delay` seconds between two requests to the host of `url`; what was said first holds."""
        host = self._host(url)
        if host.delay is None:
            host.delay = delay
            self._rest(host)

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stopped = True
        for handle in self._later:
            handle.cancel()
        self._later.clear()
        self._changed.set()

    def _host(self, url: URL) -> Host:
        origin = url.origin()
        host = self.hosts.get(origin)
        if host is None:
            host = self.hosts[origin] = Host()
            self._turns.append(host)
        return host

    def _next(self) -> Job | None:
        now = asyncio.get_running_loop().time()
        for _ in range(len(self._turns)):
            host = self._turns[0]
            self._turns.rotate(-1)
            room = 1 if host.delay is None else self._per_host
            if host.waiting and host.active < room and host.not_before <= now:
                host.active += 1
                host.most_at_once = max(host.most_at_once, host.active)
                self._rest(host)
                return host.waiting.popleft()
        return None

    def _rest(self, host: Host) -> None:
        if host.delay:
            loop = asyncio.get_running_loop()
            host.not_before = loop.time() + host.delay
            # A little later, since a timer may be early by its resolution.
            loop.call_at(host.not_before + 0.001, self._changed.set)

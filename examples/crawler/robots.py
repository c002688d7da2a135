"""What each host's robots.txt allows, asked for once and before anything else of that host."""

import asyncio
from collections.abc import Callable
from urllib.robotparser import RobotFileParser

from fetching import Answer, BackOff, Failure, Fetcher
from yarl import URL

REDIRECTS = 5


class Robots:
    """The rules of all hosts for one user agent.

    A host without the file allows everything. One that does not say (a server's error, no answer) is tried again,
    and given up then: what is asked of it later fails at once. `retried` is called for every new try.
    """

    def __init__(self, fetcher: Fetcher, agent: str, back_off: BackOff, retried: Callable[[], None]) -> None:
        self._fetcher = fetcher
        self._agent = agent
        self._back_off = back_off
        self._retried = retried
        self._rules: dict[URL, RobotFileParser | Failure] = {}
        self._asking: dict[URL, asyncio.Lock] = {}

    async def allow(self, url: URL) -> bool:
        """Whether `url` may be fetched; asks its host first where that has not been done. Raises Failure."""
        return (await self._of(url.origin())).can_fetch(self._agent, str(url))

    async def delay(self, url: URL) -> float:
        """The seconds that its host wants between two requests, 0 where it does not say. Raises Failure."""
        return float((await self._of(url.origin())).crawl_delay(self._agent) or 0)

    async def _of(self, origin: URL) -> RobotFileParser:
        async with self._asking.setdefault(origin, asyncio.Lock()):
            rules = self._rules.get(origin)
            if rules is None:
                try:
                    rules = _parsed(await self._ask(origin))
                except Failure as failure:
                    rules = Failure(f"robots.txt: {failure}", passing=False)
                self._rules[origin] = rules
        if isinstance(rules, Failure):
            raise rules
        return rules

    async def _ask(self, origin: URL) -> Answer:
        attempt = 1
        while True:
            wait = None
            try:
                answer = await self._follow(origin / "robots.txt")
                if not answer.passing:
                    return answer
                wait = answer.wait
                failure = Failure(f"status {answer.status}", passing=True)
            except Failure as raised:
                failure = raised
            if not failure.passing or attempt > self._back_off.retries:
                raise failure
            self._retried()
            await asyncio.sleep(self._back_off.delay(attempt, wait))
            attempt += 1

    async def _follow(self, url: URL) -> Answer:
        for _ in range(REDIRECTS + 1):
            answer = await self._fetcher.fetch(url, types=None)
            if answer.location is None:
                return answer
            url = answer.location
        raise Failure(f"more than {REDIRECTS} redirects", passing=False)


def _parsed(answer: Answer) -> RobotFileParser:
    rules = RobotFileParser()
    if answer.status < 300:
        rules.parse(answer.body.decode("utf-8", "replace").splitlines())
    elif answer.status < 500:
        rules.allow_all = True
    else:
        raise Failure(f"status {answer.status}", passing=False)
    return rules

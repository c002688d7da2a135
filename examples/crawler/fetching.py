"""One request and its answer, within bounds of time and size; redirects are left to the caller."""

import asyncio
import random
import time
from collections.abc import Container
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

REDIRECTS = {301, 302, 303, 307, 308}
# Answers that may be another one a little later.
PASSING = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is empty where its type was not asked for; `wait` is what Retry-After says, in seconds."""

    status: int
    type: str
    body: bytes
    charset: str
    location: URL | None
    wait: float | None

    @property
    def passing(self) -> bool:
        return self.status in PASSING


class Failure(Exception):
    """No answer; `passing` says whether trying again may help."""

    def __init__(self, reason: str, passing: bool) -> None:
        super().__init__(reason)
        self.passing = passing


@dataclass(frozen=True)
class BackOff:
    """How often to try again, and how long to wait before: twice as long each time, and never all at once."""

    retries: int
    first: float
    most: float = 30.0

    def delay(self, attempt: int, wait: float | None = None) -> float:
        """Seconds between attempt number `attempt` and the next; at least `wait`, which a server may ask for."""
        delay = self.first * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
        return min(self.most, max(delay, wait or 0.0))


class Fetcher:
    """Makes requests over `session`: none takes more than `timeout` seconds, no body more than `most` bytes."""

    def __init__(self, session: aiohttp.ClientSession, timeout: float, most: int) -> None:
        self._session = session
        self._timeout = timeout
        self._most = most

    async def fetch(self, url: URL, types: Container[str] | None = ("text/html",)) -> Answer:
        """Get `url`, and its body where that is of one of `types` (None: of any); raises Failure."""
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._session.get(url, allow_redirects=False) as response,
            ):
                body = b""
                if response.status < 300 and (types is None or response.content_type in types):
                    body = await self._body(response)
                return Answer(
                    response.status,
                    response.content_type,
                    body,
                    response.charset or "utf-8",
                    _location(response),
                    _wait(response.headers.get("Retry-After")),
                )
        except TimeoutError as error:
            raise Failure(f"no answer within {self._timeout:g} s", passing=True) from error
        except aiohttp.InvalidURL as error:
            raise Failure(f"not an address: {error}", passing=False) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Failure(str(error) or type(error).__name__, passing=True) from error

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._most:
                raise Failure(f"larger than {self._most} bytes", passing=False)
        return bytes(body)


def _location(response: aiohttp.ClientResponse) -> URL | None:
    """Where a redirect leads; None where the answer is none."""
    if response.status not in REDIRECTS:
        return None
    where = response.headers.get("Location")
    if not where:
        raise Failure("a redirect that does not say where to", passing=False)
    try:
        return response.url.join(URL(where)).with_fragment(None)
    except ValueError as error:
        raise Failure(f"a redirect to {where!r}, which is no address", passing=False) from error


def _wait(value: str | None) -> float | None:
    """Retry-After in seconds, which is a number or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None

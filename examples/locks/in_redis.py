"""A key with an expiry in Redis, by `redis.asyncio.lock`, and a counter for the fencing token.

A holder that dies or stands still is replaced when the key has expired. Those that wait ask again and again, and who
comes first is chance. The token is taken by a script that looks whether the key is still ours: a holder that stood
still between the two would otherwise get a newer token than its successor.
"""

from typing import Any

from reaching import address
from redis.asyncio import Redis
from redis.asyncio.lock import Lock as RedisLock
from redis.exceptions import LockError, RedisError

from locks.renewal import Renewal

TAKE_TOKEN = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return false end
return redis.call('incr', KEYS[2])
"""


class Lock:
    errors = (RedisError, OSError)

    def __init__(self, url: str, name: str, lease: float) -> None:
        address(url, "redis", "rediss")
        self.client: Any = Redis.from_url(url)
        self.keys = [f"{name}:lock", f"{name}:fence"]
        self.lock = RedisLock(self.client, self.keys[0], timeout=lease, sleep=0.01)
        self.take_token = self.client.register_script(TAKE_TOKEN)
        self.renewal = Renewal(lease, self.lock.reacquire)

    async def open(self) -> None:
        await self.client.ping()

    async def acquire(self) -> int:
        while True:
            await self.lock.acquire()
            token = await self.take_token(keys=self.keys, args=[self.lock.local.token])
            if token is not None:
                self.renewal.start()
                return int(token)

    async def release(self) -> None:
        await self.renewal.stop()
        try:
            await self.lock.release()
        except LockError:
            # It had expired. What was written under it has been fenced off, or was in time.
            self.lock.local.token = None

    async def forget(self) -> None:
        await self.client.delete(*self.keys)

    async def close(self) -> None:
        await self.renewal.stop()
        await self.client.aclose()

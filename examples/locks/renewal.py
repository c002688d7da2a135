"""Keeps a lease alive while its holder works: `renew()` three times per lease."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable


class Renewal:
    def __init__(self, lease: float, renew: Callable[[], Awaitable[object]]) -> None:
        self.interval = lease / 3
        self.renew = renew
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            # What fails here has failed the lock: the next use of it, or the fencing token, tells the holder.
            await self.renew()

    async def stop(self) -> None:
        """Afterwards the connection is the caller's alone."""
        task, self.task = self.task, None
        while task is not None and not task.done():
            # Again until it is heard: redis-py 8.1 loses some cancellations.
            task.cancel()
            await asyncio.wait([task], timeout=0.1)
        if task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                task.exception()

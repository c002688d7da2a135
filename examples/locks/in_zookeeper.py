"""An ephemeral node in ZooKeeper, by kazoo, whose calls block and therefore run in an executor.

The lease is kazoo's session, which a thread of its own keeps alive; without it the server removes the node. Those that
wait stand in a queue, and the number of a place in it is the fencing token.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from reaching import ServiceError


class Lock:
    errors = (KazooException, KazooTimeoutError, OSError)

    def __init__(self, hosts: str, name: str, lease: float) -> None:
        if "://" in hosts or not hosts.rpartition(":")[2].isdigit():
            raise ServiceError(f"'{hosts}'", "is not a list of addresses like host:port,host:port")
        # One thread: the lock of kazoo is not for several.
        self.executor = ThreadPoolExecutor(1, "zookeeper")
        logging.getLogger("kazoo").setLevel(logging.CRITICAL)
        self.client = KazooClient(hosts=hosts, timeout=lease)
        self.path = f"/{name}"
        self.lock: Any = self.client.Lock(self.path)

    async def _call(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.executor, function, *args)

    async def open(self) -> None:
        await self._call(self.client.start, 5)

    async def acquire(self) -> int:
        await self._call(self.lock.acquire)
        return int(self.lock.node[-10:])

    async def release(self) -> None:
        await self._call(self.lock.release)

    async def forget(self) -> None:
        await self._call(lambda: self.client.delete(self.path, recursive=True))

    async def close(self) -> None:
        await self._call(self.client.stop)
        await self._call(self.client.close)
        self.executor.shutdown()

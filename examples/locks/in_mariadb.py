"""`GET_LOCK` in MariaDB or MySQL: held by a session, and gone with it.

A holder that dies is replaced at once, because its connection ends. One that stands still keeps its connection, so its
session gets a `wait_timeout` of the lease, in whole seconds, and is kept awake by the holder. The fencing token is a
counter that only the holder's session adds to.
"""

from typing import Any
from urllib.parse import unquote

import aiomysql
from pymysql.err import InterfaceError, MySQLError
from reaching import address

from locks.renewal import Renewal

TABLE = "epicycle_lock_fences"


class Lock:
    errors = (MySQLError, InterfaceError, OSError)

    def __init__(self, url: str, name: str, lease: float) -> None:
        self.where = address(url, "mysql", "mariadb")
        self.name = name
        self.lease = max(1, round(lease))
        self.renewal = Renewal(self.lease, lambda: self._value("SELECT 1"))
        self.connection: Any = None

    async def open(self) -> None:
        self.connection = await aiomysql.connect(
            host=self.where.hostname,
            port=self.where.port or 3306,
            user=unquote(self.where.username or "root"),
            password=unquote(self.where.password or ""),
            db=self.where.path.lstrip("/"),
            autocommit=True,
        )
        # That the table is there already is no news.
        await self._value("SET SESSION sql_notes = 0")
        await self._value(f"CREATE TABLE IF NOT EXISTS {TABLE} (name VARCHAR(64) PRIMARY KEY, fence BIGINT)")
        await self._value(
            f"INSERT INTO {TABLE} VALUES (%s, 0) ON DUPLICATE KEY UPDATE fence = fence", self.name
        )

    async def _value(self, statement: str, *values: object) -> Any:
        async with self.connection.cursor() as cursor:
            await cursor.execute(statement, values)
            row = await cursor.fetchone()
            return row[0] if row else None

    async def acquire(self) -> int:
        # A waiting session is busy, not idle, so the time-out cannot end it.
        await self._value(f"SET SESSION wait_timeout = {self.lease}")
        await self._value("SELECT GET_LOCK(%s, 1000000)", self.name)
        await self._value(f"UPDATE {TABLE} SET fence = LAST_INSERT_ID(fence + 1) WHERE name = %s", self.name)
        token = int(await self._value("SELECT LAST_INSERT_ID()"))
        self.renewal.start()
        return token

    async def release(self) -> None:
        await self.renewal.stop()
        await self._value("SELECT RELEASE_LOCK(%s)", self.name)
        await self._value("SET SESSION wait_timeout = 3600")

    async def forget(self) -> None:
        await self._value(f"DELETE FROM {TABLE} WHERE name = %s", self.name)

    async def close(self) -> None:
        await self.renewal.stop()
        if self.connection is not None:
            self.connection.close()

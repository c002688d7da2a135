"""What the locks guard: a ledger that counts who is in it, and turns away whose token is older than one it has seen.

It also leads the workers: each is a process that connects, does what it is told, line by line in JSON, and answers.
"""

import json
import time
from typing import Any

from reaching import ServiceError


class Ledger:
    """Who is in, the newest token, and what went wrong."""

    def __init__(self) -> None:
        self.inside: set[int] = set()
        self.newest = -1
        self.entries = 0
        self.overlaps = 0
        self.turned_away = 0
        self.entered_at = 0.0

    def enter(self, worker: int, token: int) -> bool:
        """Whether this holder may come in; that another is in there is counted."""
        if token < self.newest:
            self.turned_away += 1
            return False
        self.newest = token
        self.overlaps += bool(self.inside - {worker})
        self.inside.add(worker)
        self.entries += 1
        self.entered_at = time.monotonic()
        return True

    def leave(self, worker: int) -> None:
        self.inside.discard(worker)


class Worker:
    """The ledger's end of the connection to a worker process."""

    def __init__(self, ledger: Ledger, number: int, reader: Any, writer: Any) -> None:
        self.ledger = ledger
        self.number = number
        self.reader = reader
        self.writer = writer

    def tell(self, **message: Any) -> None:
        self.writer.write(json.dumps(message).encode() + b"\n")

    async def answer(self) -> Any:
        """What the worker says when it has done what it was told; meanwhile it comes and goes in the ledger."""
        while line := await self.reader.readline():
            message = json.loads(line)
            if "enter" in message:
                self.tell(welcome=self.ledger.enter(self.number, message["enter"]))
            elif "leave" in message:
                self.ledger.leave(self.number)
                self.tell(welcome=True)
            elif "failed" in message:
                raise ServiceError(*message["failed"])
            else:
                return message["done"]
        raise ServiceError(f"worker {self.number}", "ended early")

    async def ask(self, command: str, *args: Any) -> Any:
        self.tell(do=command, args=args)
        return await self.answer()

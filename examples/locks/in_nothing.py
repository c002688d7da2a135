"""No lock: shows that the ledger sees what a lock prevents."""


class Lock:
    errors: tuple[type[Exception], ...] = ()

    def __init__(self, address: str, name: str, lease: float) -> None:
        pass

    async def open(self) -> None:
        pass

    async def acquire(self) -> int:
        return 0

    async def release(self) -> None:
        pass

    async def forget(self) -> None:
        pass

    async def close(self) -> None:
        pass

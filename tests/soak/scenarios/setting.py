"""What a check runs with, and what all checks measure."""

import asyncio
import contextlib
import dataclasses
import gc
import pathlib
import resource
import sys

from toolkit import FACTORIES


class Skipped(Exception):
    """The check needs something that is not here; says what."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """Which loop, how long, how many."""

    loop_name: str = "epicycle"
    # How long a check that goes on at random goes on.
    seconds: float = 60.0
    # How many connections such a check has at once, at most.
    connections: int = 1000
    # The part of the full number of rounds that a check goes through.
    share: float = 1.0
    seed: int = 1

    def times(self, full: int) -> int:
        """The number of rounds here, of `full` in the whole soak."""
        return max(1, round(full * self.share))

    @contextlib.contextmanager
    def loop(self):
        """A loop that must end without having called its exception handler."""
        if sys.version_info < (3, 12):
            # The watcher of children before 3.12, which works with any number of loops.
            asyncio.get_child_watcher()
        loop = FACTORIES[self.loop_name]()
        contexts = []
        loop.set_exception_handler(lambda loop, context: contexts.append(context))
        loop.contexts = contexts
        try:
            yield loop
        finally:
            loop.close()
        assert contexts == [], f"{len(contexts)} calls of the exception handler, first {contexts[0]}"


def resident() -> int:
    """Resident memory of this process, in bytes."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def settled_objects() -> int:
    """How many objects the collector knows of, after it has collected."""
    gc.collect()
    return len(gc.get_objects())


def counters(loop) -> dict[str, int]:
    """What Epicycle's loop holds now, in its own words; nothing for another loop."""
    count = getattr(loop, "_counters", dict)()
    return {name: count[name] for name in ("ready", "timers", "sources") if name in count}


def contexts_for_tls(folder: pathlib.Path):
    """A server's and a client's TLS context for localhost, with certificates made in `folder`."""
    path = str(pathlib.Path(__file__).parents[2] / "tls")
    if path not in sys.path:
        sys.path.insert(0, path)
    try:
        from certificates import OPENSSL, Authority
    except ImportError:
        raise Skipped("nothing here makes certificates") from None
    if OPENSSL is None:
        raise Skipped("the openssl command makes the certificates, and is not there")
    authority = Authority(folder / "authority", "Authority of the soak")
    return authority.sign("localhost").server_context(), authority.client_context()


async def has_tls(loop, server_context) -> bool:
    """Whether the loop serves TLS at all."""
    try:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=server_context)
    except NotImplementedError:
        return False
    server.close()
    await server.wait_closed()
    return True


def children():
    """The pids of this process's children, dead ones too."""
    tasks = pathlib.Path("/proc/self/task").glob("*/children")
    return {pid for task in tasks for pid in task.read_text().split()}

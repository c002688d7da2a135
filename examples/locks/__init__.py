"""One lock in three services, for `distributed_locks.py`.

Every way has `open()`, `acquire()`, which returns a fencing token, `release()` and `close()`. Tokens grow from holder
to holder, so that what the lock guards can turn away a holder whose lease is over and who does not know it yet.
"""

import importlib
from typing import Any

# What each is called on the command line, where it is, and what it promises.
WAYS = {
    "mariadb": ("locks.in_mariadb", "Lock", "GET_LOCK, with its session"),
    "redis": ("locks.in_redis", "Lock", "a key that expires"),
    "zookeeper": ("locks.in_zookeeper", "Lock", "an ephemeral node, in a queue"),
    "none": ("locks.in_nothing", "Lock", "no lock at all"),
}


def lock_of(way: str, address: str, name: str, lease: float) -> Any:
    """The lock called `name` in that service; a holder that is silent for `lease` seconds loses it."""
    module, kind, _ = WAYS[way]
    return getattr(importlib.import_module(module), kind)(address, name, lease)

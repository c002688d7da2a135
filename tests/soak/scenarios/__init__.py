"""The scenarios of the soak: each module lists its checks in `CHECKS`, by name.

In: a `Setting` (which loop, how long, how many).  Out: figures put into a dictionary, an AssertionError for what is
wrong, `Skipped` for what cannot be had here.

- `setting.py`       what a check runs with
- `identities.py`    streams of bytes that tell whose they are
- `parties.py`       protocols that speak and check them
- `peer.py`          the same with blocking sockets, in a process of its own
- `identity.py`      connections that open and close at random: not one byte in the wrong place
- `decoys.py`        descriptors and connections that take every number that becomes free, and notice who touches them
- `awaits.py`        what is cancelled: each await, against live and dead peers
- `cancellation.py`  each of them cancelled at every point where it waits
- `level.py`         references, objects and memory after very many callbacks and connections
- `faults.py`        peers and systems that misbehave
- `endings.py`       forks and exits in the middle of work
"""

from scenarios import cancellation, endings, faults, identity, level
from scenarios.setting import Setting, Skipped

__all__ = ["CHECKS", "Setting", "Skipped"]

CHECKS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": check
    for module in (identity, cancellation, level, faults, endings)
    for name, check in module.CHECKS.items()
}

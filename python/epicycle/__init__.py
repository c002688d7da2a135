"""Epicycle: the asyncio event loop, rebuilt in Rust.

Importing this package changes nothing. A program opts in by one of:

* ``epicycle.run(main())``, which takes the place of ``asyncio.run(main())``;
* ``asyncio.Runner(loop_factory=epicycle.new_event_loop)``, or any other place that takes a loop factory;
* ``epicycle.install()``, after which asyncio itself makes Epicycle loops;
* ``epicycle run PROGRAM.py`` on the command line, which does that for a program as it stands.

(PYTEST_DONT_REWRITE: pytest rewrites the assertions of packages that bring plugins, and would warn that this one may be
loaded before it.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._installing import install, installed, uninstall
from ._running import new_event_loop, run

if TYPE_CHECKING:
    from ._policy import EventLoopPolicy as EventLoopPolicy
    from .loop import EventLoop as EventLoop
    from .loop._nesting import NestedEventLoop as NestedEventLoop
    from .watching.metrics import metrics as metrics
    from .watching.watcher import Watcher as Watcher
    from .watching.watcher import watch as watch

    __version__: str

__all__ = (
    "EventLoop",
    "EventLoopPolicy",
    "NestedEventLoop",
    "Watcher",
    "__version__",
    "install",
    "installed",
    "metrics",
    "new_event_loop",
    "run",
    "uninstall",
    "watch",
)


def __getattr__(name: str) -> object:
    """Load what is costly, or what this interpreter may not have, when it is first asked for."""
    value: object
    if name == "EventLoop":
        from .loop import EventLoop as value
    elif name == "NestedEventLoop":
        from .loop._nesting import NestedEventLoop as value
    elif name == "EventLoopPolicy":
        from ._policy import EventLoopPolicy as value
    elif name == "metrics":
        from .watching.metrics import metrics as value
    elif name == "Watcher":
        from .watching.watcher import Watcher as value
    elif name == "watch":
        from .watching.watcher import watch as value
    elif name == "__version__":
        from ._version import version as value
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

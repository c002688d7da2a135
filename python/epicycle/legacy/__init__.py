"""``epicycle run --legacy``: programs of 2014-2019 on today's Python.

Nothing here is active until ``activate()``. Then what Python has dropped since comes back, each thing saying once,
as a ``LegacyWarning``, what today's form is. What Python still has is not replaced; asyncio's classes stay
asyncio's own.

==================  ======================================================================================
``notices``         the warning, and saying each thing once, with the program's line
``attributes``      names that a module has lost, given back when somebody asks for them
``coroutines``      ``@asyncio.coroutine``, generators as coroutines, ``asyncio.async``
``policy``          ``asyncio.get_event_loop()`` outside a loop, also for futures and tasks made there
``waiting``         ``loop=`` of ``sleep``, ``gather``, ``wait`` and others; coroutines given to ``wait``
``locks``           ``loop=`` of the locks and queues, ``with (yield from lock)``, ``JoinableQueue``
``streams``         ``loop=`` of the streams' functions and of subprocesses
``tasks``           ``Task.all_tasks``, ``Task.current_task``
``child_watchers``  ``asyncio.get_child_watcher`` and the watcher classes
``arguments``       ``inspect.getargspec`` and ``inspect.formatargspec``
``standard``        names of the rest of the standard library
==================  ======================================================================================

What cannot be brought back: ``asyncio.async(...)`` as written (``async`` has been a keyword since 3.7; as
``getattr(asyncio, "async")`` it works), ``CancelledError`` as an ``Exception`` (3.8 made it a BaseException, so
``except Exception`` no longer catches a cancellation), and finished tasks in ``Task.all_tasks()``.
"""

from __future__ import annotations

from .notices import LegacyWarning

__all__ = ("LegacyWarning", "activate")

_active = False


def activate() -> None:
    """Revive the old forms in this process, for good; a second call changes nothing."""
    global _active
    if _active:
        return
    _active = True
    from . import (
        arguments,
        child_watchers,
        coroutines,
        locks,
        notices,
        policy,
        standard,
        streams,
        tasks,
        waiting,
    )

    notices.show_by_default()
    for topic in (coroutines, policy, waiting, locks, streams, tasks, child_watchers, arguments, standard):
        topic.revive()

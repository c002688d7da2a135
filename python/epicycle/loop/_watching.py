"""What a loop does for those who watch it: the doorbell, and what is noted for whoever looks."""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import Any

from epicycle.loop._part import Part


class Watching(Part):
    """The loop's side of the agent; see `epicycle.watching`."""

    # The thread that answers the bell, while there is one.
    _agent: threading.Thread | None = None
    # Exceptions that nobody retrieved, once there was one.
    _unretrieved: Any = None

    def _doorbell_rang(self) -> None:
        """Called in the loop's thread: somebody wants a snapshot.  Raises nothing."""
        agent = self._agent
        if agent is not None and agent.is_alive():
            return
        thread = threading.Thread(
            target=_attend,
            args=(weakref.ref(self), threading.get_ident()),
            name="epicycle-agent",
            daemon=True,
        )
        self._agent = thread
        try:
            self._agent_begins()
            thread.start()
        except RuntimeError:
            # No more threads, at the interpreter's end for instance; or a closed loop.
            _leave(self)

    def _note_report(self, context: dict[str, Any]) -> None:
        """Called with what the exception handler is told.  Raises nothing."""
        if self._unretrieved is None:
            message = context.get("message") if isinstance(context, dict) else None
            if type(message) is not str or "exception was never retrieved" not in message:
                return
            from epicycle.watching.inside.reports import Unretrieved

            self._unretrieved = Unretrieved()
        self._unretrieved.note(context)


def _attend(reference: weakref.ref[Any], thread: int) -> None:
    loop = reference()
    if loop is None:
        return
    try:
        # Imported here, in the new thread: the loop has other things to do.
        from epicycle.watching.inside import agent

        agent.attend(loop, thread)
    finally:
        _leave(loop)


def _leave(loop: Any) -> None:
    """The loop listens again, and what is rung from here on begins another agent."""
    loop._agent = None
    with contextlib.suppress(Exception):
        loop._agent_ends()

"""Exception handlers: who is told when a callback or a transport fails."""

from __future__ import annotations

import sys
import traceback
from asyncio.log import logger
from collections.abc import Callable
from typing import Any

from epicycle.loop._part import Part

_Handler = Callable[[Any, dict[str, Any]], object]

# Where the context is looked for; older versions call the handler as it is.
_CULPRITS = ("task", "future", "handle") if sys.version_info >= (3, 12) else ()
# Keys whose values are tracebacks, and what they tell the reader.
_ORIGINS = {"source_traceback": "Object", "handle_traceback": "Handle"}


class Reporting(Part):
    """set_exception_handler, call_exception_handler, default_exception_handler."""

    _exception_handler: _Handler | None = None

    def get_exception_handler(self) -> _Handler | None:
        """The handler that was set, or None."""
        return self._exception_handler

    def set_exception_handler(self, handler: _Handler | None) -> None:
        """Sets who is told of errors: a callable of (loop, context), or None for the default.

        Raises TypeError for anything else.
        """
        if handler is not None and not callable(handler):
            raise TypeError(f"A callable object or None is expected, got {handler!r}")
        self._exception_handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Logs the error, and what `context` says of it, through the logger `asyncio`."""
        message = context.get("message") or "Unhandled exception in event loop"
        exception = context.get("exception")
        current = self._current_handle
        if "source_traceback" not in context and getattr(current, "_source_traceback", None):
            context["handle_traceback"] = current._source_traceback
        lines = [message]
        for key in sorted(context.keys() - {"message", "exception"}):
            value = context[key]
            if key in _ORIGINS:
                stack = "".join(traceback.format_list(value)).rstrip()
                lines.append(f"{key}: {_ORIGINS[key]} created at (most recent call last):\n{stack}")
            else:
                lines.append(f"{key}: {value!r}")
        # Given as a triple, for handlers of `logging` that unpack it.
        details = (type(exception), exception, exception.__traceback__) if exception is not None else False
        logger.error("\n".join(lines), exc_info=details)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tells the handler.  What a handler raises is logged; only SystemExit and KeyboardInterrupt pass."""
        self._note_report(context)
        if self._exception_handler is None:
            self._report_by_default(context, "Exception in default exception handler")
            return
        try:
            self._call_in_its_context(self._exception_handler, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report_by_default(
                {"message": "Unhandled error in exception handler", "exception": error, "context": context},
                "Exception in default exception handler while handling an unexpected error "
                "in custom exception handler",
            )

    def _call_in_its_context(self, handler: _Handler, context: dict[str, Any]) -> None:
        """In the context of the task or handle that failed, where there is one."""
        for key in _CULPRITS:
            culprit = context.get(key)
            if culprit is not None:
                get_context = getattr(culprit, "get_context", None)
                ctx: Any = get_context() if get_context is not None else None
                if hasattr(ctx, "run"):
                    ctx.run(handler, self, context)
                    return
                break
        handler(self, context)

    def _report_by_default(self, context: dict[str, Any], complaint: str) -> None:
        try:
            self.default_exception_handler(context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            # A subclass may have replaced the default handler.
            logger.error(complaint, exc_info=True)

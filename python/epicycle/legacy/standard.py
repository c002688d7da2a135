"""Names of the rest of the standard library that asyncio programs of the time use."""

from __future__ import annotations

import collections.abc
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from .attributes import revive_attribute
from .notices import say

__all__ = ("revive",)


def revive() -> None:
    for name in collections.abc.__all__:
        revive_attribute("collections", name, _member("collections.abc", name), f"collections.abc.{name}")
    # Processor time was one meaning and elapsed time the other; programs of the time measure how long they took.
    revive_attribute("time", "clock", lambda: time.perf_counter, "time.perf_counter() or time.process_time()")
    revive_attribute("os", "errno", _module("errno"), "'import errno'")
    revive_attribute("fractions", "gcd", _member("math", "gcd"), "math.gcd()")
    revive_attribute("base64", "encodestring", _member("base64", "encodebytes"), "base64.encodebytes()")
    revive_attribute("base64", "decodestring", _member("base64", "decodebytes"), "base64.decodebytes()")
    revive_attribute("cgi", "escape", _member("html", "escape"), "html.escape()")
    revive_attribute(
        "configparser",
        "SafeConfigParser",
        _member("configparser", "ConfigParser"),
        "configparser.ConfigParser",
    )
    for name in ("CancelledError", "InvalidStateError", "TimeoutError"):
        revive_attribute("asyncio.futures", name, _member("asyncio.exceptions", name), f"asyncio.{name}")
    _revive_threading()


def _module(name: str) -> Callable[[], object]:
    def supply() -> object:
        __import__(name)
        return sys.modules[name]

    return supply


def _member(module: str, name: str) -> Callable[[], object]:
    load = _module(module)
    return lambda: getattr(load(), name)


def _revive_threading() -> None:
    """The names in camel case. Most are still there, with a warning of Python's own; they will go."""
    revive_attribute(
        "threading", "currentThread", lambda: threading.current_thread, "threading.current_thread()"
    )
    revive_attribute("threading", "activeCount", lambda: threading.active_count, "threading.active_count()")
    _method(threading.Thread, "isAlive", "is_alive", lambda thread: thread.is_alive())
    _method(threading.Thread, "getName", "name", lambda thread: thread.name)
    _method(threading.Thread, "setName", "name", lambda thread, name: setattr(thread, "name", name))
    _method(threading.Thread, "isDaemon", "daemon", lambda thread: thread.daemon)
    _method(threading.Thread, "setDaemon", "daemon", lambda thread, value: setattr(thread, "daemon", value))
    _method(threading.Event, "isSet", "is_set", lambda event: event.is_set())
    _method(threading.Condition, "notifyAll", "notify_all", lambda condition: condition.notify_all())


def _method(kind: Any, old: str, new: str, do: Callable[..., Any]) -> None:
    if hasattr(kind, old):
        return

    def method(self: Any, *args: Any) -> Any:
        say(f"{kind.__name__}.{old}()", f"{kind.__name__}.{new}")
        return do(self, *args)

    method.__name__ = old
    method.__qualname__ = f"{kind.__qualname__}.{old}"
    setattr(kind, old, method)

"""Signal handlers, and how a signal wakes a parked loop.

The C-level handler writes the signal's number into a socket that the loop watches.  Without that, a signal that
arrives between the last look at pending signals and the wait in the kernel would lie until something else happens:
Ctrl-C would be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import signal
import socket
from asyncio import events
from asyncio.log import logger
from collections.abc import Callable, Generator
from typing import Any, TypeVarTuple, Unpack

from epicycle.loop._part import Part

_Ts = TypeVarTuple("_Ts")


def _look_into_the_socket(number: int, frame: Any) -> None:
    """The Python-level handler: the number in the socket is what counts; a busy loop has to be told to look there."""
    running: Any = events._get_running_loop()
    if isinstance(running, Signals):
        running._signals_pending()


class Signals(Part):
    """add_signal_handler, remove_signal_handler."""

    def _start_signals(self) -> None:
        self._signal_handlers: dict[int, asyncio.Handle] = {}
        self._signal_sockets: tuple[socket.socket, socket.socket] | None = None

    def _close_signals(self) -> None:
        for number in list(self._signal_handlers):
            self.remove_signal_handler(number)
        if self._signal_sockets is not None:
            reading, writing = self._signal_sockets
            self._signal_sockets = None
            self.remove_reader(reading.fileno())
            reading.close()
            writing.close()

    def _signal_descriptor(self) -> int:
        if self._signal_sockets is None:
            reading, writing = socket.socketpair()
            reading.setblocking(False)
            writing.setblocking(False)
            self._signal_sockets = reading, writing
            self.add_reader(reading.fileno(), self._signals_arrived, reading)
            self._hush(reading.fileno())
        return self._signal_sockets[1].fileno()

    @contextlib.contextmanager
    def _signals_arriving(self) -> Generator[None, None, None]:
        """Within, a signal wakes the loop.  In the main thread only."""
        ours = self._signal_descriptor()
        before = signal.set_wakeup_fd(ours)
        try:
            yield
        finally:
            now = signal.set_wakeup_fd(-1)
            if now not in (ours, -1):
                # Somebody set another one meanwhile: that one stays.
                signal.set_wakeup_fd(now)
            elif before != ours or self._signal_handlers or self.is_running():
                # Still running: that was an inner run (`_nesting.py`), and the outer one goes on.
                signal.set_wakeup_fd(before)

    def _signals_arrived(self, reading: socket.socket) -> None:
        while True:
            try:
                numbers = reading.recv(4096)
            except InterruptedError:
                continue
            except BlockingIOError:
                return
            for number in numbers:
                self._signal_arrived(number)

    def _signal_arrived(self, number: int) -> None:
        handle = self._signal_handlers.get(number)
        if handle is None:
            # A signal that Python code handles by itself, or whose handler has just been removed.
            return
        if handle.cancelled():
            self.remove_signal_handler(number)
        else:
            self._queue_handle(handle)

    def add_signal_handler(self, sig: int, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts) -> None:
        """Calls `callback(*args)` in the loop whenever the signal arrives.

        Raises TypeError for a coroutine function or a signal that is no int, ValueError for an unknown signal,
        RuntimeError for one that cannot be caught and outside the main thread.
        """
        if inspect.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        self._check_signal(sig)
        self._check_closed()
        try:
            # Refuses to work outside the main thread, before anything has been changed.
            signal.set_wakeup_fd(self._signal_descriptor())
        except (ValueError, OSError) as error:
            raise RuntimeError(str(error)) from None
        self._signal_handlers[sig] = self._make_handle(callback, args)
        try:
            signal.signal(sig, _look_into_the_socket)
            # System calls elsewhere need not be interrupted: the loop learns of the signal by itself.
            signal.siginterrupt(sig, False)
        except OSError as error:
            del self._signal_handlers[sig]
            self._let_go_of_signals()
            if error.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from None
            raise

    def remove_signal_handler(self, sig: int) -> bool:
        """Undoes `add_signal_handler`.  Whether there was something to undo."""
        self._check_signal(sig)
        try:
            del self._signal_handlers[sig]
        except KeyError:
            return False
        try:
            signal.signal(sig, signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from None
            raise
        self._let_go_of_signals()
        return True

    def _let_go_of_signals(self) -> None:
        """Without handlers, and outside a run, other code may have the wake-up descriptor."""
        if self._signal_handlers or self.is_running():
            return
        try:
            signal.set_wakeup_fd(-1)
        except (ValueError, OSError) as error:
            logger.info("set_wakeup_fd(-1) failed: %s", error)

    @staticmethod
    def _check_signal(sig: int) -> None:
        if not isinstance(sig, int):
            raise TypeError(f"sig must be an int, not {sig!r}")
        if sig not in signal.valid_signals():
            raise ValueError(f"invalid signal number {sig}")

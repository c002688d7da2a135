"""The event loop that programs see: native where it is hot, Python where it is not.

In: what asyncio's users ask of a loop.  Out: `EventLoop`, which derives from the native `Loop` and, for real, from
`asyncio.AbstractEventLoop`.

The native half has call_soon and its kin, the turn, readers and writers, transports and the accepting of connections.
Here is what happens once per connection, per executor job or per run, so that it can be read, and so that its
coroutines are coroutine functions to `inspect`:

- `_running.py`    run_forever, run_until_complete, close, asynchronous generators, debug mode
- `_reporting.py`  exception handlers
- `_executors.py`  run_in_executor, the default executor
- `_threads.py`    the pool of threads behind it and behind the look-ups
- `_names.py`      getaddrinfo and getnameinfo
- `_signals.py`    signal handlers, and how a signal wakes a parked loop
- `_sockets.py`    sock_recv and its kin
- `_connecting.py` create_connection
- `_serving.py`    create_server, `Server`
- `_datagrams.py`  create_datagram_endpoint, sock_recvfrom and its kin
- `_unix.py`       create_unix_connection, create_unix_server, connect_accepted_socket
- `_sendfile.py`   sendfile and sock_sendfile
- `_pipes.py`      connect_read_pipe, connect_write_pipe
- `_processes.py`  subprocess_exec, subprocess_shell, `ProcessTransport`
- `_tls.py`        start_tls, and TLS for servers
- `_forking.py`    what becomes of loops in a child made by fork()
- `_nesting.py`    `NestedEventLoop`, which may run inside of a running loop
- `_watching.py`   what a loop does for those who watch it
- `_probe.py`      how the native half gets to know asyncio's C Task
"""

from __future__ import annotations

import asyncio

from epicycle import _epicycle, _watching_wanted
from epicycle.loop import _forking, _probe
from epicycle.loop._connecting import Connecting
from epicycle.loop._datagrams import Datagrams
from epicycle.loop._executors import Executors
from epicycle.loop._names import Names
from epicycle.loop._pipes import Pipes
from epicycle.loop._processes import Processes
from epicycle.loop._reporting import Reporting
from epicycle.loop._running import Running
from epicycle.loop._sendfile import SendingFiles
from epicycle.loop._serving import Server, Serving
from epicycle.loop._signals import Signals
from epicycle.loop._sockets import Sockets
from epicycle.loop._tls import Tls
from epicycle.loop._unix import UnixSockets
from epicycle.loop._watching import Watching

__all__ = ["EventLoop", "Server"]


class EventLoop(
    Running,
    Reporting,
    Executors,
    Names,
    Signals,
    Sockets,
    Connecting,
    Serving,
    Datagrams,
    UnixSockets,
    SendingFiles,
    Pipes,
    Processes,
    Tls,
    Watching,
    _epicycle.Loop,
    asyncio.AbstractEventLoop,
):
    """An asyncio event loop in Rust.

    A drop-in for `asyncio.SelectorEventLoop`: every method means what the asyncio documentation of the running Python
    version says of it (https://docs.python.org/3/library/asyncio-eventloop.html); `DIFFERENCES.md` has the exceptions.
    """

    def __init__(self) -> None:
        self._start_executors()
        self._start_signals()
        self._start_processes()
        self._start_running()
        _probe.teach()
        _forking.keep(self)
        self._follow_time(type(self).time is not _epicycle.Loop.time)
        _watching_wanted.begin()
        self._is_made = True

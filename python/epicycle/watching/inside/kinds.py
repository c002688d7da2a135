"""The coroutines of asyncio and Epicycle that say by themselves what their task waits for.

For each there is a kind and a function that reads the rest from the coroutine's variables, which it is given as `Seen`.
"""

from __future__ import annotations

import asyncio
import collections
import math
import socket
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from epicycle.watching.inside import chains
from epicycle.watching.inside.tasks import fields, is_done, is_future, is_task

Details = dict[str, Any]


class View(Protocol):
    """What the whole snapshot knows and one task does not."""

    now: float
    # The stack of a task that runs cannot be looked into: what it holds is not known.
    incomplete: bool

    def label(self, task: Any) -> str:
        """The name of a task."""

    def peer(self, transport: Any) -> Details:
        """`fd` and `peer` of a transport, as far as they are known."""

    def holders(self, lock: Any) -> list[Details]:
        """Who holds a lock or a semaphore by `async with`: `task` and `name` of each."""

    def job(self, future: Any) -> Any:
        """The job that a future of a pool waits for, or None."""


class Seen(NamedTuple):
    """One known coroutine at the inner end of a chain."""

    link: Any
    # What the user's code called: the outermost of the library's frames, `Class.method`.
    verb: str
    # What the task's innermost frame waits on.
    future: Any
    view: View

    def value(self, name: str) -> Any:
        """A variable of the coroutine, or None."""
        try:
            return chains.variables(self.link).get(name)
        except Exception:
            return None


class Known(NamedTuple):
    """A coroutine that is known from within."""

    kind: str
    # For groups of tasks; empty: the verb.
    text: str
    describe: Callable[[Seen], Details]
    # The futures and tasks that it waits for, where it is those.
    children: Callable[[Seen], list[Any]] | None = None


def seconds_left(view: View, handle: Any) -> float | None:
    """Seconds until a timer is due."""
    if not issubclass(type(handle), asyncio.TimerHandle):
        return None
    when = asyncio.TimerHandle.when(handle)
    return round(when - view.now, 3) if type(when) in (int, float) and math.isfinite(when) else None


def _until(left: float) -> str:
    """How far away a deadline is; a loop that is stuck runs its timers late."""
    return f"{left:.1f} s left" if left >= 0 else f"due {-left:.1f} s ago"


def _sleep(seen: Seen) -> Details:
    left = seconds_left(seen.view, seen.value("h"))
    if left is None:
        return {"text": "sleep"}
    return {"text": f"sleep, {_until(left)}", "deadline": left}


def _size(thing: Any) -> int | None:
    return len(thing) if type(thing) in (collections.deque, list, set, dict) else None


def _waiting(thing: Any) -> int | None:
    return _size(fields(thing).get("_waiters"))


def _lock(seen: Seen) -> Details:
    lock = seen.value("self")
    holders = seen.view.holders(lock)
    details: Details = {"waiting": _waiting(lock)}
    if holders:
        details |= {"holder": holders[0]["task"], "holder_name": holders[0]["name"]}
        details["text"] = f"a lock held by {holders[0]['name'] or 'another task'}"
    elif seen.view.incomplete:
        details["text"] = "a lock"
    elif fields(lock).get("_locked") is True:
        details["text"] = "a lock that no task is seen to hold by `async with`"
    else:
        details["text"] = "a lock that is free by now"
    return details


def _semaphore(seen: Seen) -> Details:
    semaphore = seen.value("self")
    holders = seen.view.holders(semaphore)
    names = ", ".join(holder["name"] for holder in holders[:3])
    return {
        "text": f"a semaphore held by {names}" if names else "a semaphore",
        "holders": [holder["task"] for holder in holders[:50]],
        "waiting": _waiting(semaphore),
    }


def _event(seen: Seen) -> Details:
    if seen.verb.endswith(".join"):
        return {"text": "the end of a queue's work"}
    return {"text": "an event", "waiting": _waiting(seen.value("self"))}


def _condition(seen: Seen) -> Details:
    return {"text": "a condition", "waiting": _waiting(seen.value("self"))}


def _barrier(seen: Seen) -> Details:
    barrier = fields(seen.value("self"))
    parties, count = barrier.get("_parties"), barrier.get("_count")
    if type(parties) is int and type(count) is int:
        return {"text": f"a barrier, {count} of {parties} there", "parties": parties, "there": count}
    return {"text": "a barrier"}


def _queue(seen: Seen) -> Details:
    queue = fields(seen.value("self"))
    size, most = _size(queue.get("_queue")), queue.get("_maxsize")
    details: Details = {"size": size, "maxsize": most if type(most) is int else None}
    details["getters"], details["putters"] = _size(queue.get("_getters")), _size(queue.get("_putters"))
    if seen.verb.endswith("put"):
        details["text"] = f"room in a queue of {size}" if size is not None else "room in a queue"
    else:
        details["text"] = "something in a queue"
    return details


def _join(seen: Seen) -> Details:
    unfinished = fields(seen.value("self")).get("_unfinished_tasks")
    if type(unfinished) is int:
        return {"text": f"a queue's {unfinished} unfinished items", "unfinished": unfinished}
    return {"text": "a queue's unfinished items"}


def _on_transport(seen: Seen, transport: Any) -> Details:
    details = seen.view.peer(transport)
    peer = details.get("peer")
    fd = details.get("fd")
    whom = peer or (f"fd {fd}" if fd is not None else "")
    details["text"] = f"{seen.verb} {whom}".rstrip()
    return details


def _read(seen: Seen) -> Details:
    reader = fields(seen.value("self"))
    details = _on_transport(seen, reader.get("_transport"))
    buffered = reader.get("_buffer")
    if type(buffered) is bytearray:
        details["buffered"] = len(buffered)
    return details


def _written(seen: Seen) -> Details:
    return _on_transport(seen, fields(seen.value("self")).get("_transport"))


def _drain_helper(seen: Seen) -> Details:
    protocol = fields(seen.value("self"))
    return _on_transport(seen, protocol.get("_transport"))


def _address(address: Any) -> str | None:
    """An address as text, if it is made of plain values."""
    if type(address) is tuple and len(address) >= 2 and type(address[0]) is str and type(address[1]) is int:
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return chains.plain(f"{host}:{address[1]}")
    if type(address) is bytes:
        address = address.decode("utf-8", "replace").replace("\0", "@")
    return chains.plain(address) if type(address) is str and address else None


def _socket(seen: Seen) -> Details:
    sock = seen.value("sock")
    details: Details = {"fd": None, "peer": None}
    if issubclass(type(sock), socket.socket):
        details["fd"] = socket.socket.fileno(sock)
        try:
            details["peer"] = _address(socket.socket.getpeername(sock))
        except OSError:
            # Not connected, or not yet: then the address is among the arguments.
            args = seen.value("args")
            if type(args) is tuple and len(args) > 1:
                details["peer"] = _address(args[-1])
    details["direction"] = "write" if seen.value("writing") is True else "read"
    where = details["peer"] or (f"fd {details['fd']}" if details["fd"] is not None else "")
    details["text"] = f"{seen.verb} {where}".rstrip()
    return details


def _made(seen: Seen) -> Details:
    details = _on_transport(seen, seen.value("transport"))
    details["text"] = f"{details['text']} (handshake)"
    return details


def _host(seen: Seen) -> Details:
    host, port = seen.value("host"), seen.value("port")
    if type(host) is bytes:
        host = host.decode("utf-8", "replace")
    named = chains.plain(host) if type(host) is str else None
    return {
        "text": f"the address of {named}" if named else "an address",
        "host": named,
        "port": port if type(port) is int or type(port) is str else None,
    }


def _name_of_address(seen: Seen) -> Details:
    address = _address(seen.value("sockaddr"))
    return {"text": f"the name of {address}" if address else "the name of an address", "host": address}


def _thread(seen: Seen) -> Details:
    function = seen.value("func")
    return job_details(chains.callable_name(function) if function is not None else "", seen)


def job_details(function: str, seen: Seen) -> Details:
    """What can be told of a job in an executor."""
    job = seen.view.job(seen.future)
    function = function or (job.function if job is not None else "")
    details: Details = {"function": function or None, "where": None, "queued": None}
    text = f"a job in an executor: {function}" if function else "a job in an executor"
    if job is not None:
        details |= {"where": job.where or None, "queued": job.queued}
        text += ", queued" if job.queued else f", at {job.where}" if job.where else ""
    return details | {"text": text}


def _process(seen: Seen) -> Details:
    pid = fields(seen.value("self")).get("_pid")
    return {
        "text": f"the end of child process {pid}" if type(pid) is int else "the end of a child process",
        "pid": pid if type(pid) is int else None,
    }


def _some(futures: Any) -> list[Any]:
    """The futures of a collection that are there and not done."""
    if type(futures) not in (list, tuple, set, frozenset):
        return []
    return [future for future in tuple(futures) if is_future(future)]


def children_details(kind: str, futures: list[Any], seen: Seen) -> Details:
    """What can be told of one or several futures that somebody waits for."""
    pending = [future for future in futures if not is_done(future)]
    tasks = [future for future in pending if is_task(future)]
    if len(futures) == 1 and len(tasks) == 1:
        name = seen.view.label(tasks[0])
        text = f"{kind} {name}" if kind == "task" else f"{kind} of task {name}"
    else:
        text = f"{kind} of {len(futures)}, {len(pending)} of them pending"
    return {"text": text, "tasks": [id(task) for task in tasks[:50]], "pending": len(pending)}


def _wait(seen: Seen) -> Details:
    details = children_details("wait", _wait_children(seen), seen)
    left = seconds_left(seen.view, seen.value("timeout_handle"))
    return details if left is None else details | {"deadline": left}


def _wait_children(seen: Seen) -> list[Any]:
    return _some(seen.value("fs"))


def _wait_for(seen: Seen) -> Details:
    details = children_details("wait_for", _wait_for_children(seen), seen)
    left = seconds_left(seen.view, seen.value("timeout_handle"))
    if left is None:
        return details
    return details | {"deadline": left, "text": f"{details['text']}, {_until(left)}"}


def _wait_for_children(seen: Seen) -> list[Any]:
    return _some([seen.value("fut")])


def _group(seen: Seen) -> Details:
    return children_details("TaskGroup", _group_children(seen), seen)


def _group_children(seen: Seen) -> list[Any]:
    return _some(fields(seen.value("self")).get("_tasks"))


def _server(seen: Seen) -> Details:
    return {"text": seen.verb}


KNOWN: dict[str, Known] = {
    "asyncio.tasks.sleep": Known("timer", "sleep", _sleep),
    "asyncio.tasks._wait": Known("gather", "wait", _wait, _wait_children),
    "asyncio.tasks.wait_for": Known("task", "wait_for", _wait_for, _wait_for_children),
    "asyncio.tasks._cancel_and_wait": Known("task", "wait_for", _wait_for, _wait_for_children),
    "asyncio.taskgroups.TaskGroup.__aexit__": Known("gather", "TaskGroup", _group, _group_children),
    "asyncio.taskgroups.TaskGroup._aexit": Known("gather", "TaskGroup", _group, _group_children),
    "asyncio.threads.to_thread": Known("executor", "to_thread", _thread),
    "asyncio.locks.Lock.acquire": Known("lock", "Lock", _lock),
    "asyncio.locks.Event.wait": Known("event", "", _event),
    "asyncio.locks.Semaphore.acquire": Known("semaphore", "Semaphore", _semaphore),
    "asyncio.locks.Condition.wait": Known("condition", "Condition", _condition),
    "asyncio.locks.Barrier.wait": Known("barrier", "Barrier", _barrier),
    "asyncio.queues.Queue.get": Known("queue", "Queue.get", _queue),
    "asyncio.queues.Queue.put": Known("queue", "Queue.put", _queue),
    "asyncio.queues.Queue.join": Known("queue", "Queue.join", _join),
    "asyncio.streams.StreamReader._wait_for_data": Known("stream", "", _read),
    "asyncio.streams.StreamReader.read": Known("stream", "", _read),
    "asyncio.streams.StreamReader.readexactly": Known("stream", "", _read),
    "asyncio.streams.StreamReader.readline": Known("stream", "", _read),
    "asyncio.streams.StreamReader.readuntil": Known("stream", "", _read),
    "asyncio.streams.FlowControlMixin._drain_helper": Known("stream", "StreamWriter.drain", _drain_helper),
    "asyncio.streams.StreamWriter.drain": Known("stream", "StreamWriter.drain", _written),
    "asyncio.streams.StreamWriter.wait_closed": Known("stream", "StreamWriter.wait_closed", _written),
    "asyncio.base_subprocess.BaseSubprocessTransport._wait": Known("process", "Process.wait", _process),
    "epicycle.loop._sockets.Sockets._tried": Known("socket", "", _socket),
    "epicycle.loop._sockets.Sockets.sock_recv": Known("socket", "", _socket),
    "epicycle.loop._sockets.Sockets.sock_recv_into": Known("socket", "", _socket),
    "epicycle.loop._sendfile.SendingFiles._room": Known("socket", "", _socket),
    "epicycle.loop._connecting.Connecting._connect_transport": Known("socket", "", _made),
    "epicycle.loop._tls.Tls.start_tls": Known("socket", "start_tls", _made),
    "epicycle.loop._names.Names.getaddrinfo": Known("dns", "getaddrinfo", _host),
    "epicycle.loop._names.Names.getnameinfo": Known("dns", "getnameinfo", _name_of_address),
    "epicycle.loop._serving.Server.serve_forever": Known("future", "Server.serve_forever", _server),
    "epicycle.loop._serving.Server.wait_closed": Known("future", "Server.wait_closed", _server),
}

# Where one of these is further out among the library's frames, it says more than what is further in.
OUTER = frozenset(
    {
        "asyncio.locks.Barrier.wait",
        "asyncio.queues.Queue.join",
        "asyncio.streams.StreamWriter.drain",
    }
)

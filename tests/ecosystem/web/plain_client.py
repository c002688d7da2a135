"""What the tests ask servers with: blocking clients, so that the loop under test is on the server's side alone."""

import contextlib
import http.client
import json
import socket
import struct
import time

from programs import PATIENCE


@contextlib.contextmanager
def connection(host, port):
    """One HTTP connection, kept alive from request to request."""
    with contextlib.closing(http.client.HTTPConnection(host, port, timeout=PATIENCE)) as opened:
        yield opened


def ask(opened, method, path, body=None, headers=None):
    """One request; its status and its whole body."""
    opened.request(method, path, body, headers or {})
    response = opened.getresponse()
    return response.status, response.read()


def ask_json(host, port, path):
    """The answer, which must be 200, to one request on a connection of its own."""
    with connection(host, port) as opened:
        status, body = ask(opened, "GET", path)
        assert status == 200, (status, body)
        return json.loads(body)


def workers_seen(host, port, count, besides=()):
    """Ask on new connections until `count` different processes have answered that are not in `besides`.

    Returns the answers by process. While a worker is being replaced some connections may be refused or reset.
    """
    seen = {}
    deadline = time.monotonic() + PATIENCE
    while len(seen) < count:
        assert time.monotonic() < deadline, f"only {list(seen)} answered, wanted {count} besides {besides}"
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            answer = ask_json(host, port, "/")
            if answer["pid"] not in besides:
                seen[answer["pid"]] = answer
    return seen


def die_in_a_request(host, port, head, body=b""):
    """Send the beginning of a request, then break the connection with a reset."""
    with socket.create_connection((host, port), timeout=PATIENCE) as sock:
        sock.sendall(head.encode() + body)
        # Closing with no time to linger resets the connection.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

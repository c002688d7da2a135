"""`requests.get` without a time limit, and a server that takes the request and does not answer.

The watcher says which connection is waited for, and so which server: `recvfrom(8): connection to 127.0.0.1:41234`. Here
the server gives up after two seconds; others do not.
"""

import asyncio
import contextlib
import socket
import threading
import time

import requests
from stage import play


def answer_nobody(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            time.sleep(2)


async def fetch() -> None:
    with contextlib.suppress(requests.RequestException):
        requests.get(URL)


async def fetch_cured() -> None:
    with contextlib.suppress(requests.RequestException):
        await asyncio.to_thread(requests.get, URL, timeout=1)


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    URL = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    threading.Thread(target=answer_nobody, args=(listener,), daemon=True).start()
    play(fetch, fetch_cured)

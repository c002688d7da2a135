"""What the tests of processes share: children in Python, and a protocol that notes every call."""

import asyncio
import pathlib
import sys

# Children that are none of the test's: multiprocessing keeps helpers for the rest of the session.
strangers = set()


def children():
    """The pids of this process's children, dead ones too, without the strangers."""
    tasks = pathlib.Path("/proc/self/task").glob("*/children")
    return {pid for task in tasks for pid in task.read_text().split()} - strangers


def python(code):
    """The command that runs `code` in a child, without the time that site-packages cost."""
    return (sys.executable, "-I", "-S", "-c", code)


class Watcher(asyncio.SubprocessProtocol):
    """Notes every call, in order."""

    def __init__(self):
        self.events = []
        self.data = {1: bytearray(), 2: bytearray()}
        self.lost_pipes = {}
        self.is_lost = False
        self.lost = None

    def connection_made(self, transport):
        self.events.append("made")
        self.transport = transport

    def pipe_data_received(self, fd, data):
        self.events.append(("data", fd))
        self.data[fd] += data

    def pipe_connection_lost(self, fd, exc):
        self.events.append(("pipe lost", fd))
        self.lost_pipes[fd] = exc

    def process_exited(self):
        self.events.append("exited")

    def connection_lost(self, exc):
        self.events.append("lost")
        self.lost = exc
        self.is_lost = True

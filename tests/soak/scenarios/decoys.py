"""Descriptors and connections that take every number that becomes free, and notice who touches them.

Whoever closes a descriptor twice closes, the second time, what somebody else has opened meanwhile under the same
number.  Decoys are that somebody: files with an inode of their own, opened as soon as numbers are free, asked for
their identity all the time.  Witnesses are the same for events: connections whose protocols know what they should hear.
"""

import asyncio
import os
import socket


class Decoys:
    """Files that nobody but us may close."""

    def __init__(self, chance, most=12):
        self._chance = chance
        self._most = most
        self._files = {}
        self.wrong = []
        self.checks = 0

    def churn(self):
        """Close some, open others: whatever number was free is taken now."""
        self.check()
        for fd in self._chance.sample(list(self._files), len(self._files) // 2):
            del self._files[fd]
            os.close(fd)
        while len(self._files) < self._most:
            fd = os.memfd_create("decoy")
            self._files[fd] = identity_of(fd)
        # The order in which numbers become free is random too.
        for fd in self._chance.sample(list(self._files), 2):
            del self._files[fd]
            os.close(fd)

    def check(self):
        """Note every decoy that is not what it was."""
        for fd, was in list(self._files.items()):
            self.checks += 1
            now = identity_of(fd)
            if now != was:
                self.wrong.append(f"descriptor {fd} was closed by somebody else: {was} is now {now}")
                del self._files[fd]

    def close(self):
        self.check()
        for fd in self._files:
            os.close(fd)
        self._files.clear()


def identity_of(fd):
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Witness(asyncio.Protocol):
    """Knows what it should hear, and that nobody but us ends its connection."""

    def __init__(self, name, wrong):
        self.name = name
        self.wrong = wrong
        self.transport = None
        self.is_over = False
        self.is_lost = False
        self.heard = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.heard += data
        if self.heard.replace(self.name, b""):
            self.wrong.append(f"witness {self.name!r} heard {self.heard!r}")

    def eof_received(self):
        if not self.is_over:
            self.wrong.append(f"witness {self.name!r} was told of an end")

    def pause_writing(self):
        self.wrong.append(f"witness {self.name!r} was told to pause")

    def connection_lost(self, error):
        self.is_lost = True
        if not self.is_over:
            self.wrong.append(f"witness {self.name!r} was lost: {error!r}")


class Witnesses:
    """Connections and watched sockets that come and go between the turns of the loop."""

    def __init__(self, loop, chance, wrong, most=3):
        self._loop = loop
        self._chance = chance
        self._most = most
        self._wrong = wrong
        self._number = 0
        self._live = []
        self._watched = []
        self._ending = []
        self._tasks = set()
        self.connections = 0

    def churn(self):
        """One goes, one comes; another hears its name."""
        if len(self._live) >= self._most:
            witness, other = self._live.pop(self._chance.randrange(len(self._live)))
            self._end(witness, other)
        if len(self._watched) >= self._most:
            self._unwatch(*self._watched.pop(0))
        if self._chance.random() < 0.5:
            self._open()
        else:
            self._watch()
        if self._live and self._chance.random() < 0.5:
            witness, other = self._chance.choice(self._live)
            other.send(witness.name)

    def _open(self):
        self._number += 1
        self.connections += 1
        mine, other = socket.socketpair()
        mine.setblocking(False)
        witness = Witness(b"<%d>" % self._number, self._wrong)
        task = self._loop.create_task(self._loop.create_connection(lambda: witness, sock=mine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._live.append((witness, other))

    def _watch(self):
        """A socket that says nothing: its reader must not be called."""
        one, two = socket.socketpair()
        one.setblocking(False)
        self._loop.add_reader(
            one, self._wrong.append, f"the reader of {one.fileno()} got an event of another"
        )
        self._watched.append((one, two))

    def _unwatch(self, one, two):
        self._loop.remove_reader(one)
        one.close()
        two.close()

    def _end(self, witness, other):
        witness.is_over = True
        if witness.transport is not None:
            witness.transport.abort()
        self._ending.append(witness)
        other.close()

    @property
    def is_quiet(self):
        """Whether all that were told to end have ended."""
        for witness in self._ending:
            if witness.transport is not None and not witness.is_lost:
                witness.transport.abort()
        self._ending = [witness for witness in self._ending if not witness.is_lost]
        return not self._ending and not self._tasks

    def close(self):
        while self._live:
            self._end(*self._live.pop())
        while self._watched:
            self._unwatch(*self._watched.pop())

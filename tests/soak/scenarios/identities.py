"""Streams of bytes that tell whose they are: every byte is known before it comes.

Every message carries the identity of its connection, which side it is from, a running number and a checksum of it
all; what is inside and how long it is follow from those.  Whoever knows an identity knows the whole stream, so
that one byte too many, too few or of another connection is seen at once, also where a stream is cut short.
"""

import random
import struct
import zlib

ASK = b"?"
ANSWER = b"!"

IDENTITY_SIZE = 8
HEAD = struct.Struct("<8scIII")
SALT = random.Random("salt").randbytes(1 << 17)


class MisplacedError(Exception):
    """A byte that does not belong where it came."""


def identity(number: int) -> bytes:
    """The identity of a connection; no two numbers share one, and neighbours have nothing in common."""
    return (number * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(IDENTITY_SIZE, "little")


def message(whose: bytes, side: bytes, number: int) -> bytes:
    """The message with that number: one in sixteen is long (up to 20,000 bytes), the others short."""
    mark = zlib.crc32(number.to_bytes(4, "little"), zlib.crc32(side + whose))
    size = (mark >> 8) % (20_000 if mark % 16 == 0 else 200)
    start = mark % (len(SALT) - size)
    body = SALT[start : start + size]
    return HEAD.pack(whose, side, number, size, zlib.crc32(body, mark)) + body


class Expected:
    """One direction of a connection, checked byte by byte as it comes."""

    def __init__(self, side: bytes, whose: bytes | None = None):
        self.side = side
        # None until the first message has told.
        self.whose = whose
        self.messages = 0
        self.size = 0
        self._begun = b""
        self._current = b""
        self._position = 0

    @property
    def is_between(self) -> bool:
        """Whether what has come ends with a whole message."""
        return not self._begun and self._position == len(self._current)

    def feed(self, data: bytes) -> range:
        """The numbers of the messages that `data` completed.  Raises MisplacedError."""
        first = self.messages
        self.size += len(data)
        if self.whose is None:
            data = self._begun + data
            if len(data) < IDENTITY_SIZE:
                self._begun = data
                return range(0)
            self.whose, self._begun = data[:IDENTITY_SIZE], b""
        position = 0
        while position < len(data):
            if self._position == len(self._current):
                self._current = message(self.whose, self.side, self.messages)
                self._position = 0
            come = data[position : position + len(self._current) - self._position]
            due = self._current[self._position : self._position + len(come)]
            if come != due:
                raise MisplacedError(
                    f"connection {self.whose.hex()}, message {self.messages}, "
                    f"byte {self._position}: {come[:40]!r} instead of {due[:40]!r}"
                )
            position += len(come)
            self._position += len(come)
            if self._position == len(self._current):
                self.messages += 1
        return range(first, self.messages)

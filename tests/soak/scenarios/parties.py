"""The two sides of a checked connection, as protocols and as streams."""

import asyncio
import contextlib

from scenarios.identities import ANSWER, ASK, Expected, MisplacedError, message


class Ledger:
    """What all connections of a check did together."""

    def __init__(self):
        self.problems = []
        self.opened = 0
        self.open = 0
        self.most_open = 0
        self.messages = 0
        self.size = 0
        # Messages heard by the side that answers, by identity.
        self.heard = {}

    def joined(self):
        self.opened += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    def left(self, expected):
        self.open -= 1
        self.took(expected)
        if expected.whose is not None:
            if expected.whose in self.heard:
                self.problems.append(f"two connections say that they are {expected.whose.hex()}")
            self.heard[expected.whose] = expected.messages if expected.is_between else -1

    def took(self, expected):
        self.messages += expected.messages
        self.size += expected.size


class Sides:
    """What both kinds of protocol do: check what comes, and note how the connection goes."""

    def __init__(self, ledger, side, whose=None):
        self.ledger = ledger
        self.expected = Expected(side, whose)
        self.answers = side == ASK
        self.transport = None
        self.is_lost = False
        self.lost = None
        self.changed = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        if self.answers:
            self.ledger.joined()

    def take(self, data):
        try:
            completed = self.expected.feed(data)
        except MisplacedError as error:
            self.ledger.problems.append(str(error))
            self.transport.abort()
            return
        if self.answers:
            for number in completed:
                # The loop warns of those who go on writing to a peer that has gone.
                if not self.transport.is_closing():
                    self.transport.write(message(self.expected.whose, ANSWER, number))
        self.changed.set()

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()

    def eof_received(self):
        self.changed.set()

    def connection_lost(self, error):
        if self.is_lost:
            self.ledger.problems.append("a connection was lost twice")
        self.is_lost = True
        self.lost = error
        if self.answers:
            self.ledger.left(self.expected)
        else:
            self.ledger.took(self.expected)
        self.changed.set()

    async def until(self, condition):
        """Wait until `condition()` is true; it is asked again whenever something happened."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class Party(Sides, asyncio.Protocol):
    """A side that is handed bytes."""

    data_received = Sides.take


class BufferedParty(Sides, asyncio.BufferedProtocol):
    """A side that has its bytes put into a buffer of its own."""

    def __init__(self, *args):
        super().__init__(*args)
        self.buffer = bytearray(4096)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, count):
        self.take(bytes(self.buffer[:count]))


def answering_streams(ledger):
    """The handler of a stream server that answers every message."""

    async def answer(reader, writer):
        expected = Expected(ASK)
        ledger.joined()
        try:
            while data := await reader.read(8192):
                for number in expected.feed(data):
                    if not writer.is_closing():
                        writer.write(message(expected.whose, ANSWER, number))
                await writer.drain()
        except MisplacedError as error:
            ledger.problems.append(str(error))
        except ConnectionError:
            pass
        finally:
            ledger.left(expected)
            writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    return answer

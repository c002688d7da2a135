"""Datagrams sent, received, refused and dropped in orders written by chance are told the same on both loops."""

import asyncio
import random
import socket

import pytest

from differential.conversations import reporting, trace_of

ACTIONS = {
    "send": 6,
    "send_empty": 2,
    "send_too_much": 1,
    "send_to_another": 1,
    "send_no_bytes": 1,
    "receive": 6,
    "receive_empty": 2,
    "receive_many": 1,
    "hang_up": 2,
    "come_back": 2,
    "limits": 1,
    "close": 1,
    "abort": 1,
}


class Teller(asyncio.DatagramProtocol):
    """Notes every call it gets."""

    def __init__(self, names):
        self.names = names
        self.events = []
        self.is_lost = False

    def connection_made(self, transport):
        self.events.append("made")
        self.transport = transport

    def datagram_received(self, data, addr):
        self.events.append(("data", data, self.names.get(addr, addr)))

    def error_received(self, exc):
        self.events.append(("error", repr(exc)))

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, exc):
        self.events.append(("lost", repr(exc)))
        self.is_lost = True


class Raising(Teller):
    """Cannot bear long datagrams, nor errors."""

    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        if len(data) > 10:
            raise ValueError("too long")

    def error_received(self, exc):
        super().error_received(exc)
        raise exc


class Answering(Teller):
    """Answers whoever it hears of."""

    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        self.transport.sendto(b"answer", addr)


class Leaving(Teller):
    """Leaves at the first error."""

    def error_received(self, exc):
        super().error_received(exc)
        self.transport.close()


def write_script(chance):
    actions = [
        (chance.choices(list(ACTIONS), list(ACTIONS.values()))[0], chance.randint(0, 20))
        for _ in range(chance.randint(3, 14))
    ]
    kind = chance.choice((Teller, Raising, Answering, Leaving))
    return kind, chance.random() < 0.6, chance.choice(("127.0.0.1", "::1")), actions


def bound(host, port=0):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, port))
    return sock


class Peer:
    """A plain socket that comes and goes at one address; the address is kept while it is gone."""

    def __init__(self, host):
        self.host = host
        self.sock = bound(host)
        self.address = self.sock.getsockname()

    def close(self):
        self.sock.close()

    def come_back(self):
        if self.sock.fileno() < 0:
            self.sock = bound(self.host, self.address[1])

    def send(self, data, address):
        if self.sock.fileno() >= 0:
            try:
                self.sock.sendto(data, address)
            except ConnectionRefusedError:
                return "refused"
        return None

    def received(self):
        """Everything that has come."""
        found = []
        while self.sock.fileno() >= 0:
            try:
                found.append(self.sock.recv(100))
            except BlockingIOError:
                break
        return found


def act(transport, peer, mine, connected, kind, number):
    """Do one action; what the peer is told, if it is the one that acts."""
    where = None if connected else peer.address
    # What is sent after the end is a documented difference.
    if kind.startswith("send") and transport.is_closing():
        return None
    if kind == "send":
        return transport.sendto(b"s" * (number + 1), where)
    if kind == "send_empty":
        return transport.sendto(b"", where)
    if kind == "send_too_much":
        return transport.sendto(bytes(70_000), where)
    if kind == "send_to_another":
        # Refused where there is a peer; a closed port elsewhere, of which nobody hears.
        return transport.sendto(b"other", (peer.host, 9, *peer.address[2:]))
    if kind == "send_no_bytes":
        return transport.sendto("text", where)
    if kind == "receive":
        return peer.send(b"r" * (number + 1), mine)
    if kind == "receive_empty":
        return peer.send(b"", mine)
    if kind == "receive_many":
        return [peer.send(b"%d" % i, mine) for i in range(number)]
    if kind == "hang_up":
        return peer.close()
    if kind == "come_back":
        return peer.come_back()
    if kind == "limits":
        return transport.set_write_buffer_limits(high=number * 100)
    return getattr(transport, kind)()


async def settled(protocol):
    """Wait until the protocol has been told nothing new for some turns."""
    last, quiet = -1, 0
    while quiet < 6:
        quiet = quiet + 1 if len(protocol.events) == last else 0
        last = len(protocol.events)
        await asyncio.sleep(0)


async def play(script):
    loop = asyncio.get_running_loop()
    kind, connected, host, actions = script
    trace = []
    peer = Peer(host)
    names = {peer.address: "the peer"}

    def neutral(text):
        return text.replace(repr(peer.address), "<the peer>")

    loop.set_exception_handler(reporting(trace))
    where = {"remote_addr": peer.address[:2]} if connected else {"local_addr": (host, 0)}
    transport, protocol = await loop.create_datagram_endpoint(lambda: kind(names), **where)
    mine = transport.get_extra_info("sockname")
    try:
        await settled(protocol)
        for name, number in actions:
            if protocol.is_lost and name in ("limits", "close", "abort"):
                continue
            try:
                trace.append((name, act(transport, peer, mine, connected, name, number)))
            except Exception as error:
                trace.append((name, neutral(repr(error))))
            await settled(protocol)
            state = transport.is_closing(), transport.get_write_buffer_size(), peer.received()
            trace.append((list(protocol.events), state))
    finally:
        if not protocol.is_lost:
            transport.abort()
        await settled(protocol)
        peer.close()
    trace.append(list(protocol.events))
    return trace


@pytest.mark.parametrize("seed", range(100))
def test_traces_are_equal(seed):
    script = write_script(random.Random(f"udp {seed}"))

    def playing():
        return play(script)

    assert trace_of("epicycle", playing) == trace_of("asyncio", playing), script


def test_scripts_do_something():
    # A generator gone dull would make every comparison above pass.
    told = set()
    for seed in range(60):
        trace = trace_of("asyncio", lambda seed=seed: play(write_script(random.Random(f"udp {seed}"))))
        told |= {event if isinstance(event, str) else event[0] for event in trace[-1]}
        told |= {entry[0] for entry in trace if entry[0] == "handler"}
    assert told >= {"made", "data", "error", "lost", "handler"}

"""A peer that has no event loop: blocking sockets, a thread for each connection, a process of its own.

    peer.py clients PORT SECONDS THREADS SEED     asks the server at PORT, at random
    peer.py server                                says its port, answers until its input ends
    peer.py idle PORT COUNT                       opens connections, says how many, keeps them until its input ends

Each ends with a line of JSON: what it did, and what was wrong.
"""

import contextlib
import json
import pathlib
import random
import resource
import socket
import struct
import sys
import threading
import time

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

RESET = struct.pack("ii", 1, 0)


class Tally:
    """What all threads did."""

    def __init__(self):
        self.lock = threading.Lock()
        self.connections = 0
        self.messages = 0
        self.problems = []

    def add(self, messages, problem=None):
        with self.lock:
            self.connections += 1
            self.messages += messages
            if problem:
                self.problems.append(problem)

    def tell(self):
        told = {"connections": self.connections, "messages": self.messages, "problems": self.problems[:20]}
        print(json.dumps(told), flush=True)


def ask(port, whose, chance):
    """One connection that asks and then ends in some way; returns how many answers came."""
    from scenarios.identities import ANSWER, ASK, Expected, message

    expected = Expected(ANSWER, whose)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        asked = chance.randrange(1, 8)
        for number in range(asked):
            sock.sendall(message(whose, ASK, number))
            while chance.random() < 0.8 and expected.messages <= number:
                data = sock.recv(chance.choice((1, 100, 65536)))
                if not data:
                    raise AssertionError("the answers end too early")
                expected.feed(data)
        end = chance.choice(("half", "half", "close", "reset"))
        if end == "half":
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(65536):
                expected.feed(data)
            if expected.messages != asked or not expected.is_between:
                raise AssertionError(f"{expected.messages} answers to {asked} messages")
        elif end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return expected.messages


def clients(port, seconds, threads, seed):
    from scenarios.identities import identity

    tally = Tally()
    until = time.monotonic() + seconds

    def work(mine):
        chance = random.Random(seed * 1000 + mine)
        number = mine
        while time.monotonic() < until:
            # The upper half of all numbers: those of the peers in the other process are below.
            number += threads
            try:
                tally.add(ask(port, identity((1 << 40) + number), chance))
            except Exception as error:
                tally.add(0, f"{type(error).__name__}: {error}")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    tally.tell()


def answer(sock, tally):
    from scenarios.identities import ANSWER, ASK, Expected, message

    expected = Expected(ASK)
    problem = None
    with sock:
        try:
            while data := sock.recv(8192):
                for number in expected.feed(data):
                    sock.sendall(message(expected.whose, ANSWER, number))
        except ConnectionError:
            pass
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
    tally.add(expected.messages, problem)


def server():
    tally = Tally()
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listening:
        print(listening.getsockname()[1], flush=True)

        def accept():
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(sock, tally), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        sys.stdin.read()
        listening.shutdown(socket.SHUT_RDWR)
    tally.tell()


def idle(port, count):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]
        print(len(socks), flush=True)
        sys.stdin.read()
        for sock in socks:
            sock.sendall(b"x")
        answers = sum(sock.recv(1) == b"x" for sock in socks)
    print(json.dumps({"answers": answers}), flush=True)


if __name__ == "__main__":
    kind, *numbers = sys.argv[1:]
    if kind == "clients":
        port, seconds, threads, seed = numbers
        clients(int(port), float(seconds), int(threads), int(seed))
    elif kind == "idle":
        idle(*map(int, numbers))
    else:
        server()

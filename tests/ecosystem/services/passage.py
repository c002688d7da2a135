"""A way to a service that a test can close, cut, and hold: the service itself goes on for everybody else."""

import socket
import threading

PATIENCE = 60.0


class Passage:
    """Forwards TCP between `address` and a service, in threads of its own.

    `shut()` refuses and cuts, as a service that dies; `open()` is its return, at the same address. `hold()` keeps
    back what the service answers, so that `cut_in_mid_request()` finds a client that waits for an answer.
    """

    def __init__(self, service, opened=True):
        self.target = (service.host, service.port)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            self.port = sock.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.changed = threading.Condition()
        self.held = None
        self.connections = set()
        self.accepted = 0
        self.threads = []
        self.listener = None
        if opened:
            self.open()

    def open(self):
        # As a server does it: the port may still be known to connections that were cut.
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self._thread(self._accept, self.listener)

    def shut(self):
        if self.listener is not None:
            # Closing alone would leave the thread in its accept().
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        self.cut()

    def cut(self):
        """End every connection; new ones are welcome."""
        with self.changed:
            ends, self.connections = self.connections, set()
            self.held = None
        for end in ends:
            for sock in end:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def hold(self):
        with self.changed:
            self.held = 0

    def cut_in_mid_request(self, shut=True):
        """Wait until an answer is held back, then end that connection, and the listening unless told otherwise."""
        self.hold()
        with self.changed:
            assert self.changed.wait_for(lambda: self.held, PATIENCE), "nothing was asked"
        if shut:
            self.shut()
        else:
            self.cut()

    def _thread(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            with self.changed:
                self.connections.add((client, server))
                self.accepted += 1
                self.changed.notify_all()
            both = threading.Barrier(2)
            self._thread(self._forward, client, server, both, False)
            self._thread(self._forward, server, client, both, True)

    def _forward(self, source, sink, both, answers):
        try:
            while data := source.recv(65536):
                if answers and self._held_back(data):
                    continue
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for sock in (source, sink):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
        # Either thread may still use the other's socket until both are through.
        both.wait(PATIENCE)
        source.close()

    def _held_back(self, data):
        with self.changed:
            if self.held is None:
                return False
            self.held += len(data)
            self.changed.notify_all()
            return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shut()
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a thread of the passage did not end"

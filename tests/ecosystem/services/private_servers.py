"""Servers of a test's own, on a port the system picks, that it may kill and start again."""

import contextlib
import functools
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

PATIENCE = 60.0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


class PrivateServer:
    """A server program with a folder of its own; it never outlives the `with` block.

    `command(port, folder)` is what starts it, as the system's `user` if one is given. It has started when its port
    accepts, and `ready(port)` is true; `last` is the signal that ends it at once.
    """

    def __init__(self, program, command, folder, ready=None, user=None, last=signal.SIGKILL):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
            pytest.skip(f"{program} is not installed: `make services`")
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = folder / "log"
        self.command = [str(part) for part in command(self.port, folder)]
        self.ready = ready
        self.user = user
        self.last = last
        self.process = None
        self.forget = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self.user,
                cwd="/",
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline, (
                f"{' '.join(self.command)} did not start\n{self.log.read_text(errors='replace')}"
            )
            # Nothing tells when another process listens; asking is all there is.
            time.sleep(0.02)
        return self

    def _answers(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return self.ready is None or self.ready(self.port)
        return False

    def kill(self):
        """End it as a power failure would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.last)
            self.process.wait(PATIENCE)

    def pause(self):
        """Stop it in its tracks: connections stay, answers do not come."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        if self.forget is not None:
            self.forget()


def redis(folder, password=None):
    """A Redis that forgets everything when it ends."""
    secret = ["--requirepass", password] if password else []
    return PrivateServer(
        "redis-server",
        lambda port, folder: [
            *("redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", folder),
            *("--save", "", "--appendonly", "no", *secret),
        ],
        folder,
    )


def nats(folder, *options):
    return PrivateServer(
        "nats-server", lambda port, folder: ["nats-server", "-a", "127.0.0.1", "-p", port, *options], folder
    )


def mosquitto(folder, password=None):
    """A broker that lets in everybody, or only user `reader` with that password; it keeps no sessions."""

    def command(port, folder):
        lines = [f"listener {port} 127.0.0.1", f"allow_anonymous {'false' if password else 'true'}"]
        if password:
            users = folder / "users"
            users.touch(mode=0o600)
            subprocess.run(["mosquitto_passwd", "-b", "-c", users, "reader", password], check=True)
            # The broker drops its privileges before it reads them.
            users.chmod(0o644)
            lines.append(f"password_file {users}")
        if os.geteuid() == 0:
            lines.append("user root")
        (folder / "conf").write_text("\n".join(lines) + "\n")
        return ["mosquitto", "-c", folder / "conf"]

    return PrivateServer("mosquitto", command, folder)


def postgres(folder, password):
    """A PostgreSQL with user `postgres` and that password; as root it runs as the system's user `postgres`."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    initdb = found[-1] if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("PostgreSQL is not installed: `make services`")
    user = "postgres" if os.geteuid() == 0 else None
    # Not in pytest's folder, which only its owner may enter.
    place = tempfile.mkdtemp(prefix="epicycle-postgres-")
    secret = os.path.join(place, "secret")
    with open(secret, "w") as file:
        file.write(password)
    if user:
        owner = pwd.getpwnam(user)
        for path in (place, secret):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    data = os.path.join(place, "data")
    subprocess.run(
        [initdb, "-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync"],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
        cwd="/",
    )

    def command(port, folder):
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "fsync": "off",
            "unix_socket_directories": "",
        }
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return [os.path.join(os.path.dirname(initdb), "postgres"), "-D", data, *settings]

    # Its children see to their own end with this one.
    server = PrivateServer(initdb, command, folder, user=user, last=signal.SIGQUIT)
    server.forget = functools.partial(shutil.rmtree, place)
    return server


ZOOKEEPER_CLASSES = ("/etc/zookeeper/conf", "/usr/share/java/zookeeper.jar")


def zookeeper(folder, tick=200):
    """A standalone ZooKeeper with a small heap; `tick` in ms, and sessions last 2 to 20 ticks."""
    if not os.path.exists(ZOOKEEPER_CLASSES[1]):
        pytest.skip("ZooKeeper is not installed: `make services`")

    def command(port, folder):
        lines = [
            *(f"tickTime={tick}", f"dataDir={folder / 'data'}", "clientPortAddress=127.0.0.1"),
            *(f"clientPort={port}", "admin.enableServer=false", "4lw.commands.whitelist=ruok,srvr"),
            "maxClientCnxns=0",
        ]
        (folder / "zoo.cfg").write_text("\n".join(lines) + "\n")
        return [
            *("java", "-Xmx96m", "-Xms32m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-cp", ":".join(ZOOKEEPER_CLASSES), "-Dzookeeper.root.logger=WARN,CONSOLE"),
            *(f"-Dzookeeper.log.dir={folder}", "-Dzookeeper.jmx.log4j.disable=true"),
            *("org.apache.zookeeper.server.quorum.QuorumPeerMain", folder / "zoo.cfg"),
        ]

    def ready(port):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(b"ruok")
            return sock.recv(10) == b"imok"

    return PrivateServer("java", command, folder, ready)

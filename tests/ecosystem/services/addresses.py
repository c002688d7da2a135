"""Where the services are: from the environment, or on loopback at the port each is known for."""

import dataclasses
import os
import socket
from urllib.parse import unquote, urlsplit

import pytest


@dataclasses.dataclass(frozen=True)
class Service:
    """A service's address taken apart; `url` is the whole of it."""

    name: str
    url: str
    host: str
    port: int
    user: str | None
    password: str
    path: str

    def answers(self):
        """Whether something accepts connections there."""
        try:
            socket.create_connection((self.host, self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def at(self, address):
        """The same service by way of another `host:port`."""
        parts = urlsplit(self.url)
        login = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{login}@{address}" if login else address).geturl()

    def with_password(self, password):
        """The same service, and another password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        netloc = f"{self.user or 'nobody'}:{password}@{host}:{self.port}"
        return urlsplit(self.url)._replace(netloc=netloc).geturl()


# Name, environment variable, address in development.
KNOWN = {
    "redis": ("Redis", "EPICYCLE_REDIS_URL", "redis://127.0.0.1:6379/0"),
    "mysql": ("MariaDB", "EPICYCLE_MYSQL_URL", "mysql://root@127.0.0.1:3306/test"),
    "postgres": ("PostgreSQL", "EPICYCLE_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
    "rabbitmq": ("RabbitMQ", "EPICYCLE_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/"),
    "nats": ("NATS", "EPICYCLE_NATS_URL", "nats://127.0.0.1:4222"),
    "mqtt": ("Mosquitto", "EPICYCLE_MQTT_URL", "mqtt://127.0.0.1:1883"),
}


def service(kind):
    """The service of that kind, answering; the test is skipped where it does not."""
    name, variable, default = KNOWN[kind]
    url = os.environ.get(variable) or default
    parts = urlsplit(url)
    found = Service(
        name=name,
        url=url,
        host=parts.hostname,
        port=parts.port or urlsplit(default).port,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or ""),
        path=parts.path.lstrip("/"),
    )
    if not found.answers():
        pytest.skip(
            f"{name} does not answer at {found.host}:{found.port}: `make services`, or set {variable}"
        )
    return found

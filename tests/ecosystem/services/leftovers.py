"""Removes what a program could not remove itself, because its service was taken from it."""

import contextlib
from urllib.parse import urlsplit


def forget(service, pid):
    """Whatever an example's process of that number has left in the service."""
    {"redis": _redis, "mysql": _mysql, "postgresql": _postgres}.get(urlsplit(service.url).scheme, _nothing)(
        service, pid
    )


def _redis(service, pid):
    import redis

    with redis.Redis.from_url(service.url) as client:
        for pattern in (f"redis_jobs:{pid}:*", f"epicycle_lock_{pid}_*"):
            for key in client.scan_iter(pattern):
                client.delete(key)


def _mysql(service, pid):
    import pymysql

    login = {"host": service.host, "port": service.port, "user": service.user, "password": service.password}
    with pymysql.connect(database=service.path, autocommit=True, **login) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_notes = 0")
            cursor.execute(f"DROP TABLE IF EXISTS mysql_transfers_{pid}")
            with contextlib.suppress(pymysql.err.ProgrammingError):
                cursor.execute(
                    "DELETE FROM epicycle_lock_fences WHERE name LIKE %s", (f"epicycle_lock_{pid}_%",)
                )


def _postgres(service, pid):
    import psycopg

    with psycopg.connect(service.url, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(f"DROP TABLE IF EXISTS postgres_queue_{pid}")


def _nothing(service, pid):
    """Its queues and subscriptions end with their connection."""

"""Small requests with each client library on asyncio, uvloop and Epicycle: requests per second and CPU time of each.

Not a test: a script for a quiet machine. Every cell is a fresh process; the loops take turns, so that what changes on
the machine meets all of them; the figures are medians. The service answers on the same machine and takes its share of
it, so the CPU time of the client alone stands beside the rate.

    .venv/bin/python tests/ecosystem/services/throughput.py --seconds 2 --repeats 3 --only redis,nats
"""

import argparse
import asyncio
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from urllib.parse import unquote, urlsplit

# The last one is Epicycle after `install()`, which has asyncio make native streams besides.
LOOPS = ("asyncio", "uvloop", "epicycle", "install()")
URLS = {
    "redis": os.environ.get("EPICYCLE_REDIS_URL") or "redis://127.0.0.1:6379/0",
    "mysql": os.environ.get("EPICYCLE_MYSQL_URL") or "mysql://root@127.0.0.1:3306/test",
    "postgres": os.environ.get("EPICYCLE_POSTGRES_URL") or "postgresql://postgres@127.0.0.1:5432/postgres",
    "rabbitmq": os.environ.get("EPICYCLE_RABBITMQ_URL") or "amqp://guest:guest@127.0.0.1:5672/",
    "nats": os.environ.get("EPICYCLE_NATS_URL") or "nats://127.0.0.1:4222",
    "mqtt": os.environ.get("EPICYCLE_MQTT_URL") or "mqtt://127.0.0.1:1883",
}
DEFAULT_PORTS = {"redis": 6379, "mysql": 3306, "postgresql": 5432, "amqp": 5672, "nats": 4222, "mqtt": 1883}


# Each gives, while it is open, a coroutine function that makes one request and gets its answer.


@contextlib.asynccontextmanager
async def with_redis(url, tasks):
    from redis.asyncio import Redis

    async with Redis.from_url(url) as client:
        yield lambda: client.echo("x" * 32)


@contextlib.asynccontextmanager
async def with_mysql(library, url, tasks):
    where = urlsplit(url)
    pool = await library.create_pool(
        host=where.hostname,
        port=where.port or 3306,
        user=unquote(where.username or "root"),
        password=unquote(where.password or ""),
        db=where.path.lstrip("/"),
        minsize=tasks,
        maxsize=tasks,
        autocommit=True,
    )

    async def request():
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute("SELECT 1")
            await cursor.fetchone()

    try:
        yield request
    finally:
        pool.close()
        await pool.wait_closed()


def with_aiomysql(url, tasks):
    import aiomysql

    return with_mysql(aiomysql, url, tasks)


def with_asyncmy(url, tasks):
    import asyncmy

    return with_mysql(asyncmy, url, tasks)


@contextlib.asynccontextmanager
async def with_asyncpg(url, tasks):
    import asyncpg

    async with asyncpg.create_pool(url, min_size=tasks, max_size=tasks) as pool:
        yield lambda: pool.fetchval("SELECT 1")


@contextlib.asynccontextmanager
async def with_psycopg(url, tasks):
    import psycopg_pool

    pool = psycopg_pool.AsyncConnectionPool(
        url, min_size=tasks, max_size=tasks, open=False, kwargs={"autocommit": True}
    )

    async def request():
        async with pool.connection() as connection:
            await (await connection.execute("SELECT 1")).fetchone()

    async with pool:
        yield request


@contextlib.asynccontextmanager
async def with_aio_pika(url, tasks):
    import aio_pika

    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        queue = await channel.declare_queue(exclusive=True, arguments={"x-max-length": 100})
        message = aio_pika.Message(b"x" * 32)
        yield lambda: channel.default_exchange.publish(message, routing_key=queue.name)


@contextlib.asynccontextmanager
async def with_nats(url, tasks):
    import nats

    server, client = await nats.connect(url), await nats.connect(url)
    subject = f"throughput.{os.getpid()}"

    async def answer(message):
        await message.respond(message.data)

    await server.subscribe(subject, cb=answer)
    await server.flush()
    try:
        yield lambda: client.request(subject, b"x" * 32, timeout=30)
    finally:
        await client.close()
        await server.close()


@contextlib.asynccontextmanager
async def with_aiomqtt(url, tasks):
    import aiomqtt

    where = urlsplit(url)
    async with aiomqtt.Client(where.hostname, where.port or 1883) as client:
        topic = f"throughput/{os.getpid()}"
        yield lambda: client.publish(topic, b"x" * 32, qos=1)


# By the package's name: its module, its service, and what a request is.
PROGRAMS = {
    "redis": ("redis", "redis", with_redis, "ECHO"),
    "aiomysql": ("aiomysql", "mysql", with_aiomysql, "SELECT 1"),
    "asyncmy": ("asyncmy", "mysql", with_asyncmy, "SELECT 1"),
    "asyncpg": ("asyncpg", "postgres", with_asyncpg, "SELECT 1"),
    "psycopg": ("psycopg", "postgres", with_psycopg, "SELECT 1"),
    "aio-pika": ("aio_pika", "rabbitmq", with_aio_pika, "publish, confirmed"),
    "nats-py": ("nats", "nats", with_nats, "request and reply"),
    "aiomqtt": ("aiomqtt", "mqtt", with_aiomqtt, "publish, QoS 1"),
}


async def cell(program, tasks, seconds):
    """Let `tasks` tasks make requests for that time; requests per second, CPU microseconds of this process each."""
    _, service, connect, _ = PROGRAMS[program]
    count = 0

    async def ask(request, until):
        nonlocal count
        while time.perf_counter() < until:
            await request()
            count += 1

    async with connect(URLS[service], tasks) as request:
        warm = time.perf_counter() + min(0.3, seconds)
        await asyncio.gather(*(ask(request, warm) for _ in range(tasks)))
        count = 0
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(ask(request, began + seconds) for _ in range(tasks)))
        spent, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {
        "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0],
        "rate": count / spent,
        "cpu": cpu / max(count, 1) * 1e6,
    }


def module_of(loop):
    return "epicycle" if loop == "install()" else loop


def factory(loop):
    """The loop factory of that name; None is asyncio's own choice."""
    if loop == "asyncio":
        return None
    module = importlib.import_module(module_of(loop))
    if loop == "install()":
        module.install()
    return module.new_event_loop


def measure_here(program, loop, tasks, seconds):
    with asyncio.Runner(loop_factory=factory(loop)) as runner:
        result = runner.run(cell(program, tasks, seconds))
    assert result["loop"] == module_of(loop), result
    print(json.dumps(result))


def measure_apart(program, loop, args):
    """One cell in a fresh process; None if it failed, and why on standard error."""
    command = [sys.executable, __file__, "--cell", program, loop, "--tasks", str(args.tasks)]
    done = subprocess.run(
        [*command, "--seconds", str(args.seconds)], capture_output=True, text=True, timeout=args.seconds + 120
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        print(f"throughput: {program} on {loop}: {last}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def missing(program):
    """Why this one cannot be measured, or None."""
    module, service, _, _ = PROGRAMS[program]
    if importlib.util.find_spec(module) is None:
        return f"{program} is not installed"
    where = urlsplit(URLS[service])
    try:
        socket.create_connection((where.hostname, where.port or DEFAULT_PORTS[where.scheme]), 5).close()
    except OSError as error:
        return f"{service} does not answer: {error}"
    return None


def main(args):
    loops = [loop for loop in LOOPS if loop == "asyncio" or importlib.util.find_spec(module_of(loop))]
    if "uvloop" not in loops:
        print("uvloop is not installed and left out", file=sys.stderr)
    print(
        f"{args.tasks} tasks, {args.seconds:g} s, median of {args.repeats}; ops/s and CPU us/op of the client"
    )
    head = [
        "program",
        "version",
        "request",
        *(f"{loop} {unit}" for loop in loops for unit in ("ops/s", "us")),
    ]
    rows = [head]
    for program in args.only:
        if reason := missing(program):
            print(f"throughput: {reason}", file=sys.stderr)
            continue
        cells = {loop: [] for loop in loops}
        for repeat in range(args.repeats):
            # Nobody is always first.
            for loop in loops[repeat % len(loops) :] + loops[: repeat % len(loops)]:
                if result := measure_apart(program, loop, args):
                    cells[loop].append(result)
        figures = [
            f"{statistics.median(result[key] for result in cells[loop]):.0f}" if cells[loop] else "-"
            for loop in loops
            for key in ("rate", "cpu")
        ]
        rows.append([program, importlib.metadata.version(program), PROGRAMS[program][3], *figures])
    for number, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if number == 0:
            print("|" + " --- |" * len(row))


def programs(text):
    chosen = text.split(",")
    for program in chosen:
        if program not in PROGRAMS:
            raise argparse.ArgumentTypeError(f"'{program}' is none of {', '.join(PROGRAMS)}")
    return chosen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Throughput of client libraries on asyncio, uvloop and Epicycle."
    )
    parser.add_argument("--only", type=programs, default=list(PROGRAMS), help=", ".join(PROGRAMS))
    parser.add_argument("--tasks", type=int, default=8, help="that ask at once (default: 8)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each cell (default: 2)")
    parser.add_argument("--repeats", type=int, default=3, help="of each cell (default: 3)")
    parser.add_argument("--cell", nargs=2, metavar=("PROGRAM", "LOOP"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        if args.cell:
            measure_here(*args.cell, args.tasks, args.seconds)
        else:
            main(args)
    except KeyboardInterrupt:
        sys.exit(130)

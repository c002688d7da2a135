"""The examples of databases and brokers: what they print, and one line when something is wrong."""

import dataclasses
import importlib.util
import re

import private_servers
import pytest
from leftovers import forget
from passage import Passage
from programs import assert_epicycle, lines_after_loop, one_line, run, start

from toolkit import refusing

LONG = "100000000"


@dataclasses.dataclass(frozen=True)
class Example:
    """An example, the service it needs, and how to make it work until it is stopped."""

    file: str
    kind: str
    packages: tuple[str, ...]
    endless: tuple[str, ...]
    working: str
    last: str
    options: tuple[str, ...] = ()

    @property
    def program(self):
        return self.file.removesuffix(".py")

    def __str__(self):
        return " ".join((self.program, *self.options))


EXAMPLES = [
    Example(
        "redis_jobs.py",
        "redis",
        ("redis",),
        ("--jobs", "20000"),
        r"^(heard of \d+)",
        r"500 results, sum 41541750, [\d.]+ s",
    ),
    *(
        Example(
            "mysql_transfers.py",
            "mysql",
            (library,),
            ("--transfers", LONG),
            r"^(\d+ transfers)",
            r"20 accounts, 2000 in all",
            ("--library", library),
        )
        for library in ("aiomysql", "asyncmy")
    ),
    *(
        Example(
            "postgres_queue.py",
            "postgres",
            (library,),
            ("--jobs", LONG),
            r"^(working)",
            r"200 jobs done once each, [\d.]+ s",
            ("--library", library),
        )
        for library in ("asyncpg", "psycopg")
    ),
    Example(
        "rabbitmq_tasks.py",
        "rabbitmq",
        ("aio_pika",),
        ("--tasks", LONG),
        r"^(confirmed \d+)",
        r"196 done, 4 came again, 4 dead, [\d.]+ s",
    ),
    Example(
        "nats_requests.py",
        "nats",
        ("nats",),
        ("--requests", LONG),
        r"^(\d+ answers)",
        r"500 requests, sum 41541750, [\d.]+ s",
    ),
    Example(
        "mqtt_sensors.py",
        "mqtt",
        ("aiomqtt",),
        ("--readings", LONG),
        r"^(\d+ readings)",
        r"states: 4 done",
    ),
]


@pytest.fixture(params=EXAMPLES, ids=str)
def example(request):
    for package in request.param.packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install -r requirements/ecosystem.txt")
    return request.param


@pytest.fixture
def service(example, request):
    """The example's service, answering."""
    return request.getfixturevalue(example.kind)


def test_it_does_what_it_promises(example, service):
    program = run(example.file, *example.options, "--url", service.url)
    assert re.fullmatch(example.last, lines_after_loop(program)[-1]), program.report()
    assert program.errors == ""


def test_a_service_that_is_down_is_said_in_one_line(example, service):
    with refusing() as (host, port):
        program = run(example.file, *example.options, "--url", service.at(f"{host}:{port}"), status=1)
    assert_epicycle(program.output)
    assert re.match(rf"{example.program}: .* at {host}:{port}: ", one_line(program))


def test_a_service_that_comes_back_is_waited_for(example, service):
    with Passage(service, opened=False) as way:
        url = service.at(way.address)
        with start(example.file, *example.options, "--url", url, "--patience", "60") as program:
            program.wait_for(r"^(waiting for .*)")
            way.open()
            assert program.finish() == 0, program.report()
    assert re.fullmatch(example.last, program.output.splitlines()[-1]), program.report()
    assert program.errors == ""


def test_a_service_that_dies_in_mid_request_is_said_in_one_line(example, service):
    with Passage(service) as way:
        url = service.at(way.address)
        with start(example.file, *example.options, *example.endless, "--url", url) as program:
            program.wait_for(example.working)
            way.cut_in_mid_request()
            assert program.finish() == 1, program.report()
        forget(service, program.process.pid)
    assert one_line(program).startswith(f"{example.program}: "), program.report()


def test_a_wrong_url_is_said_in_one_line(example):
    for wrong in ("no url", "gopher://127.0.0.1:1", "{}://127.0.0.1:99999", "{}://"):
        url = wrong.format(
            {"mysql": "mysql", "postgres": "postgresql", "rabbitmq": "amqp"}.get(example.kind, example.kind)
        )
        program = run(example.file, *example.options, "--url", url, status=1)
        assert one_line(program).startswith(f"{example.program}: '{url}': is not a URL like "), (
            program.report()
        )


def test_ctrl_c_ends_it_without_a_word(example, service):
    with start(example.file, *example.options, *example.endless, "--url", service.url) as program:
        program.wait_for(example.working)
        program.interrupt()
        assert program.finish() == 130, program.report()
    assert program.errors == ""


WRONG_PASSWORDS = {
    "redis": ("redis://:wrong@{}", {"password": "right"}),
    "postgres": ("postgresql://postgres:wrong@{}/postgres", {"password": "right"}),
    "mqtt": ("mqtt://reader:wrong@{}", {"password": "right"}),
}


def test_a_wrong_password_is_said_in_one_line_and_not_tried_again(example, request, tmp_path):
    if example.kind in WRONG_PASSWORDS:
        url, options = WRONG_PASSWORDS[example.kind]
        with getattr(private_servers, example.kind if example.kind != "mqtt" else "mosquitto")(
            tmp_path, **options
        ) as server:
            check_refused(example, url.format(server.address))
    elif example.kind == "nats":
        with private_servers.nats(tmp_path, "--user", "reader", "--pass", "right") as server:
            check_refused(example, f"nats://reader:wrong@{server.address}")
    else:
        check_refused(example, request.getfixturevalue(example.kind).with_password("wrong-password"))


def check_refused(example, url):
    # So long that a program which tries again is found out by the clock of the test.
    program = run(example.file, *example.options, "--url", url, "--patience", "100000", status=1)
    assert one_line(program).startswith(f"{example.program}: "), program.report()
    assert "waiting" not in program.output
    assert "wrong" not in program.errors.replace("wrong password", ""), "a password is nobody's to read"


def test_redis_results_may_be_on_another_server(redis, private):
    pytest.importorskip("redis")
    other = private("redis")
    program = run("redis_jobs.py", "--url", redis.url, "--results-url", f"redis://{other.address}/1")
    assert re.fullmatch(EXAMPLES[0].last, program.output.splitlines()[-1])

"""Executors and names."""

import concurrent.futures
import socket

from bad_input.cases import Arguments, Case, wrong_types


async def coroutine_function():
    """What cannot run in a thread."""


def shut_down_pool():
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.shutdown()
    return pool


async def after_shutdown(stage):
    await stage.loop.shutdown_default_executor()
    return await stage.loop.run_in_executor(None, int)


class NoExecutor:
    """Has no submit()."""


NUMERIC = Arguments(
    ("host", lambda stage: "127.0.0.1"),
    ("port", lambda stage: 80),
    family=lambda stage: socket.AF_INET,
    type=lambda stage: socket.SOCK_STREAM,
    proto=lambda stage: 0,
    flags=lambda stage: socket.AI_NUMERICHOST,
)

CASES = [
    *wrong_types(
        "run_in_executor",
        Arguments(
            ("executor", lambda stage: None), ("func", lambda stage: len), ("argument", lambda stage: "")
        ),
    ),
    *wrong_types(
        "run_in_executor",
        Arguments(("executor", lambda stage: None), ("func", lambda stage: int)),
        place="debugging",
    ),
    Case("run_in_executor", "nothing", lambda stage: stage.loop.run_in_executor()),
    Case(
        "run_in_executor",
        "a coroutine function",
        lambda stage: stage.loop.run_in_executor(None, coroutine_function),
        "debugging",
    ),
    Case("run_in_executor", "no executor", lambda stage: stage.loop.run_in_executor(NoExecutor(), int)),
    Case(
        "run_in_executor",
        "an executor that was shut down",
        lambda stage: stage.loop.run_in_executor(shut_down_pool(), int),
    ),
    Case("run_in_executor", "after the shutdown", after_shutdown),
    Case("run_in_executor", "all is right", lambda stage: stage.loop.run_in_executor(None, int), "closed"),
    *wrong_types("set_default_executor", Arguments(("executor", lambda stage: None))),
    Case("set_default_executor", "nothing", lambda stage: stage.loop.set_default_executor()),
    Case("set_default_executor", "no executor", lambda stage: stage.loop.set_default_executor(NoExecutor())),
    Case(
        "shutdown_default_executor",
        "an option there is not",
        lambda stage: stage.loop.shutdown_default_executor(nonsense=1),
    ),
    Case(
        "shutdown_default_executor",
        "all is right",
        lambda stage: stage.loop.shutdown_default_executor(),
        "closed",
    ),
    *wrong_types("getaddrinfo", NUMERIC, leave_out=[("host", "a word")]),
    Case("getaddrinfo", "no port", lambda stage: stage.loop.getaddrinfo("127.0.0.1")),
    Case(
        "getaddrinfo",
        "a name that may only be a number",
        lambda stage: stage.loop.getaddrinfo("localhost", 1, flags=socket.AI_NUMERICHOST),
    ),
    Case("getaddrinfo", "a NUL in the name", lambda stage: stage.loop.getaddrinfo("local\0host", 1)),
    Case(
        "getaddrinfo",
        "a port that is too large",
        lambda stage: stage.loop.getaddrinfo("127.0.0.1", 1 << 20, type=socket.SOCK_STREAM),
    ),
    Case(
        "getaddrinfo",
        "a label that is too long",
        lambda stage: stage.loop.getaddrinfo("a" * 80 + ".invalid", 1),
    ),
    Case(
        "getaddrinfo",
        "an address of another family",
        lambda stage: stage.loop.getaddrinfo("127.0.0.1", 1, family=socket.AF_INET6, type=socket.SOCK_STREAM),
    ),
    Case("getaddrinfo", "all is right", lambda stage: stage.loop.getaddrinfo("localhost", 1), "closed"),
    *wrong_types(
        "getnameinfo",
        Arguments(("sockaddr", lambda stage: ("127.0.0.1", 80)), ("flags", lambda stage: 0)),
        leave_out=[("flags", "a negative number")],
    ),
    Case("getnameinfo", "nothing", lambda stage: stage.loop.getnameinfo()),
    Case("getnameinfo", "a name", lambda stage: stage.loop.getnameinfo(("localhost", 80))),
    Case("getnameinfo", "all is right", lambda stage: stage.loop.getnameinfo(("127.0.0.1", 80)), "closed"),
]

"""Where bad input ends otherwise than on asyncio on purpose; the reasons are in DIFFERENCES.md."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bad_input.stage import WRONG_ARGUMENTS, Failure, agree


@dataclass(frozen=True)
class Rule:
    """A deliberate difference."""

    heading: str
    methods: tuple[str, ...]
    """Those it is about."""
    applies: Callable[[Any, list[Any], list[Any]], bool]
    """Says of a case, asyncio's outcome and Epicycle's whether this is the difference."""
    until_version: bool = False
    """Whether newer versions of asyncio do what Epicycle does."""


def fails(outcome, kind):
    return isinstance(outcome[0], Failure) and outcome[0].kind == kind


def without_sockets(outcome):
    return [part for part in outcome if not (isinstance(part, str) and part.startswith("socket "))]


def closes_the_socket(case, expected, actual):
    return (
        isinstance(actual[0], Failure)
        and agree(without_sockets(expected), without_sockets(actual))
        and "socket 0 is open" in expected
        and "socket 0 is closed" in actual
    )


RULES = [
    Rule(
        "A socket is closed when its protocol cannot be made",
        ("create_connection", "create_unix_connection", "connect_accepted_socket"),
        closes_the_socket,
        until_version=True,
    ),
    Rule(
        "`sendfile` copies what is not a regular file",
        ("sendfile", "sock_sendfile"),
        lambda case, expected, actual: (
            case.what == "no fallback where one is needed" and fails(actual, "SendfileNotAvailableError")
        ),
    ),
    Rule(
        "A `count` larger than any file is no error in `sendfile`",
        ("sendfile", "sock_sendfile"),
        lambda case, expected, actual: (
            case.what == "count is a huge number" and fails(expected, "OverflowError") and actual[0] == "7"
        ),
        until_version=True,
    ),
    Rule(
        "A Unix socket without a name is refused by the system",
        ("create_unix_server",),
        lambda case, expected, actual: fails(expected, "IndexError") and fails(actual, "OSError"),
        until_version=True,
    ),
    Rule(
        "A piece that is no bytes is refused by `writelines` over TLS",
        ("TLS transport.writelines",),
        lambda case, expected, actual: (
            "Fatal error on SSL protocol" in expected and len(actual) == 2 and fails(actual, "TypeError")
        ),
    ),
    Rule(
        "A deadline that is no number is refused at once",
        ("call_at",),
        lambda case, expected, actual: (
            case.what.startswith("when is") and "the loop fails" in expected and fails(actual, "TypeError")
        ),
    ),
    Rule(
        "A closed server cannot be started",
        ("Server.start_serving",),
        lambda case, expected, actual: case.what == "after closing" and fails(actual, "RuntimeError"),
    ),
    Rule(
        "`writelines` pauses the protocol, and is ignored after the end",
        ("Transport.writelines",),
        lambda case, expected, actual: (
            case.what == "on an ended transport"
            and actual[0].text == expected[0].text.replace("write()", "writelines()")
        ),
        until_version=True,
    ),
    Rule(
        "Options and methods of newer versions are there in older ones",
        ("create_connection",),
        lambda case, expected, actual: (
            case.what == "nobody listens, all errors"
            and expected[0].text == WRONG_ARGUMENTS
            and fails(actual, "ExceptionGroup")
        ),
        until_version=True,
    ),
]


def justified(case, expected, actual):
    """The heading that covers the difference, or None."""
    return next(
        (
            rule.heading
            for rule in RULES
            if case.method in rule.methods and rule.applies(case, expected, actual)
        ),
        None,
    )

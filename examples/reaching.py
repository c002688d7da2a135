"""What the examples of databases and brokers share: their address, patience at the start, errors in one line.

Not a program. A service that is down at the start is asked again for `--patience` seconds; one that refuses a
password is not asked again.
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from urllib.parse import SplitResult, urlsplit


class ServiceError(Exception):
    """A service is absent, refuses, or went away; the text is one line for the user."""

    def __init__(self, what: str, error: BaseException | str) -> None:
        text = " ".join(str(error).split())
        if not text and isinstance(error, BaseException):
            text = type(error).__name__
        super().__init__(f"{what}: {text}")


def service_arguments(parser: argparse.ArgumentParser, variable: str, default: str) -> None:
    """Add `--url`, from the environment variable or the default, and `--patience`."""
    url = os.environ.get(variable) or default
    parser.add_argument("--url", default=url, help=f"of the service (default: ${variable}, else {default})")
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds to wait for a service that is down (default: 0)"
    )
    parser.add_argument("--verbose", action="store_true", help="show what the libraries log")


def address(url: str, *schemes: str) -> SplitResult:
    """Take a URL apart; `ServiceError` when it is none of `schemes`, names no host or an impossible port."""
    parts = urlsplit(url)
    try:
        good = parts.scheme in schemes and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise ServiceError(f"'{url}'", f"is not a URL like {schemes[0]}://host:port")
    return parts


async def reach(
    what: str, connect: Callable[[], Awaitable[Any]], patience: float, is_down: Callable[[Exception], bool]
) -> Any:
    """Await `connect()`; while it fails with what `is_down` holds for, again, for `patience` seconds."""
    deadline = time.monotonic() + patience
    told = False
    while True:
        try:
            return await connect()
        except Exception as error:
            if not is_down(error) or time.monotonic() >= deadline:
                raise ServiceError(what, error) from error
            if not told:
                print(f"waiting for {what}", flush=True)
                told = True
        await asyncio.sleep(0.1)


async def unless_lost(work: Coroutine[Any, Any, None], lost: "asyncio.Future[Exception]") -> None:
    """Do the work, or give it up and raise what `lost` is set to.

    For libraries that leave a waiting program waiting when their connection ends, and tell it on the side.
    """
    working = asyncio.create_task(work)
    try:
        await asyncio.wait([working, lost], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not working.done():
            working.cancel()
            await asyncio.wait([working])
    # What the work made of the loss says less than the loss itself.
    if lost.done():
        if not working.cancelled():
            working.exception()
        raise lost.result()
    working.result()


def run(
    program: str, args: argparse.Namespace, main: Coroutine[Any, Any, None], *lost: type[Exception]
) -> None:
    """Run `main`; a `ServiceError`, or one of `lost` in mid-work, ends the program with one line and status 1."""
    if not args.verbose:
        # The libraries log what they also raise, traceback and all.
        logging.getLogger().addHandler(logging.NullHandler())
    try:
        asyncio.run(main)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as raised:
        error: BaseException = raised
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, lost):
            error = ServiceError("lost the service", error)
        if not isinstance(error, ServiceError):
            raise
        sys.exit(f"{program}: {error}")

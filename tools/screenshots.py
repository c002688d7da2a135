"""Pictures of `epicycle top` for the documentation: python tools/screenshots.py [NAME...] [--to FOLDER]

For each case a program is started, mostly one of examples/stalls, looked at until the trouble shows, and what the
terminal would show is written as docs/images/top-NAME.svg. Without names, all of them. The blocking driver wants
MariaDB, as `make ecosystem` does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from epicycle.watching.outside.find import CannotWatch, find
from epicycle.watching.outside.top.app import Top
from epicycle.watching.outside.view import newest_stall

ROOT = Path(__file__).resolve().parent.parent
SIZE = (118, 30)
PATIENCE = 60.0
FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass(frozen=True)
class Case:
    """A program of examples/stalls, or the text of one; and when the picture is taken: `seconds` after the loop is seen
    to be blocked, or where it never is, after the first look."""

    program: str
    seconds: float = 0.4
    blocks: bool = True
    keys: tuple[str, ...] = ()
    watched: bool = True
    # What is asked for all the while, of a program that serves.
    path: str = ""


SERVICE = """\
import asyncio

async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()

async def client(port, pause):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(b"x" * 1024)
        await reader.readexactly(1024)
        await asyncio.sleep(pause)

async def consumer(queue):
    while True:
        await queue.get()

async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    queue = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(client(port, 0.002 * (number + 1)), name=f"client {number}")
            group.create_task(consumer(queue), name=f"consumer {number}")

asyncio.run(main())
"""

CASES = {
    "tasks": Case(SERVICE, 8.0, blocks=False),
    "sleep": Case("sleep.py"),
    "unwatched": Case("sleep.py", watched=False),
    "regular-expression": Case("regular_expression.py"),
    "large-json": Case("large_json.py", 0.2),
    "silent-server": Case("silent_server.py"),
    "hogged-interpreter": Case("hogged_interpreter.py"),
    "dead-holder": Case("dead_holder.py", 4.0, blocks=False, keys=("w", "home", "down", "down")),
    "circle": Case("circle.py", 4.0, blocks=False, keys=("5",)),
    "fast-producer": Case("fast_producer.py", 8.0, blocks=False, keys=("3", "home")),
    "blocking-driver": Case("blocking_driver.py", path="/report"),
}


@contextlib.contextmanager
def running(case: Case) -> Iterator[int]:
    """The case's program; yields its number once it has a loop."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shop", "app.py")
        if case.program.endswith(".py"):
            path = Path(shutil.copytree(ROOT / "examples" / "stalls", Path(folder, "stalls")), case.program)
        else:
            path.parent.mkdir()
            path.write_text(case.program, encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if name != "EPICYCLE_WATCH"}
        command = [sys.executable, "-m", "epicycle", "run", *(["--watch"] if case.watched else []), str(path)]
        log = Path(folder, "log")
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command + (["--port", "0"] if case.path else []),
                stdout=output,
                stderr=output,
                env=environment,
            ) as process,
            asked(case, log),
        ):
            try:
                until(lambda: has_loop(process.pid))
                yield process.pid
            finally:
                process.kill()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("it did not come to what the picture is of")
        time.sleep(0.05)


def has_loop(pid: int) -> bool:
    try:
        find(str(pid)).close()
    except CannotWatch:
        return False
    return True


@contextlib.contextmanager
def asked(case: Case, log: Path) -> Iterator[None]:
    """A thread that asks a program that serves for its path, again and again, until the program is no more."""

    def ask() -> None:
        until(lambda: (found := ADDRESS.search(log.read_text())) and addresses.append(found[0]) is None)
        with contextlib.suppress(OSError):
            while True:
                time.sleep(1)
                urllib.request.urlopen(addresses[0] + case.path, timeout=PATIENCE).close()

    addresses: list[str] = []
    thread = threading.Thread(target=ask)
    if case.path:
        thread.start()
    yield
    if case.path:
        thread.join()


async def picture(pid: int, case: Case) -> str:
    """What a terminal shows of a process, as SVG."""
    app = Top(find(str(pid)), 0.25)
    async with app.run_test(size=SIZE) as pilot:
        deadline = time.monotonic() + PATIENCE
        # Some looks first, for rates.
        await asyncio.sleep(1.5)
        while time.monotonic() < deadline:
            while case.blocks and not is_blocked(app) and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            await asyncio.sleep(case.seconds)
            await pilot.press(*case.keys)
            await pilot.pause()
            if is_blocked(app) == case.blocks and not is_starved(app):
                return mono(app.export_screenshot(title="epicycle top"))
    raise SystemExit("it did not come to what the picture is of")


def is_blocked(app: Top) -> bool:
    return app.model.banner is not None and app.model.banner.alarm


def is_starved(app: Top) -> bool:
    """Whether other programs have the processors, which is another cause than the one of the picture."""
    stall = newest_stall(app.model.reading)
    return stall is not None and stall["cause"] == "cpu"


def mono(svg: str) -> str:
    """The picture, with the reader's own monospaced font: it asks for nothing from elsewhere."""
    return FONTS.sub("", svg).replace("Fira Code", "monospace")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images")
    wanted = parser.parse_args()
    unknown = sorted(set(wanted.names) - set(CASES))
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}")
    for name in wanted.names or CASES:
        with running(CASES[name]) as pid:
            text = asyncio.run(picture(pid, CASES[name]))
        path = wanted.to / f"top-{name}.svg"
        path.write_text(text, encoding="utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    main()

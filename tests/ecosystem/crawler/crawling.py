"""Serves the site of two thousand pages in a thread, on asyncio's own loop, and runs the crawler against it."""

import asyncio
import contextlib
import importlib.util
import json
import socket
import threading

from programs import EXAMPLES, PATIENCE, run, start

CRAWL = "crawler/crawl.py"
# Long enough for a machine with other things to do, and the same for every start.
QUICKLY = ("--back-off", "0.01", "--timeout", "60")


def _practice_site():
    path = EXAMPLES / "crawler/practice_site.py"
    spec = importlib.util.spec_from_file_location("practice_site", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _tell(changed):
    with changed:
        changed.notify_all()


def wait_until(site, condition):
    """Wait until `condition()` is true, which may change with every request."""
    with site.changed:
        assert site.changed.wait_for(condition, PATIENCE), f"only {site.requests.total()} requests came"


def wait_for_requests(site, count):
    """Wait until the site has been asked `count` times."""
    wait_until(site, lambda: site.requests.total() >= count)


def loopback_addresses():
    """Two loopback addresses: of both families where the machine has both."""
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return ["127.0.0.1", "::1"]
    return ["127.0.0.1", "127.0.0.1"]


@contextlib.contextmanager
def serving(addresses=None, **options):
    """The site while it is served."""
    site = _practice_site().Site(**options)
    changed = threading.Condition()
    site.on_request = lambda: _tell(changed)
    site.changed = changed
    loop = asyncio.SelectorEventLoop()

    async def serve():
        try:
            await site.start(addresses or loopback_addresses())
            up.set()
            await down.wait()
        finally:
            await site.stop()

    up, down = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert up.wait(30), "the site does not start"
        yield site
    finally:
        loop.call_soon_threadsafe(down.set)
        thread.join(30)
        loop.close()


def crawl(site, output, *options, status=0):
    """Crawl all hosts of the site to the end; the program as it ended."""
    return run(CRAWL, *starts(site), "--output", output, *QUICKLY, *options, status=status)


def crawling(site, output, *options):
    """The crawler, started."""
    return start(CRAWL, *starts(site), "--output", output, *QUICKLY, *options)


def starts(site):
    return [f"{host}/" for host in site.hosts]


def records(text):
    """Every record by its URL; each line is whole, and no URL has two."""
    lines = text.splitlines()
    found = {record["url"]: record for record in map(json.loads, lines)}
    assert len(found) == len(lines), "a URL has two records"
    assert not text or text.endswith("\n")
    return found


def reported(program):
    """What the report says, by name."""
    return dict(line.split(": ", 1) for line in program.output.splitlines() if ": " in line)


def parts(folder):
    """Files left half written."""
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]

"""The page of a loop: what it says, who may read it, when it goes, and that a bad one does no harm."""

import asyncio
import contextlib
import gc
import os
import random
import shutil
import signal
import stat
import sys
import time

import pytest
from looking import descriptors, target, wait_for

import epicycle
from epicycle import _epicycle
from toolkit import finish

pytestmark = pytest.mark.epicycle_only


def test_it_says_whose_loop_it_is_and_what_it_does(loop, page):
    before = page.facts()
    assert before["pid"] == os.getpid()
    assert before["epicycle"] == epicycle.__version__
    assert before["python"] == ".".join(map(str, sys.version_info[:3]))
    assert abs(before["created"] - time.time()) < 60
    assert (before["state"], before["thread"], before["runs"]) == ("idle", 0, "")
    assert (before["watching"], before["recording"], before["agent"]) == (0.0, False, False)
    seen = []

    async def main():
        seen.append(page.facts())
        loop.call_soon(lambda: seen.append(page.facts()))
        loop.call_later(0, lambda: seen.append(page.facts()))
        await asyncio.sleep(0.01)

    finish(loop, main())
    assert [facts["runs"] for facts in seen] == ["task", "callback", "timer"]
    assert {facts["state"] for facts in seen} == {"running"}
    assert {facts["thread"] for facts in seen} == {os.getpid()}
    assert page.facts()["state"] == "idle"


def test_a_loop_that_sleeps_is_parked():
    with target("""
        import asyncio, epicycle
        async def main():
            print("ready")
            await asyncio.sleep(60)
        epicycle.run(main())
    """) as (_, page):
        wait_for(lambda: page.facts()["state"] == "parked")
        assert page.facts()["runs"] == ""


def test_the_counters_count(loop, page):
    async def serve(reader, writer):
        writer.write(await reader.readexactly(5))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello")
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await loop.run_in_executor(None, int)
        await loop.getaddrinfo("localhost", 80)
        handle = loop.call_later(60, int)
        handle.cancel()
        await asyncio.sleep(0.001)
        process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        await process.communicate(b"x")
        await loop.shutdown_default_executor()

    before = page.counters()
    finish(loop, main())
    counted = {name: total - before[name] for name, total in page.counters().items()}
    assert counted["accepts"] == 1
    assert (counted["opened_tcp"], counted["closed_tcp"]) == (2, 2)
    assert (counted["opened_pipe"], counted["closed_pipe"]) == (2, 2)
    assert (counted["opened_udp"], counted["opened_tls"], counted["opened_unix"]) == (0, 0, 0)
    assert (counted["bytes_in"], counted["bytes_out"]) == (11, 11)
    assert counted["executor_jobs"] == 1
    assert counted["dns_lookups"] == 1
    assert counted["timers_cancelled"] >= 1
    assert counted["timers_fired"] >= 1
    assert counted["steps"] > 10
    assert counted["callbacks"] > counted["steps"]
    assert counted["turns"] > 5
    assert counted["parks"] >= 1


def test_a_transport_that_is_thrown_away_is_counted_as_closed(loop, page):
    import socket

    ours, theirs = socket.socketpair()

    async def main():
        await loop.create_connection(asyncio.Protocol, sock=ours)

    finish(loop, main())
    counters = page.counters()
    assert (counters["opened_unix"], counters["closed_unix"]) == (1, 0)
    with pytest.warns(ResourceWarning):
        loop.close()
    gc.collect()
    theirs.close()


def test_lateness_is_that_of_timers(loop, page):
    async def main():
        blocker = loop.call_later(0.01, time.sleep, 0.05)
        await asyncio.sleep(0.02)
        del blocker

    finish(loop, main())
    buckets = page.lateness()
    assert len(buckets) == 64
    # One of them had to wait for the one that slept: 40 ms, so between 2**24 and 2**28 ns on a busy machine.
    assert sum(buckets[24:30]) >= 1
    assert sum(buckets) == page.counters()["timers_fired"]


def test_it_is_the_owners_and_cannot_be_cut_short(loop):
    (path, *_) = descriptors(os.getpid())
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, "r+b") as file, pytest.raises(PermissionError):
        file.truncate(0)


def test_it_goes_with_the_loop(loop_factory):
    before = descriptors(os.getpid())
    loop = loop_factory()
    (path,) = set(descriptors(os.getpid())) - set(before)
    page = _epicycle.Page.open(path)
    loop.close()
    assert path not in descriptors(os.getpid())
    # Who had it open may still read it.
    assert page.facts()["state"] == "closed"
    with pytest.raises(FileNotFoundError):
        page.ring()
    page.close()
    with pytest.raises(ValueError, match="closed"):
        page.facts()


def test_a_child_made_by_fork_does_not_write_into_its_parents():
    code = """
    import asyncio, os, sys, epicycle
    loop = epicycle.new_event_loop()
    page = loop._page()
    before = page.counters()
    child = os.fork()
    if child == 0:
        # Its own, now.
        assert page.counters()["turns"] == 0
        assert page.facts()["pid"] == 0
        other = epicycle.new_event_loop()
        other.run_until_complete(asyncio.sleep(0))
        assert other._page().facts()["pid"] == os.getpid()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert page.counters() == before
    assert page.facts()["pid"] == os.getpid()
    loop.close()
    print("ready")
    """
    with target(code):
        pass


# ---- in a file ----


RUNNING = """
import asyncio, epicycle
async def main():
    for _ in range(5):
        await asyncio.sleep(0)
    print("ready")
    await asyncio.sleep(60)
epicycle.run(main())
"""


def test_in_a_file_it_survives_a_crash(tmp_path):
    with target(RUNNING, EPICYCLE_PAGE=str(tmp_path)) as (process, memfd):
        assert memfd is None
        (path,) = tmp_path.iterdir()
        assert path.name == f"epicycle-{process.pid}-1.page"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        page = _epicycle.Page.open(str(path))
        wait_for(lambda: page.facts()["state"] == "parked")
        # A living process can be rung by way of its file as well.
        page.ring()
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
        assert page.counters()["steps"] >= 5
        assert page.facts()["pid"] == process.pid
        with pytest.raises(OSError, match="."):
            _epicycle.Page.open(str(path)).ring()
        page.close()


def test_in_a_file_it_goes_at_an_orderly_end(tmp_path):
    code = """
    import asyncio, os, epicycle
    async def main():
        assert len(os.listdir(os.environ["EPICYCLE_PAGE"])) == 1
    epicycle.run(main())
    assert os.listdir(os.environ["EPICYCLE_PAGE"]) == []
    print("ready")
    """
    with target(code, EPICYCLE_PAGE=str(tmp_path)):
        pass


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    code = """
    import epicycle
    try:
        epicycle.new_event_loop()
    except FileNotFoundError:
        print("ready")
    """
    with target(code, EPICYCLE_PAGE=str(tmp_path / "none")):
        pass


# ---- bad ones ----


@pytest.fixture
def copy(loop, tmp_path):
    """A page in a file of its own, to be spoilt."""
    path = tmp_path / "page"
    with open(descriptors(os.getpid())[0], "rb") as source, path.open("wb") as file:
        shutil.copyfileobj(source, file)
    return path


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 100_000], ids=["empty", "short", "long"])
def test_a_file_that_is_no_page_is_told(content, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a page of Epicycle"):
        _epicycle.Page.open(str(path))


def test_no_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        _epicycle.Page.open(str(tmp_path / "none"))


def test_another_layout_is_told(copy):
    content = bytearray(copy.read_bytes())
    content[8:16] = (7).to_bytes(8, "little")
    copy.write_bytes(content)
    with pytest.raises(ValueError, match="layout 7, and this Epicycle reads layout 1"):
        _epicycle.Page.open(str(copy))


def test_one_that_was_cut_short_is_told(copy):
    page = _epicycle.Page.open(str(copy))
    os.truncate(copy, 5000)
    with pytest.raises(ValueError, match="damaged page: it is too short"):
        page.stalls()
    page.close()


def test_whatever_is_in_it_it_is_read_or_refused(copy):
    good = copy.read_bytes()
    numbers = random.Random(7)
    for _ in range(150):
        content = bytearray(good)
        for _ in range(numbers.choice([1, 20, 2000])):
            # Mostly where numbers have a meaning.
            at = numbers.randrange(numbers.choice([4096, 80_000, len(good)]))
            content[at] = numbers.randrange(256)
        copy.write_bytes(content)
        try:
            page = _epicycle.Page.open(str(copy))
        except ValueError:
            continue
        for read in (
            page.facts,
            page.counters,
            page.lateness,
            page.stalls,
            page.events,
            page.snapshot,
            page.stack,
        ):
            with contextlib.suppress(ValueError, OSError):
                read()
        page.close()


def test_with_the_recorder_on_it_has_what_ran_last(tmp_path):
    with target(RUNNING, EPICYCLE_PAGE=str(tmp_path), EPICYCLE_RECORD="1") as (process, _):
        (path,) = tmp_path.iterdir()
        page = _epicycle.Page.open(str(path))
        assert page.facts()["recording"] is True
        wait_for(lambda: page.facts()["state"] == "parked")
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
        _, events = page.events()
        steps = [name for _, _, kind, name, _ in events if kind == "step"]
        assert steps == ["main"] * 6
        assert events[-1][2] == "park"
        page.close()


def test_the_recorder_is_off_unless_it_is_asked_for(tmp_path):
    for wanted in ("", "0"):
        with target(RUNNING, EPICYCLE_RECORD=wanted) as (_, page):
            assert page.facts()["recording"] is False
            assert page.events() == (0, [])


def test_where_files_may_not_be_that_large_the_loop_runs_all_the_same():
    with target("""
        import asyncio, resource, epicycle
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        loop = epicycle.new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        assert loop._page().counters()["turns"] > 0
        loop.close()
        print("ready")
    """):
        pass

"""Every row runs on every loop that is installed, and its figures are ones that a measurement can have."""

import pytest

from epicycle.bench import loops
from epicycle.bench.measuring import Plan, available_cores, measure_all
from epicycle.bench.rows import ROWS, named


def installed():
    found = []
    for name in loops.KNOWN:
        try:
            loops.factory(name)
        except loops.Unusable:
            continue
        found.append(name)
    return found


LOOPS = installed()
# What these loops leave out, as rloop 0.5 does.
MAY_LACK = {"rloop"}


@pytest.mark.parametrize("row", [row.name for row in ROWS])
def test_row(row):
    if named(row).missing():
        pytest.skip(named(row).missing())
    plan = Plan(LOOPS, [named(row)], repeats=1, seconds=0.01)
    seen = []
    table = measure_all(
        plan, available_cores(), lambda repeat, row, loop: seen.append((repeat, row.name, loop))
    )
    assert seen == [(0, row, loop) for loop in LOOPS]
    assert len(seen) == plan.cells
    for loop, cell in table[row].items():
        if loop in MAY_LACK and not cell.measured:
            continue
        assert (cell.failure, cell.lacks) == ("", ""), loop
        check(row, cell.answers[0])


def check(row, answer):
    loaded = named(row).load is not None
    waits = loaded or row in ("executor_roundtrip", "threadsafe_roundtrip", "process_start")
    names = {"rate", "cpu_us", "busy", "peak_kib"}
    names |= {"client_busy"} if loaded else set()
    names |= {"p50_us", "p99_us"} if waits else set()
    assert answer.keys() == names
    assert all(figure > 0 for figure in answer.values())
    assert answer["peak_kib"] > 4096
    if loaded:
        assert answer["cpu_us"] == pytest.approx(answer["busy"] / answer["rate"] * 1e6)
    if waits:
        assert answer["p50_us"] <= answer["p99_us"]


def test_names_of_rows_are_there_once():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert [named(name) for name in names] == list(ROWS)


def test_loops_take_turns():
    plan = Plan(["asyncio", "epicycle"], [named("process_start"), named("timers")], repeats=2, seconds=0.01)
    seen = []
    measure_all(plan, available_cores(), lambda repeat, row, loop: seen.append((row.name, loop)))
    there = [(row, loop) for row in ("process_start", "timers") for loop in ("asyncio", "epicycle")]
    back = [(row, loop) for row in ("process_start", "timers") for loop in ("epicycle", "asyncio")]
    assert seen == there + back


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_loop", "the loop 'no_such_loop' is not installed here"),
        ("asyncio:no_such_factory", "the loop 'asyncio:no_such_factory' cannot be loaded"),
    ],
)
def test_loops_that_are_not_there(name, reason):
    with pytest.raises(loops.Unusable) as caught:
        loops.factory(name)
    assert str(caught.value).startswith(reason)


def test_a_loop_without_the_method_lacks_it(tmp_path, monkeypatch):
    source = (
        "import asyncio\n"
        "class new_event_loop(asyncio.SelectorEventLoop):\n"
        "    async def create_datagram_endpoint(self, *args, **kwargs):\n"
        "        raise NotImplementedError('datagrams')\n"
        "    async def subprocess_exec(self, *args, **kwargs):\n"
        "        raise NotImplementedError('processes')\n"
        "    def call_later(self, *args, **kwargs):\n"
        "        raise RuntimeError('no timers today')\n"
    )
    (tmp_path / "lacking_loop.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    rows = [named("udp_echo"), named("process_start"), named("timers")]
    table = measure_all(Plan(["lacking_loop"], rows, 1, 0.01), available_cores(), lambda *args: None)
    cells = {row: cells["lacking_loop"] for row, cells in table.items()}
    assert (cells["udp_echo"].lacks, cells["udp_echo"].failure) == ("datagrams", "")
    assert (cells["process_start"].lacks, cells["process_start"].failure) == ("processes", "")
    assert (cells["timers"].lacks, cells["timers"].failure) == ("", "RuntimeError: no timers today")


def test_a_server_that_echoes_something_else_is_found_out(tmp_path, monkeypatch):
    source = (
        "import asyncio\n"
        "class new_event_loop(asyncio.SelectorEventLoop):\n"
        "    def _make_socket_transport(self, *args, **kwargs):\n"
        "        transport = super()._make_socket_transport(*args, **kwargs)\n"
        "        write = transport.write\n"
        "        transport.write = lambda data: write(data.replace(b'a', b'b'))\n"
        "        return transport\n"
    )
    (tmp_path / "lying_loop.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    plan = Plan(["lying_loop"], [named("protocol_echo")], 1, 0.01)
    cell = measure_all(plan, available_cores(), lambda *args: None)["protocol_echo"]["lying_loop"]
    assert not cell.measured
    assert cell.failure.endswith("Mismatch: other bytes came back")


def test_what_the_server_said_is_told(tmp_path, monkeypatch):
    source = (
        "import asyncio, os, sys\n"
        "class new_event_loop(asyncio.SelectorEventLoop):\n"
        "    def _make_socket_transport(self, *args, **kwargs):\n"
        "        print('out of transports', file=sys.stderr, flush=True)\n"
        "        os._exit(1)\n"
    )
    (tmp_path / "dying_loop.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    plan = Plan(["dying_loop"], [named("protocol_echo")], 1, 0.01)
    cell = measure_all(plan, available_cores(), lambda *args: None)["protocol_echo"]["dying_loop"]
    assert not cell.measured
    assert cell.failure.endswith("; the server: out of transports")


def test_a_server_without_python_joins_the_rows_of_protocols(tmp_path):
    # Any command that prints its address will do.
    from epicycle.bench.measuring import _child

    server = tmp_path / "server"
    child = _child("server", "asyncio", "protocol")
    server.write_text("#!{}\nimport sys\n{}\n".format(child[0], child[-1].replace("; ", "\n")))
    server.chmod(0o755)
    rows = [named("connect_close"), named("streams_echo"), named("process_start")]
    plan = Plan(["epicycle"], rows, 1, 0.01, limit=str(server))
    table = measure_all(plan, available_cores(), lambda *args: None)
    assert {row: list(cells) for row, cells in table.items()} == {
        "connect_close": ["epicycle", "limit"],
        "streams_echo": ["epicycle"],
        "process_start": ["epicycle"],
    }
    assert table["connect_close"]["limit"].failure == ""
    assert table["connect_close"]["limit"].answers[0]["rate"] > 0

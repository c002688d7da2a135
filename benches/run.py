"""Epicycle beside other asyncio loops: `python benches/run.py [--loops ...] [--rows ...] [--repeats N]`.

A fresh process for every cell, loops in turn, servers and in-process rows on one core and the load on
another. README.md beside this file says how to read the figures.
"""

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import figures
import inprocess
import loops

HERE = Path(__file__).resolve().parent
PATIENCE = 30  # seconds for one cell
LIMIT = "limit"

# Network rows: the server's kind, and what client.py is told (kind, connections, bytes of a message).
NETWORK = {
    "protocol_echo": ("protocol", ("echo", 64, 1024)),
    "streams_echo": ("streams", ("echo", 64, 1024)),
    "connect_close": ("protocol", ("connect", 16, 1024)),
}
ROWS = (*inprocess.ROWS, *NETWORK)


class CellFailed(Exception):
    """One cell could not be measured."""


@dataclasses.dataclass(frozen=True)
class Cores:
    """Where the measured process runs and where the load does; the same core on a machine with one."""

    measured: int
    load: int

    def pin(self, core: int) -> Callable[[], None]:
        return lambda: os.sched_setaffinity(0, {core})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare Epicycle with other asyncio loops.")
    parser.add_argument(
        "--loops", default="", help="comma-separated names or MODULE:FACTORY (default: all installed)"
    )
    parser.add_argument("--rows", default="", help="comma-separated parts of row names (default: all)")
    parser.add_argument("--repeats", type=int, default=5, help="processes for each cell (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured time of one process (default 1)")
    parser.add_argument(
        "--reference", default="", help="the loop ratios are to (default: uvloop, else asyncio)"
    )
    parser.add_argument("--limit", metavar="COMMAND", help="an echo server without Python, for protocol rows")
    parser.add_argument("--json", type=Path, help="write every repeat to this file")
    parser.add_argument(
        "--allow-debug", action="store_true", help="measure a debug build, for trying things out"
    )
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    options = parser.parse_args()
    if options.repeats < 1 or options.seconds <= 0:
        parser.error("--repeats and --seconds must be positive")
    return options


def chosen_loops(options: argparse.Namespace) -> list[str]:
    """The loops to measure; raises loops.Unusable for one that was named and cannot be."""
    usable = []
    for name in options.loops.split(",") if options.loops else loops.KNOWN:
        try:
            loops.factory(name)
            if not options.allow_debug:
                loops.refuse_debug(name)
        except loops.Unusable:
            # Peers may be missing; what was asked for by name, and Epicycle itself, may not.
            if options.loops or name == "epicycle":
                raise
            continue
        usable.append(name)
    return usable


def chosen_rows(options: argparse.Namespace) -> list[str]:
    wanted = options.rows.split(",") if options.rows else [""]
    for part in wanted:
        if not any(part in row for row in ROWS):
            raise SystemExit(f"no row has {part!r} in its name; they are: {', '.join(ROWS)}")
    return [row for row in ROWS if any(part in row for part in wanted)]


def cores() -> Cores:
    available = sorted(os.sched_getaffinity(0))
    return Cores(available[0], available[-1])


def answer(process: subprocess.Popen[str]) -> dict[str, float]:
    """The JSON that a measuring process prints; raises CellFailed with its last words if it prints none."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise CellFailed(f"no figure after {PATIENCE} s") from error
    if process.returncode:
        raise CellFailed(last_line(err) or f"status {process.returncode}")
    figure: dict[str, float] = json.loads(out)
    return figure


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else ""


def start(command: list[str], core: int, where: Cores) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=where.pin(core),
    )


def measure_inprocess(loop: str, row: str, seconds: float, where: Cores) -> dict[str, float]:
    script = [sys.executable, str(HERE / "inprocess.py"), loop, row, str(seconds)]
    return answer(start(script, where.measured, where))


def measure_network(server_command: list[str], row: str, seconds: float, where: Cores) -> dict[str, float]:
    _, (kind, connections, size) = NETWORK[row]
    server = start(server_command, where.measured, where)
    assert server.stdout is not None
    assert server.stdin is not None
    try:
        port = server.stdout.readline().strip().rpartition(":")[2]
        if not port.isdigit():
            server.stdin.close()
            server.wait(PATIENCE)
            raise CellFailed(
                last_line(server.stderr.read() if server.stderr else "") or "the server did not start"
            )
        script = [sys.executable, str(HERE / "client.py"), kind, port]
        script += [str(server.pid), str(connections), str(size), str(seconds)]
        return answer(start(script, where.load, where))
    finally:
        server.kill()
        server.communicate()


def measure(loop: str, row: str, options: argparse.Namespace, where: Cores) -> dict[str, float]:
    if row not in NETWORK:
        return measure_inprocess(loop, row, options.seconds, where)
    server = [sys.executable, str(HERE / "server.py"), loop, NETWORK[row][0]]
    if loop == LIMIT:
        server = options.limit.split()
    return measure_network(server, row, options.seconds, where)


def measure_all(
    names: list[str], rows: list[str], options: argparse.Namespace, where: Cores
) -> figures.Table:
    """Every cell `repeats` times, the loops in another order each time: a drift of the machine hits all."""
    result: figures.Table = {row: {name: figures.Cell() for name in names} for row in rows}
    if options.limit:
        for row in rows:
            if row in NETWORK and NETWORK[row][0] == "protocol":
                result[row][LIMIT] = figures.Cell()
    for repeat in range(options.repeats):
        for row in rows:
            cells = list(result[row].items())
            turn = repeat % len(cells)
            for name, cell in cells[turn:] + cells[:turn]:
                progress(f"{repeat + 1}/{options.repeats} {row} {name}")
                try:
                    cell.add(measure(name, row, options, where))
                except CellFailed as error:
                    cell.failure = str(error)
    progress("")
    return result


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def head(names: list[str], options: argparse.Namespace, where: Cores) -> str:
    """What was measured and on what, and what may have disturbed it."""
    lines = [
        f"CPython {platform.python_version()}, Linux {platform.release()}, {platform.machine()}",
        "loops: " + ", ".join(f"{name} {loops.version(name)}" for name in names),
        f"median of {options.repeats}, {options.seconds:g} s each; measured on core {where.measured}, "
        f"load on core {where.load}",
    ]
    if where.measured == where.load:
        lines.append("ONE CORE: load and server share it, so rates mean little; compare CPU time.")
    load = os.getloadavg()[0]
    if load > 0.5:
        lines.append(f"OTHER WORK on this machine when the run began: load average {load:.1f}.")
    return "\n".join(lines)


def save(path: Path, rows: figures.Table, names: list[str]) -> None:
    content = {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "loops": {name: loops.version(name) for name in names},
        "rows": {
            row: {name: dataclasses.asdict(cell) for name, cell in cells.items()}
            for row, cells in rows.items()
        },
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    options = arguments()
    if options.list:
        for row in ROWS:
            print(row)
        return 0
    rows = chosen_rows(options)
    try:
        names = chosen_loops(options)
    except loops.Unusable as error:
        print(error, file=sys.stderr)
        return 1
    reference = options.reference or ("uvloop" if "uvloop" in names else names[0])
    if reference not in names:
        print(f"the reference {reference} is not among the loops: {', '.join(names)}", file=sys.stderr)
        return 1
    where = cores()
    print(head(names, options, where), flush=True)
    result = measure_all(names, rows, options, where)
    print(figures.table(result, reference))
    if any(cell.client_bound for cells in result.values() for cell in cells.values()):
        print("\nclient-bound: the load was the slower side; compare CPU time, not the rate.")
    for name in names:
        if name.partition(":")[0] == "epicycle" and name != reference:
            print(f"\n{figures.verdicts(result, name, reference)}")
    if options.json:
        save(options.json, result, names)
    failed = any(cell.failure for cells in result.values() for cell in cells.values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""A report whose figures nobody measured."""

from epicycle.bench.figures import Cell
from epicycle.bench.measuring import Cores, Plan
from epicycle.bench.report import Machine, Report
from epicycle.bench.rows import named


def cell(*rates, cpu_us=1.0, **more):
    """A cell of a repeat for each rate."""
    return Cell([{"rate": rate, "cpu_us": cpu_us, "busy": 1.0, "peak_kib": 20480.0} | more for rate in rates])


def report():
    """Epicycle ahead on one row, level on one, behind on one, failing on one; a loop that lacks a row."""
    table = {
        "timers": {
            "asyncio": cell(90_000, 100_000, 110_000),
            "uvloop": cell(200_000, 210_000, 220_000),
            "epicycle": cell(400_000, 420_000, 440_000),
        },
        "protocol_echo": {
            "asyncio": cell(9_000, cpu_us=100.0, client_busy=0.2, p50_us=900.0, p99_us=3000.0),
            "uvloop": cell(30_000, cpu_us=20.0, client_busy=1.0, p50_us=300.0, p99_us=1500.0),
            "epicycle": cell(31_000, cpu_us=40.0, client_busy=1.0, p50_us=310.0, p99_us=1600.0),
        },
        "process_start": {
            "asyncio": cell(100, 101, 102),
            "uvloop": Cell(lacks="<processes> & pipes"),
            "epicycle": cell(100, 101, 102),
        },
        "udp_echo": {
            "asyncio": cell(9_000, cpu_us=100.0),
            "uvloop": cell(9_000, cpu_us=100.0),
            "epicycle": Cell(failure="it <broke>"),
        },
    }
    plan = Plan(["asyncio", "uvloop", "epicycle"], [named(name) for name in table], 3, 0.2)
    machine = Machine("CPython 3.14.0", "Linux 6.1", "a <fast> processor", 2, 0.7)
    skipped = {"tls_echo": "this Python has no ssl module"}
    return Report(plan, Cores(0, 1), machine, "uvloop", skipped, table, "2030-01-01 12:00 +0000")

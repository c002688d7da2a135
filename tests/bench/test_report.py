"""The outcome as text, as a page and as JSON, of figures that are made up."""

import io
import json
import re
import sys
import types
from html.parser import HTMLParser

import made_up
import pytest

from epicycle.bench import table
from epicycle.bench.measuring import Cores
from epicycle.bench.page import page
from epicycle.bench.progress import Progress
from epicycle.bench.record import record

VOID = {"meta", "br"}


@pytest.fixture(autouse=True)
def a_made_up_uvloop(monkeypatch):
    """The figures speak of it, and nobody runs it: it need not be installed."""
    module = types.ModuleType("uvloop")
    module.__version__ = "1.2.3"
    monkeypatch.setitem(sys.modules, "uvloop", module)


class Outline(HTMLParser):
    """Checks that what is opened is closed, and remembers the texts, the ids and the attributes."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.ids = []
        self.attributes = []
        self.texts = []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


def outline(text):
    parser = Outline()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def test_page_is_well_formed_and_has_every_row():
    report = made_up.report()
    found = outline(page(report))
    assert found.ids == list(report.table)
    for row in report.plan.rows:
        assert row.title in found.texts
        assert row.operation in found.texts


def test_page_asks_for_nothing_from_elsewhere():
    text = page(made_up.report())
    assert "://" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert not {name for name, _ in outline(text).attributes} & {"src", "href", "srcset", "data", "action"}
    assert "<script" not in text


def test_page_says_losses_failures_and_what_was_left_out():
    text = page(made_up.report())
    found = outline(text)
    assert "Where Epicycle loses" in found.texts
    assert "slower: 0.50x of uvloop" in found.texts
    assert "faster: 2.00x of uvloop" in found.texts
    assert "level: 1.00x of asyncio" in found.texts
    assert "epicycle failed: it <broke>" in found.texts
    assert "uvloop does not have it: <processes> & pipes" in found.texts
    assert ", because this Python has no ssl module." in found.texts
    assert any("load average 0.7" in told for told in found.texts)
    assert any("a <fast> processor" in told for told in found.texts)


def test_bars_of_a_lost_row_look_lost():
    text = page(made_up.report())
    lost = text.partition('id="protocol_echo"')[2].partition("</article>")[0]
    assert lost.count('<rect class="behind"') == 1
    won = text.partition('id="timers"')[2].partition("</article>")[0]
    assert won.count('<rect class="ahead"') == 1
    assert won.count('class="whisker"') == 3


def test_whiskers_go_from_the_slowest_repeat_to_the_fastest():
    text = page(made_up.report())
    card = text.partition('id="timers"')[2].partition("</article>")[0]
    lengths = [
        float(width) for width in re.findall(r'<rect class="[\w-]+" x="82" y="\d+" width="([\d.]+)"', card)
    ]
    ends = [tuple(map(float, pair)) for pair in re.findall(r'whisker" d="M([\d.]+) [\d.]+H([\d.]+)', card)]
    room = ends[2][1] - 82
    for (length, (low, high)), rates in zip(
        zip(lengths, ends, strict=True), ((90, 100, 110), (200, 210, 220), (400, 420, 440)), strict=True
    ):
        drawn = [low - 82, length, high - 82]
        assert drawn == pytest.approx([rate / 440 * room for rate in rates], abs=0.2)


@pytest.mark.parametrize("loops", [["epicycle"], ["asyncio"], ["asyncio", "uvloop"], ["asyncio", "epicycle"]])
def test_page_of_few_loops(loops):
    report = made_up.report()
    report.plan.loops[:] = loops
    report.reference = loops[0]
    report.table = {name: {loop: cells[loop] for loop in loops} for name, cells in report.table.items()}
    report.cores = Cores(0, 0)
    text = page(report)
    assert outline(text).ids == list(report.table)
    assert "One core" in text
    assert table.overview(report, colour=True)
    assert table.details(report)
    assert record(report)["reference"] == loops[0]


def test_table():
    lines = {
        line.split()[0]: line for line in table.overview(made_up.report(), colour=False).splitlines() if line
    }
    assert lines["timers"].split() == [
        *("timers", "100k/s", "0.48x", "±10%"),
        *("210k/s", "1.00x", "±5%", "420k/s", "2.00x", "±5%"),
    ]
    assert lines["protocol_echo"].split()[-4:] == ["40.0", "us", "0.50x", "±0%"]
    assert "does not have it" in lines["process_start"]
    assert lines["udp_echo"].endswith("fails")


def test_colours_do_not_move_columns():
    report = made_up.report()
    coloured = table.overview(report, colour=True)
    assert "\x1b[32m" in coloured
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == table.overview(report, colour=False)


def test_details():
    text = table.details(made_up.report())
    assert re.search(r"^  epicycle +31.0k +0% +1.03x +40.0 +2.00x +310 +1.60k +20.0$", text, re.MULTILINE)
    assert "does not have it: <processes> & pipes" in text
    assert "fails: it <broke>" in text


def test_verdicts_name_every_loss():
    assert table.verdicts(made_up.report(), "epicycle").splitlines() == [
        "epicycle against asyncio:",
        "  faster   on  2: timers 4.20x, protocol_echo 2.50x",
        "  the same on  1: process_start 1.00x",
        "",
        "epicycle against uvloop:",
        "  faster   on  1: timers 2.00x",
        "  slower   on  1: protocol_echo 0.50x",
        "",
        "Where epicycle loses:",
        "  protocol_echo: 0.50x the speed of uvloop",
    ]


def test_no_loss_is_said_too():
    report = made_up.report()
    del report.table["protocol_echo"]
    assert table.verdicts(report, "epicycle").splitlines()[-1] == (
        "Where epicycle loses: on none of these rows, beyond what the figures vary by."
    )


def test_head():
    lines = table.head(made_up.report()).splitlines()
    assert lines[1] == "CPython 3.14.0, Linux 6.1, a <fast> processor; 2030-01-01 12:00 +0000"
    assert lines[2:] == [
        "4 rows, 0.2 s for each loop, 3 times in fresh processes; measured on core 0, load on core 1",
        "OTHER WORK on this machine as the run begins: load average 0.7.",
        "left out: tls_echo, because this Python has no ssl module",
    ]


def test_record_survives_json():
    report = made_up.report()
    found = json.loads(json.dumps(record(report)))
    assert found["rows"]["timers"]["decided_by"] == "rate"
    assert found["rows"]["protocol_echo"]["decided_by"] == "cpu_us"
    epicycle = found["rows"]["timers"]["loops"]["epicycle"]
    assert [repeat["rate"] for repeat in epicycle["repeats"]] == [400_000, 420_000, 440_000]
    assert epicycle["median"]["rate"] == 420_000
    assert found["rows"]["udp_echo"]["loops"]["epicycle"]["failure"] == "it <broke>"
    assert found["losses"] == {"epicycle": [{"row": "protocol_echo", "to": "uvloop", "ratio": 0.5}]}
    assert found["skipped"] == report.skipped


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class PlainTerminal(Terminal):
    encoding = "ascii"


def steps(stream, total=40):
    progress = Progress(stream, total)
    for number in range(total):
        progress.step(f"step {number}")
    progress.end()
    return stream.getvalue()


def test_progress_on_a_terminal_is_one_line_and_leaves_nothing():
    written = steps(Terminal())
    assert "\n" not in written
    assert written.endswith("\r\x1b[K")
    assert "▕██████████████              ▏  50%, 0 s left  step 20" in written


def test_progress_on_a_terminal_without_blocks():
    written = steps(PlainTerminal())
    assert written.isascii()
    assert "[##############              ]  50%, 0 s left  step 20" in written


def test_progress_elsewhere_is_a_line_now_and_then():
    lines = steps(io.StringIO()).splitlines()
    assert lines[0] == "  0%: step 0"
    assert 8 <= len(lines) <= 11
    assert not any("\x1b" in line or "\r" in line for line in lines)

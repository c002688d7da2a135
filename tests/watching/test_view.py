"""What readings mean: rates, percentiles, texts, the banner."""

import pytest
from fakes import FakePage

from epicycle.watching.outside.view import (
    History,
    Reading,
    amount,
    banner,
    bytes_text,
    innermost_own,
    lag,
    rates,
    seconds_text,
    sparkline,
    where,
)


def reading(page=None, **more):
    page = page or FakePage()
    return Reading(page.facts(), page.counters(), page.lateness(), page.stalls(), **more)


def test_rates_are_differences_by_time():
    page = FakePage()
    before = reading(page)
    page.pass_time(2.0, callbacks=500, bytes_in=4096)
    found = rates(before, reading(page))
    assert found["callbacks"] == 250
    assert found["bytes_in"] == 2048
    assert found["turns"] == 0


def test_rates_of_no_time_and_of_counters_that_went_back_are_zero():
    page = FakePage()
    before = reading(page)
    page.pass_time(0, callbacks=500)
    assert rates(before, reading(page))["callbacks"] == 0
    page.pass_time(1, callbacks=-600)
    assert rates(before, reading(page))["callbacks"] == 0


def test_lag_is_of_the_timers_between_two_readings():
    before = [0] * 40
    before[35] = 1000
    after = list(before)
    after[16] += 90
    after[20] += 9
    after[23] += 1
    found = lag(before, after)
    assert found.count == 100
    assert 2**16 / 1e9 <= found.p50 <= 2**17 / 1e9
    assert 2**16 / 1e9 <= found.p90 <= 2**17 / 1e9
    assert 2**20 / 1e9 <= found.p99 <= 2**21 / 1e9
    assert found.most == 2**24 / 1e9
    assert lag(after, after).count == 0
    assert lag([], after).count == 1100


def test_a_sparkline_ends_at_the_right_and_fills_the_highest():
    assert sparkline([1, 2, 4, 8], 6) == "  ▁▂▄▇"
    assert sparkline([5, 0, 5], 3) == "▇ ▇"
    assert sparkline([9, 9, 1, 2], 2) == "▄▇"
    assert sparkline([], 3) == "   "
    assert sparkline([1], 0) == ""


def test_history_keeps_the_last_values():
    history = History(3)
    for value in range(5):
        history.add({"a": value})
    assert history.of("a") == [2, 3, 4]
    assert history.of("b") == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.4, "0.4"),
        (7, "7"),
        (9999, "9999"),
        (12345, "12.3k"),
        (999499, "999k"),
        (4.5e6, "4.5M"),
        (2e13, "20T"),
    ],
)
def test_amounts(value, text):
    assert amount(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-1, "0"),
        (0.0000354, "35 µs"),
        (0.0042, "4.2 ms"),
        (0.25, "250 ms"),
        (3.21, "3.2 s"),
        (245, "4m05s"),
        (10920, "3h02m"),
        (187200, "2d04h"),
    ],
)
def test_spans_of_time(value, text):
    assert seconds_text(value) == text


def test_numbers_of_bytes():
    assert [bytes_text(n) for n in (0, 512, 1536, 1 << 20, 150 << 30)] == [
        "0 B",
        "512 B",
        "1.5 KiB",
        "1.0 MiB",
        "150 GiB",
    ]


def test_the_users_frame_is_told_from_a_librarys():
    library = ("/usr/lib/python3.12/socket.py", "recv", 5)
    package = ("/venv/lib64/python3.12/site-packages/requests/api.py", "get", 7)
    own = ("/srv/app.py", "handler", 12)
    assert (
        innermost_own([library, ("<frozen importlib>", "x", 1), package, own, ("/srv/main.py", "main", 1)])
        == own
    )
    assert innermost_own([library, package]) == library
    assert innermost_own([]) is None
    assert innermost_own(["damaged", own]) == own


def test_a_place_is_short_and_clean():
    assert where("/srv/web/app.py", 12, "work") == "web/app.py:12 in work"
    assert where("/srv/\x1b[31m.py", 1) == "srv/\\x1b[31m.py:1"
    assert where("", None, "work") == "work"


def test_no_banner_for_a_loop_that_gets_on():
    assert banner(reading(), 1.0) is None


def test_the_banner_of_a_watched_loop_has_the_line_and_the_cause():
    page = FakePage(watching=0.1)
    page.stall(over=False, cause="system call", detail="recvfrom(5)", lasted=3.2)
    said = banner(reading(page), 1.0)
    assert said.alarm
    assert (
        said.text
        == "BLOCKED for 3.2 s by a blocking system call: recvfrom(5) at srv/app.py:12 in work (task Task-7)"
    )


def test_the_banner_of_a_saturated_loop():
    page = FakePage()
    page.stall(over=False, kind="saturated", lasted=1.0, cause="cpu")
    assert banner(reading(page), 1.0).text.startswith("SATURATED for 1.0 s")


def test_the_banner_of_an_unwatched_loop_has_the_line_of_its_thread():
    page = FakePage(state="running", runs="callback")
    stuck = reading(page, still=4.0, stack=page.stack())
    assert banner(stuck, 1.0).text == "BLOCKED for at least 4.0 s at srv/app.py:12 in work"
    assert banner(reading(page, still=4.0), 1.0).text == "BLOCKED for at least 4.0 s in a callback"
    assert banner(reading(page, still=0.5), 1.0) is None


def test_a_stall_that_is_over_is_no_banner():
    page = FakePage()
    page.stall(over=True)
    assert banner(reading(page), 1.0) is None


@pytest.mark.parametrize(
    ("process", "alarm", "says"),
    [("stopped", True, "STOPPED"), ("ended", False, "has ended"), ("file", False, "has ended")],
)
def test_what_became_of_the_process_comes_first(process, alarm, says):
    page = FakePage()
    page.stall(over=False)
    said = banner(reading(page, process=process, still=9.0), 1.0)
    assert said.alarm is alarm
    assert says in said.text


def test_a_banner_carries_nothing_raw():
    page = FakePage()
    page.stall(
        over=False,
        task="\x1b]0;title\x07",
        file="/srv/\u202eapp.py",
        detail="\x9b2J",
        stack=[["\x1b", "\x1b", 1]],
    )
    assert banner(reading(page), 1.0).text.isprintable()

"""The trace: what Perfetto requires of its form, whatever the ring held."""

import errno
import json
import os
import stat

import pytest
from fakes import FakePage, found

from epicycle.watching.outside import recording, trace
from epicycle.watching.outside.trace import STALLS, Track


def made(*events, **more):
    track = Track(10, 20, "app.py", "loop")
    track.add([(number, at, kind, name, value) for number, (at, kind, name, value) in enumerate(events, 1)])
    track.end()
    return track


def spans(track):
    return [(event["ph"], event["ts"], event.get("name")) for event in track.events if event["ph"] in "BEi"]


def balanced(track):
    depth, last = 0, 0.0
    for event in track.events:
        if event["ph"] in "BE":
            assert event["ts"] >= last
            last = event["ts"]
            depth += 1 if event["ph"] == "B" else -1
            assert depth >= 0
    return depth == 0


def test_what_began_ends_in_microseconds():
    track = made(
        (1000, "turn", "", 0), (2000, "step", "app.work", 0), (5000, "end", "", 0), (9000, "end", "", 0)
    )
    assert spans(track) == [("B", 1.0, "turn"), ("B", 2.0, "app.work"), ("E", 5.0, None), ("E", 9.0, None)]
    assert all(event["pid"] == 10 and event["tid"] == 20 for event in track.events)


def test_an_end_without_its_beginning_is_left_out():
    assert spans(made((1000, "end", "", 0), (2000, "turn", "", 0), (3000, "end", "", 0)))[0][0] == "B"


def test_what_does_not_end_ends_with_the_recording():
    track = made((1000, "turn", "", 0), (2000, "callback", "f", 0))
    assert balanced(track)
    assert spans(track)[-1] == ("E", 2.0, None)


def test_a_turn_lasts_until_the_loop_parks_and_a_park_until_the_next_turn():
    track = made((1000, "turn", "", 2), (2000, "park", "", 0), (5000, "turn", "", 0), (6000, "turn", "", 0))
    assert spans(track) == [
        ("B", 1.0, "turn"),
        ("E", 2.0, None),
        ("B", 2.0, "park"),
        ("E", 5.0, None),
        ("B", 5.0, "turn"),
        ("E", 6.0, None),
        ("B", 6.0, "turn"),
        ("E", 6.0, None),
    ]
    assert track.events[2]["args"] == {"batch": 2}


def test_a_loop_within_a_loop_stands_within_its_step():
    track = made(
        (1, "turn", "", 0),
        (2, "step", "outer", 0),
        (3, "turn", "", 0),
        (4, "step", "inner", 0),
        (5, "end", "", 0),
        (6, "park", "", 0),
        (7, "end", "", 0),
        (8, "turn", "", 0),
    )
    assert balanced(track)
    depth, deepest = 0, {}
    for phase, _, name in spans(track):
        depth += {"B": 1, "E": -1}[phase]
        deepest[name] = max(depth, deepest.get(name, 0))
    assert (deepest["outer"], deepest["inner"]) == (2, 4)
    assert spans(track)[-4:] == [
        ("E", 0.007, None),
        ("E", 0.008, None),
        ("B", 0.008, "turn"),
        ("E", 0.008, None),
    ]


def test_numbers_that_are_missing_at_the_beginning_are_told():
    track = Track(1, 2, "app.py", "loop", 5)
    track.add([(8, 9000, "turn", "", 0)])
    assert track.lost == 3


def test_missing_numbers_are_told():
    track = Track(1, 2, "app.py", "loop")
    track.add([(1, 1000, "turn", "", 0)])
    track.add([(8, 9000, "end", "", 0), (9, 9500, "turn", "", 0)])
    track.end()
    assert track.lost == 6
    assert balanced(track)
    assert "6 events lost" in [event.get("name") for event in track.events]


def test_events_seen_twice_and_times_that_run_back_do_no_harm():
    track = Track(1, 2, "app.py", "loop")
    track.add([(1, 5000, "step", "a", 0), (2, 1000, "end", "", 0)])
    track.add([(1, 5000, "step", "a", 0), (2, 1000, "end", "", 0)])
    assert spans(track) == [("B", 5.0, "a"), ("E", 5.0, None)]


def test_a_stall_has_a_line_of_its_own_and_a_mark_on_the_loops():
    stall = FakePage().stall(began_ns=500_000_000, lasted=2.0, cause="gil")
    track = Track(10, 20, "app.py", "loop")
    track.add_stalls([stall])
    whole = [event for event in track.events if event["ph"] == "X"]
    assert len(whole) == 1
    assert (whole[0]["tid"], whole[0]["ts"], whole[0]["dur"]) == (STALLS + 20, pytest.approx(5e5), 2e6)
    assert whole[0]["args"]["line"] == 12
    assert [event["name"] for event in track.events if event["ph"] == "i"] == ["blocked: the interpreter"]
    assert {"name": "stalls"} in [event.get("args") for event in track.events if event["ph"] == "M"]


def test_the_file_is_json_with_every_event_as_perfetto_wants_it(tmp_path):
    track = made(
        (1000, "turn", "", 0),
        (2000, "step", "evil\x1b[31m\u202e", 3),
        (3000, "end", "", 0),
        (4000, "stall", "", 9),
    )
    track.add_counters(5000, {"steps per second": 12.5})
    path = tmp_path / "trace.json"
    trace.write(str(path), [track], {"pid": 10})
    text = path.read_text("ascii")
    read = json.loads(text)
    assert read["otherData"] == {"pid": 10}
    for event in read["traceEvents"]:
        assert event["ph"] in "BEiCMX"
        assert "ts" in event or event["ph"] == "M"
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert "name" in event or event["ph"] == "E"
        assert event.get("s", "t") in ("t", "p", "g")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "trace.json"
    path.write_text("old")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trace.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        trace.write(str(path), [made((1, "turn", "", 0))], {})
    assert [each.name for each in tmp_path.iterdir()] == ["trace.json"]
    assert path.read_text() == "old"


def test_a_device_is_written_to_and_stays_one():
    with pytest.raises(OSError, match="No space left"):
        trace.write("/dev/full", [made((1, "turn", "", 0))], {})
    trace.write("/dev/null", [made((1, "turn", "", 0))], {})
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_stays_one(tmp_path):
    file, link = tmp_path / "file.json", tmp_path / "link.json"
    link.symlink_to(file)
    trace.write(str(link), [made((1, "turn", "", 0))], {})
    assert link.is_symlink()
    assert json.loads(file.read_text())


def test_recording_a_process(tmp_path, capsys):
    page = FakePage()
    page.event("turn")
    page.event("end")

    def begin(seconds):
        page.become(recording=True)
        for kind in ("turn", "step", "end", "end"):
            page.event(kind, "app.work" if kind == "step" else "")

    page.record = begin
    path = tmp_path / "trace.json"
    assert recording.record(found(page), str(path), 0.1) == 0
    assert "4 events" in capsys.readouterr().out
    names = [event.get("name") for event in json.loads(path.read_text())["traceEvents"]]
    assert names.count("turn") == 1
    assert "app.work" in names


def test_a_process_that_does_not_begin_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(recording, "ANSWER", 0.05)
    page = FakePage()
    page.get_stuck()
    facts = page.facts

    def passing():
        page.pass_time(0.5)
        return facts()

    page.facts = passing
    path = tmp_path / "trace.json"
    assert recording.record(found(page), str(path), 0.1) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "nothing was recorded: BLOCKED" in said
    assert "app.py:12" in said
    assert not path.exists()


def test_what_a_crashed_process_left_is_written(tmp_path, capsys):
    page = FakePage()
    page.event("turn")
    page.stall()
    left = found(page)
    left.process = None
    path = tmp_path / "trace.json"
    assert recording.record(left, str(path), 5) == 0
    phases = [event["ph"] for event in json.loads(path.read_text())["traceEvents"]]
    assert phases.count("B") == phases.count("E") == 1
    assert phases.count("X") == 1
    assert page.recorded == []


def test_what_cannot_be_written_is_told_in_one_line(tmp_path, capsys, monkeypatch):
    page = FakePage()
    page.event("turn")
    left = found(page)
    left.process = None

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trace.os, "fsync", full)
    assert recording.record(left, str(tmp_path / "trace.json"), 5) == 1
    assert capsys.readouterr().err.endswith("trace.json': No space left on device\n")
    assert list(tmp_path.iterdir()) == []

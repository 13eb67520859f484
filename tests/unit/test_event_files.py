"""Reading event logs: whole, cut off, damaged, of other versions, in pieces, and none at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from event_logs import eventful, write
from trace_format import checked

from mpirdd.observe.event_files import Tail, Tails, read_log
from mpirdd.observe.run_state import RunState
from mpirdd.observe.run_view import RunView
from mpirdd.observe.trace import trace_events
from mpirdd.protocol.errors import UsageError


def test_a_whole_log_has_its_events_and_no_notes(tmp_path: Path) -> None:
    log = read_log([str(write(tmp_path / "a.jsonl", eventful()))])
    assert log.events == eventful()
    assert log.notes == []


def test_a_log_may_be_cut_off_at_any_byte(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.jsonl", eventful()).read_bytes()
    for end in range(len(whole) - 400, len(whole), 7):
        path = tmp_path / "cut.jsonl"
        path.write_bytes(whole[:end])
        log = read_log([str(path)])
        assert log.events == eventful()[: len(log.events)]
        assert len(log.events) >= whole[:end].count(b"\n")
        torn = len(log.events) == whole[:end].count(b"\n") and not whole[:end].endswith(b"\n")
        assert any("cut off" in note for note in log.notes) == torn


DAMAGE = "damaged (no event, or one with a field that is absent or wrong), and left out"


def test_damaged_lines_are_left_out_and_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", eventful())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], b'{"event":"ta\n', b"\n", b"\xff\xfe\n", b"[1]\n", *lines[5:]]))
    log = read_log([str(path)])
    assert log.events == eventful()
    assert log.notes == [f"{path}: lines 6, 8 and 9 are {DAMAGE}; mend or delete them."]
    assert [line[1:] for line in log.lines[4:6]] == [(str(path), 5), (str(path), 10)]
    path.write_bytes(b"".join([*lines, *[b"[]\n"] * 1007]))
    (note,) = read_log([str(path)]).notes
    begin = len(lines)
    assert f"lines {begin + 1}, {begin + 2}, {begin + 3}, {begin + 4}, {begin + 5} and 1,002 more are damaged" in note


@pytest.mark.parametrize("line", [
    '{"event":5}', "[1]", '"text"', "{}", '{"t":1}', '{"event":"job","t":"x"}', '{"event":"run","unix":[]}',
    '{"event":"task","t":1,"stage":1,"executor":[],"seconds":1}', '{"event":"stage","t":1,"stage":1,"label":null}',
    '{"event":"task","t":1,"stage":1,"executor":1,"partition":1,"seconds":"1"}', "[" * 5000, '{"event":"node","parents":5}',
    '{"event":"task","t":1,"stage":1,"executor":1,"partition":1,"seconds":NaN}', '{"event":"job","t":Infinity,"job":1}'])
def test_valid_json_that_is_no_event_is_named_as_other_damage_is(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "a.jsonl", eventful())
    whole = path.read_text()
    path.write_text(whole + line + "\n")
    log = read_log([str(path)])
    assert (log.events, log.notes) == (eventful(), [f"{path}: line {len(eventful()) + 1} is {DAMAGE}; mend or delete it."])


@pytest.mark.parametrize(("kind", "field"), [("stage", "keeps"), ("task", "seconds"), ("node", "parents"), ("job_end", "status")])
def test_a_line_without_a_field_is_left_out_of_the_summary_and_named(
    tmp_path: Path, kind: str, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from mpirdd.launch import cli

    events = eventful()
    number = next(number for number, event in enumerate(events) if event["event"] == kind)
    del events[number][field]
    path = write(tmp_path / "a.jsonl", events)
    assert cli.main(["summary", str(path)]) == 0
    said = capsys.readouterr()
    assert said.err == f"mpirdd: {path}: line {number + 1} is {DAMAGE}; mend or delete it.\n"
    assert "skew.py: failed after 7.5 s" in said.out


def test_a_field_that_nobody_looks_at_before_the_end_is_named_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mpirdd.launch import cli

    events = eventful()
    del events[-1]["status"]
    path = write(tmp_path / "a.jsonl", events)
    assert cli.main(["summary", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"mpirdd: {path}: line {len(events)} is damaged (KeyError('status')); mend or delete it\n")


def test_a_setting_may_be_infinite(tmp_path: Path) -> None:
    events = eventful()
    events[0]["settings"] = {"executor_timeout_s": float("inf")}
    log = read_log([str(write(tmp_path / "a.jsonl", events))])
    assert (log.events, log.notes) == (events, [])


def test_another_version_is_read_with_a_note(tmp_path: Path) -> None:
    events = eventful()
    events[0] = {**events[0], "version": 9}
    notes = read_log([str(write(tmp_path / "a.jsonl", events))]).notes
    assert len(notes) == 1
    assert "version 9" in notes[0]


def test_of_several_runs_the_last_one_is_read_or_the_one_asked_for(tmp_path: Path) -> None:
    second = [{**event, "unix": 1_900_000_000.0} if event["event"] == "run" else event for event in eventful()[:20]]
    path = str(write(tmp_path / "a.jsonl", [*eventful(), *second]))
    assert read_log([path]).events == second
    assert "Run 2 of 2" in read_log([path]).notes[0]
    assert read_log([path], run=1).events == eventful()
    assert read_log([path], run=-2).events == eventful()
    with pytest.raises(UsageError, match="has 2 runs"):
        read_log([path], run=3)


def context(number: int, unix: float, pid: int = 1) -> list[dict[str, Any]]:
    """The events of one Context of a program."""
    first, *rest = eventful()
    return [{**first, "context": number, "unix": unix, "pid": pid}, *rest]


def test_the_contexts_of_a_program_are_one_run(tmp_path: Path) -> None:
    events = [*context(1, 100.0), *context(2, 110.0), *context(3, 130.0), *context(1, 200.0)]
    path = str(write(tmp_path / "a.jsonl", events))
    log = read_log([path], run=1)
    assert log.notes == ["Run 1 of 2 in the log; --run N shows another one.",
                         "The program has made 3 Contexts, one after the other; they are shown as one run."]
    assert read_log([path]).events == context(1, 200.0)
    view, state = RunView().take_all(log.events), RunState()
    for event in log.events:
        state.take(event)
    assert view.strange == 0 and [event["t"] for event in log.events if event["event"] == "context"] == [10, 30]
    assert list(view.jobs) == list(state.jobs) == [1, 2, 3, 4, 5, 6]
    assert [(stage.id, stage.jobs, stage.shuffles, stage.writes) for stage in view.stages.values() if stage.label == "collect at "
            "skew.py:6"] == [(2, (1,), (2,), None), (5, (3,), (4,), None), (8, (5,), (6,), None)]
    assert [stage.writes for stage in view.stages.values() if stage.kind == "map"] == [2, 4, 6]
    assert [node["parents"] for node in view.nodes.values()] == [[], [1], [], [3], [], [5]]
    assert view.kept.keys() == {1, 3, 5} and [kept.most[0] for kept in view.kept.values()] == [4, 4, 4]
    assert {row.start for row in view.tasks if row.stage == 8 and row.partition == 0} == {32.7}
    assert [loss["running"] for loss in view.losses] == [[[3, 1]], [[6, 1]], [[9, 1]]]
    assert (view.now, state.t, view.status) == (37.5, 37.5, "failed")
    assert checked(trace_events(view))["X"]


def test_contexts_are_told_apart_when_the_clock_was_set_back(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.jsonl", [*context(1, 100.0), *context(2, 90.0), *context(3, 95.0)]))
    view = RunView().take_all(read_log([path]).events)
    assert list(view.jobs) == [1, 2, 3, 4, 5, 6]


def test_a_context_of_another_process_is_another_run(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.jsonl", [*context(1, 100.0), *context(2, 110.0, pid=2)]))
    assert read_log([path]).notes == ["Run 2 of 2 in the log; --run N shows another one."]


def test_pieces_of_a_log_come_together_in_any_order(tmp_path: Path) -> None:
    events = eventful()
    pieces = [str(write(tmp_path / name, part)) for name, part in (
        ("c", events[30:]), ("a", events[:10]), ("b", events[10:30]))]
    assert read_log(pieces).events == events
    log = read_log(pieces[:1])
    assert log.events == events[30:]
    assert any("beginning" in note for note in log.notes)


def test_of_a_folder_the_newest_log_is_read(tmp_path: Path) -> None:
    import os

    old, new = write(tmp_path / "a.jsonl", eventful()), write(tmp_path / "b.jsonl", eventful("new.py"))
    os.utime(old, (1, 1))
    os.utime(new, (2, 2))
    assert read_log([str(tmp_path)]).events == eventful("new.py")


@pytest.mark.parametrize(("content", "said"), [
    (b"", "no events yet"), (b"\x89PNG\r\n\x00\x01", "no event log of mpirdd"), (b'{"a": 1}\n', "no event log of mpirdd"),
    (b"hello\nworld\n", "no event log of mpirdd"),
])
def test_what_is_no_log_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read_log([str(tmp_path / "x")])


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_log([str(tmp_path / "x")])
    with pytest.raises(UsageError, match=r"no event log .* in this folder"):
        read_log([str(tmp_path)])


def test_a_tail_gives_each_event_once_however_the_file_grows(tmp_path: Path) -> None:
    path, tail = tmp_path / "a.jsonl", Tail(str(tmp_path / "a.jsonl"))
    assert tail.new() == []
    data = write(tmp_path / "whole", eventful()).read_bytes()
    seen = []
    with path.open("ab") as file:
        for start in range(0, len(data), 61):
            file.write(data[start : start + 61])
            file.flush()
            seen += tail.new()
    assert seen == eventful()
    assert tail.new() == []


def test_several_pieces_are_followed_in_their_order(tmp_path: Path) -> None:
    events = eventful()
    last, first = write(tmp_path / "last", events[20:30]), write(tmp_path / "first", events[:20])
    tails = Tails([str(last), str(first)])
    assert tails.new() == events[:30]
    with last.open("ab") as file:
        file.write(write(tmp_path / "rest", events[30:]).read_bytes())
    assert tails.new() == events[30:]
    assert tails.new() == []


def test_a_tail_reads_a_file_that_was_replaced_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", eventful())
    tail = Tail(str(path))
    assert len(tail.new()) == len(eventful())
    path.unlink()
    write(path, eventful()[:3])
    assert tail.new() == eventful()[:3]


def test_a_tail_tells_what_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello\n")
    with pytest.raises(UsageError, match="no event log"):
        Tail(str(tmp_path / "x")).new()


def test_events_are_json_of_one_line_each(tmp_path: Path) -> None:
    for line in write(tmp_path / "a.jsonl", eventful()).read_text().splitlines():
        assert json.loads(line)["event"]


@pytest.mark.parametrize("command", ["report", "trace", "summary", "top"])
def test_every_reader_takes_several_pieces_and_the_number_of_a_run(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from mpirdd.launch import cli

    first, second = context(1, 100.0, pid=1 << 30), context(1, 200.0, pid=1 << 30)
    for event in second:
        if event["event"] == "job" and event["job"] == 1:
            event["label"] = "distinct at later.py:6"
        if event["event"] == "stage" and event["stage"] == 2:
            event["label"] = "distinct at later.py:6"
    pieces = [str(write(tmp_path / name, events)) for name, events in (
        ("b.jsonl", second[15:]), ("a.jsonl", [*first, *second[:15]]))]
    words = {"report": ["-o", str(tmp_path / "r.html")], "trace": ["-o", str(tmp_path / "t.json")], "top": ["--once"]}
    for number in ("1", "2"):
        assert cli.main([command, *pieces, "--run", number, *words.get(command, [])]) == 0
        out = capsys.readouterr().out + "".join(
            path.read_text() for path in (tmp_path / "r.html", tmp_path / "t.json") if path.exists())
        assert ("later.py:6" in out) == (number == "2")
    assert cli.main([command, *pieces, "--run", "3", *words.get(command, [])]) == 2
    assert "has 2 runs" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["report", "trace"])
@pytest.mark.parametrize("content", ["precious\n", '{"event":"run","t":0}\n'])
def test_no_other_file_is_replaced(tmp_path: Path, command: str, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    from mpirdd.launch import cli

    log, target = tmp_path / "log.jsonl", tmp_path / "other.jsonl"
    log.write_text('{"event":"run","t":0}\n')
    target.write_text(content)
    assert cli.main([command, str(log), "-o", str(target)]) == 2
    assert "is another file" in capsys.readouterr().err
    assert target.read_text() == content
    for _ in range(2):  # what it has written itself is
        assert cli.main([command, str(log), "-o", str(tmp_path / "own.json.gz")]) == 0


@pytest.mark.parametrize("command", ["report", "trace", "summary", "top"])
@pytest.mark.parametrize("line", ['{"event":"stage","t":1}', '{"event":"task","t":1}', '{"event":"job","t":"x"}'])
def test_every_reader_bears_odd_lines(
    tmp_path: Path, command: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from mpirdd.launch import cli

    log = tmp_path / "log.jsonl"
    log.write_text('{"event":"run","t":0}\n' + line + "\n")
    words = {"report": ["-o", str(tmp_path / "r.html")], "trace": ["-o", str(tmp_path / "t.json")], "top": ["--once"]}
    assert cli.main([command, str(log), *words.get(command, [])]) == 0
    told = capsys.readouterr().err + "".join(path.read_text() for path in tmp_path.glob("r.html"))
    assert f"{log}: line 2 is damaged" in told

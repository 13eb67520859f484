"""The event log's lines, its file, and who reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mpirdd.driver.data_reports import DataReports
from mpirdd.driver.task_reports import TaskReports
from mpirdd.observe import data_events
from mpirdd.observe import run_events as events
from mpirdd.observe.bus import Bus
from mpirdd.observe.event_file import EventFile, place_of
from mpirdd.observe.event_files import Tail, newest, read_log
from mpirdd.observe.event_lines import as_line, ranges
from mpirdd.observe.figures import figures_of
from mpirdd.observe.history import History
from mpirdd.observe.recorder import Recorder
from mpirdd.observe.run_state import RunState
from mpirdd.observe.run_view import RunView
from mpirdd.protocol import messages
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.ids import BlockId

STAGE = events.StageStarted(1, "count at job.py:3", "result", 1, 1000, (1,), 2, (1, 2), (), (), 100)


def recorded(*emitted: events.Event) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    recorder = Recorder(0.0)
    recorder.add(lines.append)
    for event in emitted:
        recorder.take(event)
    return lines


@pytest.mark.parametrize(("numbers", "text"), [
    ((), ""), ((5,), "5"), ((0, 1, 2), "0-2"), ((0, 1, 4, 7, 8), "0-1,4,7-8"), ((3, 1, 2), "3,1-2")])
def test_numbers_are_written_as_ranges(numbers: tuple[int, ...], text: str) -> None:
    assert ranges(numbers) == text


def test_a_line_leaves_out_what_says_nothing_and_has_the_figures_at_its_top() -> None:
    task = events.TaskMeasured(1, 0, 2, 1.5, 0.25, figures_of({"input_bytes": 10.0, "compute_s": 0.25, "decode_s": 0.0}))
    assert as_line(task, 1.75) == {
        "event": "task", "t": 1.75, "stage": 1, "partition": 0, "executor": 2, "start": 1.5, "seconds": 0.25, "bytes_in": 10,
        "costs": {"compute_s": 0.25}}


def test_seconds_that_are_no_part_of_tasks_and_counts_are_no_costs() -> None:
    assert figures_of({"task_s": 1.0, "exchange_s": 1.0, "gc_s": 0.5, "input_records": 3, "cached_records": 4}) == {
        "gc_s": 0.5, "records_in": 7}


# --- recorder -------------------------------------------------------------------------------------


def test_a_heartbeat_is_written_at_1_2_4_and_8_seconds() -> None:
    beats = [events.TaskRunning(1, 0, 1, float(seconds)) for seconds in range(10)]
    assert [line["seconds"] for line in recorded(*beats)] == [1, 2, 4, 8]


def test_portions_of_many_short_tasks_are_not_written() -> None:
    many, few = tuple(range(100)), (1, 2)
    lines = recorded(STAGE, events.TasksStarted(1, 1, many, 0), events.TasksStarted(1, 1, few, 100),
                     events.TasksStarted(1, 1, many, 200, retry=True))
    assert [line.get("partitions") for line in lines] == [None, "1-2", "0-99"]


def test_a_stage_ends_with_what_became_of_its_tasks() -> None:
    failed = events.TaskFailed(1, 4, 1, "a", "count at job.py:3", "ValueError: x", "")
    together = events.TasksMeasured(1, 1, 2, 0.0, 0.1, 0.1, 0.06, 1, (1, 2), {})
    lines = recorded(STAGE, events.TaskMeasured(1, 0, 1, 0.0, 0.1, {}), together, failed, events.StageEnded(1))
    assert (lines[-1]["done"], lines[-1]["failed"]) == (3, 1)


def test_the_loss_of_an_executor_names_the_tasks_known_to_run_there() -> None:
    lines = recorded(events.TaskRunning(1, 7, 2, 1.5), events.ExecutorLost(2, "a", "it died", {}, 3, 1))
    assert lines[-1]["running"] == [[1, 7]]


@pytest.mark.parametrize("over", [
    events.TaskMeasured(1, 7, 2, 0.0, 2.5, {}), events.TasksMeasured(1, 2, 2, 0.0, 2.5, 2.5, 2.4, 7, (6, 7), {}),
    events.TaskFailed(1, 7, 2, "a", "count at job.py:3", "ValueError: x", ""),
    events.TaskStopped(1, 7, 2, "other attempt won")])
def test_a_task_that_is_over_does_not_run_when_its_executor_is_lost(over: events.Event) -> None:
    beats = events.TaskRunning(1, 7, 2, 1.5), events.TaskRunning(1, 7, 3, 1.5)
    lost = [events.ExecutorLost(rank, "a", "it died", {}, 1, 1) for rank in (2, 3)]
    assert [line["running"] for line in recorded(STAGE, *beats, over, *lost)[-2:]] == [[], [[1, 7]]]


def test_the_task_that_a_lost_executor_ran_is_known_though_an_earlier_one_had_a_heartbeat() -> None:
    lines = recorded(STAGE, events.TasksStarted(1, 2, (0, 1), 0), events.TaskRunning(1, 0, 2, 2.0),
                     events.TaskMeasured(1, 0, 2, 0.0, 0.0, {}), events.ExecutorLost(2, "a", "it died", {}, 1, 1))
    assert [(row.partition, row.status) for row in RunView().take_all(lines).tasks] == [(0, "ok"), (1, "lost")]


# --- reports of executors -------------------------------------------------------------------------


def reported(*reports: messages.Report, tasks: int = 1000) -> list[events.Event]:
    bus, seen = Bus(), list[events.Event]()
    bus.subscribe_all(seen.append)
    taker = TaskReports(bus, 0.0)
    for report in reports:
        taker.take(1, report)
    taker.stage_ends(1)
    return [event for event in seen if isinstance(event, events.TaskMeasured | events.TasksMeasured)]


def done(partition: int, seconds: float, figures: dict[str, float] | None = None) -> messages.Done:
    return messages.Done(1, partition, (), seconds, [], [], figures)


def test_short_tasks_share_a_line_and_long_ones_have_their_own() -> None:
    long = done(2, 0.5, {"start": 1.0, "compute_s": 0.5, "input_bytes": 100, "attempt": 1, "peak_memory": 7, "rss": 8})
    report = messages.Report((done(0, 0.001), done(1, 0.003), long), costs={"compute_s": 0.504, "input_bytes": 140}, clock=2.0)
    alone, together = reported(report)
    assert isinstance(alone, events.TaskMeasured) and isinstance(together, events.TasksMeasured)
    assert (alone.partition, alone.attempt, alone.figures["peak_memory"]) == (2, 1, 7)
    assert (together.count, together.longest, together.partition) == (2, 0.003, 1)
    assert together.figures["bytes_in"] == 40 and together.figures["costs"] == {"compute_s": pytest.approx(0.004)}


def test_reports_that_come_close_together_share_a_line() -> None:
    reports = [messages.Report((done(n, 0.001),), costs={"compute_s": 0.001}, began=n / 100, ended=n / 100, clock=1.0)
               for n in range(8)]
    [together] = reported(*reports)
    assert isinstance(together, events.TasksMeasured)
    assert together.partitions == tuple(range(8)) and together.seconds == pytest.approx(0.008)


def of_data(*steps: messages.Report | str) -> list[events.Event]:
    """What is told of reports, a stage's end and the run's end."""
    bus, seen = Bus(), list[events.Event]()
    bus.subscribe_all(seen.append)
    taker = DataReports(bus)
    for step in steps:
        if isinstance(step, messages.Report):
            taker.take(1, step)
        else:
            taker.stage_ends() if step == "stage" else taker.run_ends()
    return seen


def used(bytes_: int, peak: int, clock: float = 1.0) -> messages.Report:
    return messages.Report((), used_bytes=bytes_, peak_bytes=peak, clock=clock)


def test_memory_is_told_once_in_a_while_and_no_peak_is_lost() -> None:
    told = of_data(*[used(10 + n, 20 + n, 1 + n / 100) for n in range(100)])
    assert told == [events.MemoryUsed(1, 10, 20)]
    told = of_data(used(10, 20), used(5, 90, 1.1), used(7, 30, 2.5))
    assert told == [events.MemoryUsed(1, 10, 20), events.MemoryUsed(1, 7, 90)]


def test_the_end_of_a_stage_tells_a_new_peak_and_the_end_of_the_run_all_that_is_left() -> None:
    first = events.MemoryUsed(1, 10, 20)
    assert of_data(used(10, 20), used(5, 90, 1.1), "stage", "run") == [first, events.MemoryUsed(1, 5, 90)]
    assert of_data(used(10, 20), used(5, 15, 1.1), "stage") == [first]
    assert of_data(used(10, 20), used(5, 15, 1.1), "stage", "run", "run") == [first, events.MemoryUsed(1, 5, 15)]


def test_partitions_that_found_no_room_and_those_computed_again_are_told() -> None:
    blocks = [BlockId("rdd", 2, part) for part in range(3)]
    made = messages.Report((messages.Done(1, 0, (blocks[0],), 0.1, [], []),), sizes={blocks[0]: (10, 0)})
    refused = messages.Report((done(1, 0.1),), not_kept=(blocks[1],))
    copied = messages.Report((), sizes={blocks[0]: (10, 0)})
    told = [event for event in of_data(made, refused, copied, refused, made) if not isinstance(event, events.MemoryUsed)]
    kept, not_kept = data_events.Kept(1, ((2, 0, 10, 0),)), data_events.NotKept(1, ((2, 1),))
    assert told == [
        kept, not_kept, kept, not_kept, data_events.Recomputed(1, ((2, 1),)), kept, data_events.Recomputed(1, ((2, 0),))]


@pytest.mark.parametrize(("near", "sent_s_ago", "start"), [
    (True, 0.5, 3.0), (False, 0.5, 3.5), (True, 1000.0, 1003.0)])  # the last: another host with the same name
def test_executors_on_the_drivers_host_have_its_clock(
    near: bool, sent_s_ago: float, start: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpirdd.driver.task_reports.perf_counter", lambda: 10.0 + sent_s_ago)
    bus, seen = Bus(), list[events.Event]()
    bus.subscribe_all(seen.append)
    taker = TaskReports(bus, 5.0)
    taker.joined(1, near=near)
    taker.take(1, messages.Report((done(0, 0.5, {"start": 8.0}),), clock=10.0))
    assert [event.start for event in seen if isinstance(event, events.TaskMeasured)] == [start]


def test_stages_with_few_tasks_are_told_task_by_task() -> None:
    taker = TaskReports(Bus(), 0.0)
    assert taker.detail_s(200) == 0.0 < taker.detail_s(201)


@pytest.mark.parametrize("seconds", [0.02, 1.0])
def test_a_million_tasks_stay_below_200_mb(seconds: float) -> None:
    """10,000 tasks in reports of one, with bounds that are a hundredth of what they are: 2 MB."""
    nbytes = 0

    def count(line: dict[str, Any]) -> None:
        nonlocal nbytes
        nbytes += len(json.dumps(line, separators=(",", ":"))) + 1

    bus, recorder = Bus(), Recorder(0.0)
    recorder.add(count)
    bus.subscribe_all(recorder.take)
    taker = TaskReports(bus, 0.0, lines=1000)
    bus.emit(events.StageStarted(1, "count at job.py:3", "result", 1, 10_000, (1,), 2, (1, 2), (), (), 100))
    for number in range(10_000):
        ended, figures = number * seconds, None
        if taker.detail_s(10_000) <= seconds:
            figures = {
                "start": ended - seconds, "compute_s": 0.0123, "encode_s": 0.001234, "input_bytes": 1_234_567, "gc_s": 0.00123,
                "records_out": 12345, "shuffle_written_bytes": 123_456, "peak_memory": 123_456_789, "rss": 123_456_789}
        taker.take(1, messages.Report((done(number, seconds, figures),), costs={"compute_s": seconds}, began=ended - seconds,
                                      ended=ended, clock=ended))
    taker.stage_ends(1)
    assert nbytes < 2e6


# --- the file -------------------------------------------------------------------------------------


def written(path: Path, *names: str) -> None:
    file = EventFile(str(path), "job")
    for name in names:
        file.write({"event": name, "t": 0})
    file.close()


def test_lines_about_tasks_wait_until_the_driver_is_idle_or_a_tenth_of_a_second(tmp_path: Path) -> None:
    file = EventFile(str(tmp_path / "run.jsonl"), "job")
    tail = Tail(file.path)
    for name, t, seen in (("run", 0.0, 1), ("task", 1.0, 0), ("task", 1.05, 0), ("task", 1.11, 3), ("tasks", 1.2, 0),
                          ("job", 1.2, 2), ("task", 2.0, 0)):
        file.write({"event": name, "t": t})
        assert len(tail.new()) == seen
    file.flush()
    assert len(tail.new()) == 1


def test_all_other_lines_are_in_the_file_at_once(tmp_path: Path) -> None:
    file = EventFile(str(tmp_path / "run.jsonl"), "job")
    tail = Tail(file.path)
    for name in ("run", "job", "end"):
        file.write({"event": name, "t": 0})
        assert [line["event"] for line in tail.new()] == [name]


def test_a_second_run_is_appended_and_readers_take_the_last(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    written(path, "run", "job", "end")
    with path.open("a") as file:
        file.write('{"event":"task","t":1.')  # of a run that was killed
    written(path, "run", "stage")
    assert [line["event"] for line in read_log([str(path)]).events] == ["run", "stage"]
    assert [line["event"] for line in Tail(str(path)).new()] == ["run", "job", "end", "run", "stage"]


def test_a_torn_line_waits_for_its_rest(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text('{"event":"run","t":0}\n{"event":"jo')
    tail = Tail(str(path))
    assert len(tail.new()) == 1
    with path.open("a") as file:
        file.write('b","t":1}\n')
    assert [line["event"] for line in tail.new()] == ["job"]


def test_another_file_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("once upon a time\n")
    with pytest.raises(UsageError, match="exists and is no event log"):
        EventFile(str(path), "job")
    with pytest.raises(UsageError, match="no event log"):
        read_log([str(path)])
    assert path.read_text() == "once upon a time\n"


def test_two_runs_that_write_one_log_at_a_time_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.jsonl"
    code = ("import sys\nfrom mpirdd.observe.event_file import EventFile\n"
            "log = EventFile(sys.argv[1], '')\nprint(flush=True)\nsys.stdin.read()\n")
    with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin and other.stdout and other.stdout.readline()
        EventFile(str(path), "").close()
        other.stdin.close()
    assert f"another run is writing the event log {path}" in capsys.readouterr().err
    EventFile(str(path), "").close()
    assert capsys.readouterr().err == ""



def test_a_folder_gets_a_new_file_and_the_newest_is_read(tmp_path: Path) -> None:
    first = place_of(f"{tmp_path}/", "my app")
    assert os.path.dirname(first) == str(tmp_path) and os.path.basename(first).startswith("my-app-")
    written(tmp_path / "a.jsonl", "run")
    written(tmp_path / "b.jsonl", "run")
    os.utime(tmp_path / "a.jsonl", (2e9, 2e9))
    assert newest(str(tmp_path)) == str(tmp_path / "a.jsonl")
    (tmp_path / "none").mkdir()
    assert newest(str(tmp_path / "none")) is None


def test_a_place_that_cannot_be_written_is_an_error_in_our_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be written: No such file or directory"):
        EventFile(str(tmp_path / "no" / "run.jsonl"), "job")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_ends_the_log_and_not_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    file = EventFile("/dev/full", "job")
    for _ in range(3):
        file.write({"event": "run", "t": 0})
    assert capsys.readouterr().err.count("ends here, as it cannot be written any more: No space left on device") == 1


# --- readers --------------------------------------------------------------------------------------


def test_status_counts_come_from_the_events() -> None:
    bus, history = Bus(), History()
    history.subscribe_to(bus)
    for event in (
        events.JobStarted(1, "count at job.py:3", 2, 4, "mine"), STAGE, events.TasksStarted(1, 1, (0, 1, 2), 0, jobs=(1,)),
        events.TasksStarted(1, 2, (3,), 3, jobs=(1,)), events.TasksFinished(1, 1, (0,)),
        events.TaskFailed(1, 1, 1, "a", "count", "ValueError", ""), events.TaskStopped(1, 2, 1, "input missing"),
    ):
        bus.emit(event)
    stage = history.stages[1]
    assert (stage.completed, stage.failed, stage.running, history.jobs[1].stages) == (1, 1, {(3, 2)}, [1])
    bus.emit(events.ExecutorLost(2, "a", "it died", {}, 1, 1))
    assert not stage.running and history.open_stages() == {1: ("count at job.py:3", 1, 1000)}
    bus.emit(events.StageEnded(1))
    bus.emit(events.JobEnded(1, "SUCCEEDED", 1.0, 0.1))
    assert history.open_stages() == {} and history.jobs[1].status == "SUCCEEDED"


def test_a_new_run_line_begins_anew() -> None:
    state = RunState()
    run = {"event": "run", "t": 0.0}
    for line in (run, {"event": "job", "t": 1.0, "job": 1, "label": "count"}, {"event": "unknown", "t": 2.0}, run):
        state.take(line)
    assert state.jobs == {} and state.t == 0.0

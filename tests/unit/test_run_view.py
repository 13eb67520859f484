"""What the events of a run add up to, and what the report, the live view and the trace make of it."""

from __future__ import annotations

import doctest
import errno
import io
import json
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest
from event_logs import NASTY, eventful, large, write
from rich.console import Console
from trace_format import checked

from mpirdd.launch import cli
from mpirdd.observe import flame, lineage_layout, shown, views
from mpirdd.observe.rates import RateMeter, Rates
from mpirdd.observe.report_data import report_data
from mpirdd.observe.report_page import page
from mpirdd.observe.run_view import RunView
from mpirdd.observe.stands_out import StandsOut
from mpirdd.observe.top_frame import frame
from mpirdd.observe.trace import trace_events
from mpirdd.protocol.package import install_command


@pytest.fixture
def view() -> RunView:
    return RunView().take_all(eventful())


def test_sums_and_quantiles_of_a_stage(view: RunView) -> None:
    stage = view.stages[2]
    assert (stage.done, stage.longest_partition, stage.longest_s) == (4, 3, 3.0)
    assert stage.quantiles(0, 0.5, 1) == [0.1, 0.1, 3.0]
    assert stage.sums["shuffle_read"] == 2000
    assert view.stages[1].costs == {"input_s": 1.0, "compute_s": 2.0, "encode_s": 1.0}


def test_tasks_without_a_line_of_their_own_count_all_the_same() -> None:
    view = RunView().take_all([*eventful()[:9], {
        "event": "tasks", "t": 9.0, "stage": 1, "executor": 1, "count": 10, "start": 8.0, "until": 9.0, "seconds": 1.0,
        "longest": 0.55, "partition": 7, "bytes_in": 50, "costs": {"compute_s": 1.0}}])
    stage = view.stages[1]
    assert stage.done == 10
    assert stage.quantiles(0.5, 1) == [pytest.approx(0.05), 0.55]
    assert view.tasks[0].tasks == 10
    assert report_data(view)["tasks"]["count"] == [10]


def test_what_a_lost_executor_ran_is_a_row_that_ends_with_it(view: RunView) -> None:
    lost = [row for row in view.tasks if row.status == "lost"]
    assert [(row.stage, row.partition, row.executor, row.start + row.seconds) for row in lost] == [(3, 1, 2, 6.5)]
    assert view.executors[2].cause == "a task called os._exit(7) there"
    failed = [row for row in view.tasks if row.status == "failed"]
    assert [(row.stage, row.partition, row.start, row.seconds) for row in failed] == [(3, 0, 6.0, 1.0)]


def test_every_beginning_and_every_end_of_a_log_can_be_shown() -> None:
    events = eventful()
    for place in range(0, len(events) + 1, 3):
        for some in (events[:place], events[place:], events[place::2]):
            view, outstanding = RunView().take_all(some), StandsOut()
            for event in some:
                outstanding.take(event)
            json.dumps(report_data(view, hints=outstanding.hints()), allow_nan=False)
            trace_events(view)
            Console(file=io.StringIO(), width=100).print(frame(view, Rates(), now=9.0, height=30))


def test_events_that_make_no_sense_are_left_out_and_counted() -> None:
    wrong = [{"event": "task", "stage": "x"}, {"event": "kept", "executor": 1, "blocks": [1]}, {"event": "started"}]
    view = RunView().take_all([*eventful(), *wrong])
    assert view.strange == 3
    assert any("3 events make no sense" in note for note in report_data(view)["notes"])


@pytest.mark.parametrize("width", [60, 140])
def test_a_frame_of_the_live_view_has_what_matters_in_the_lines_there_are(view: RunView, width: int) -> None:
    for executors in (2, 500):
        for rank in range(3, executors + 1):
            view.executor(rank).limit_bytes = 1 << 30
        out = io.StringIO()
        Console(file=out, width=width).print(frame(view, Rates(), now=7.5, height=24, width=width, title="skew.py"))
        text = out.getvalue()
        assert len(text.splitlines()) <= 26
        assert "failed" in text
        assert "lost: a task" in text
        assert "stage 3, partition 0: ValueError: no number"[:width] in text
        assert ("and 4" in text) == (executors == 500)


def test_unknown_kinds_and_fields_are_ignored() -> None:
    strange = [{"event": "flying", "t": 1.0, "x": []}, *({**event, "new": {"a": 1}} for event in eventful())]
    assert report_data(RunView().take_all(strange)) == report_data(RunView().take_all(eventful()))


def test_the_report_has_all_its_parts(view: RunView) -> None:
    data = report_data(view, notes=["a note"])
    assert data["status"] == "failed"
    assert data["notes"] == ["a note"]
    assert [shuffle["matrix"] for shuffle in data["shuffles"]] == [[[100, 900], [50, 950]]]
    assert data["partitions"][0]["partition"] == 3
    assert data["partitions"][0]["share"] == pytest.approx(0.925)
    assert [node["state"] for node in data["lineage"]["nodes"]] == ["kept", "shuffle"]
    assert data["lineage"]["edges"] == [[0, 1, True]]
    assert [error["title"] for error in data["errors"]] == [
        "ValueError: no number", "executor 2 (host node2) was lost: a task called os._exit(7) there", "ValueError: no number"]
    assert 'line 8, in f' in data["errors"][0]["text"]
    assert data["kept"][0]["partitions"] == 4
    assert ["memory", "256 MiB"] in data["settings"]


def test_a_log_without_an_end_is_running_or_cut_off() -> None:
    view = RunView().take_all(eventful()[:-1])
    assert report_data(view, over=False)["status"] == "running"
    assert report_data(view, over=True)["status"] == "killed"


def test_the_page_keeps_text_of_the_users_as_text() -> None:
    html = page(report_data(RunView().take_all(eventful(NASTY))))
    own = html.replace("<script>", "").replace("</script>", "")
    assert "taken" in own
    assert html.count("</script>") == 3  # data, plotly, ours
    assert "<img src=x" not in html
    assert "http-equiv=\"Content-Security-Policy\"" in html


def test_without_plotly_or_rich_the_command_to_install_them_is_told(
        view: RunView, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("plotly", "rich", "rich.console"):
        monkeypatch.setitem(sys.modules, name, None)
    log = str(write(tmp_path / "a.jsonl", eventful()))
    for words in (["report", log, "-o", str(tmp_path / "a.html")], ["top", "--once", log]):
        assert cli.main(words) == 2
        assert f"fix: {install_command('observe')}\n" in capsys.readouterr().err
    assert cli.main(["trace", log, "-o", str(tmp_path / "a.json")]) == 0


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_file_that_cannot_be_written_leaves_no_part_behind(
        error: BaseException, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(*paths: str) -> None:
        raise error

    log = write(tmp_path / "a.jsonl", eventful())
    monkeypatch.setattr("mpirdd.launch.observing.os.replace", fails)
    with suppress(KeyboardInterrupt):
        assert cli.main(["trace", str(log), "-o", str(tmp_path / name)]) == 2
    assert list(tmp_path.iterdir()) == [log]


def test_the_page_names_nothing_to_load(view: RunView) -> None:
    html = page(report_data(view))
    head = html[: html.index('<script id="data"')]
    assert "http:" not in head
    assert "https:" not in head


def test_beyond_a_number_of_tasks_the_page_has_the_longest_and_a_sample() -> None:
    events = large(12_000)
    data = report_data(RunView().take_all(events), most_tasks=2000)
    assert len(data["tasks"]["stage"]) == 2000
    assert sum(stage["done"] for stage in data["stages"]) == 12_000
    longest = sorted((event["seconds"] for event in events if event["event"] == "task"), reverse=True)[:500]
    assert sorted(data["tasks"]["duration"], reverse=True)[:500] == longest
    assert {*data["tasks"]["stage"]} == {*range(50)}
    assert any("2,000 of 12,000" in note for note in data["notes"])


def test_the_share_of_a_large_partition_is_of_its_whole_stage() -> None:
    def task(partition: int) -> dict[str, object]:
        return {"event": "task", "t": 9.0, "stage": 1, "partition": partition, "executor": 1, "start": 8.0, "seconds": 1.0,
                "bytes_in": 1000}

    short = {"event": "tasks", "t": 9.0, "stage": 1, "executor": 1, "count": 98, "start": 8.0, "until": 9.0, "seconds": 0.5,
             "longest": 0.01, "partition": 7, "bytes_in": 98_000}
    partitions = report_data(RunView().take_all([*eventful()[:9], *map(task, range(3)), short]))["partitions"]
    assert [(each["share"], each["times"]) for each in partitions] == [(1000 / 101_000, None)] * 3
    few_rows = report_data(RunView().take_all([*eventful()[:9], *map(task, range(50))]), most_tasks=20)["partitions"]
    assert [(each["share"], each["times"]) for each in few_rows] == [(0.02, 1.0)] * 5


def test_the_live_view_stays_small() -> None:
    view = RunView(details=False).take_all(large(2000))
    assert not view.tasks
    assert all(not stage.seconds for stage in view.stages.values())
    assert sum(stage.done for stage in view.stages.values()) == 2000


def test_rates_are_those_of_the_last_seconds() -> None:
    meter, view = RateMeter(), RunView()
    view.stage(1).done = 100
    assert meter.rates(view, 10.0).tasks == 10
    for second in range(11, 31):
        view.stage(1).done += 5
        rate = meter.rates(view, float(second)).tasks
    assert rate == pytest.approx(5)


def test_layers_of_a_lineage_and_no_two_nodes_in_one_place() -> None:
    parents = {1: [], 2: [1], 3: [1], 4: [2, 3], 5: [1, 4], 6: [99]}
    assert lineage_layout.layers(parents) == {1: 0, 2: 1, 3: 1, 4: 2, 5: 3, 6: 0}
    places = lineage_layout.place(parents)
    assert len(set(places.values())) == len(parents)
    chain = {number: [number - 1] for number in range(1, 5000)}
    assert lineage_layout.layers(chain)[4999] == 4998


def test_the_flame_graph_adds_up(view: RunView) -> None:
    tree = flame.tree(view.profiles)
    assert tree is not None
    assert tree["labels"] == ["all tasks", "collect at skew.py:6", "skew.py:5 f", "skew.py:9 g"]
    assert tree["values"] == [4000, 4000, 4000, 3000]
    assert flame.tree([]) is None
    wide = flame.tree([{"stacks": {f"a;b{number}": number for number in range(5000)}}])
    assert wide is not None
    assert len(wide["ids"]) <= 1500
    inner = defaultdict(int)
    for parent, value in zip(wide["parents"], wide["values"], strict=True):
        inner[parent] += value
    assert all(inner[identity] <= value for identity, value in zip(wide["ids"], wide["values"], strict=True))


def test_a_trace_is_well_formed_and_has_ranks_as_rows(view: RunView) -> None:
    found = checked(trace_events(view))
    names = {entry["pid"]: entry["args"]["name"] for entry in found["M"] if entry["name"] == "process_name"}
    assert names == {0: "driver (node1)", 1: "executor 1 (node1)", 2: "executor 2 (node2)"}
    parts = [entry["name"] for entry in found["X"] if entry["cat"] == "part" and entry["pid"] == 1]
    assert parts[:3] == ["read", "compute", "encode"]
    arrows = defaultdict(int)
    for entry in found["s"]:
        arrows[entry["name"]] += 1
    assert arrows == {"shuffle write": 2, "shuffle": 2, "shuffle read": 2}
    assert any("(lost)" in entry["name"] for entry in found["X"])
    assert found["i"][0]["name"] == "executor 2 lost: a task called os._exit(7) there"
    assert found["C"][0]["args"] == {"bytes": 1 << 27}


def test_tasks_that_overlap_get_rows_of_their_own_and_clocks_may_differ_a_little() -> None:
    tasks = [{"event": "task", "t": 9.0, "stage": 1, "partition": number, "executor": 1, "start": start, "seconds": seconds,
              "costs": {"compute_s": 2 * seconds}} for number, (start, seconds) in enumerate(
                  [(1.0, 1.0), (1.9995, 1.0), (2.5, 2.0), (2.6, 0.1)])]
    found = checked(trace_events(RunView().take_all(tasks)))
    rows = {entry["args"]["partition"]: entry["tid"] for entry in found["X"] if entry["cat"] == "task"}
    assert rows[0] == rows[1] == 1
    assert rows[2] == 2
    assert rows[3] not in (1, 2)


def test_a_large_trace_is_well_formed() -> None:
    checked(trace_events(RunView().take_all(large(3000))))


def test_examples_of_numbers_and_labels() -> None:
    for module in (shown, views):
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed

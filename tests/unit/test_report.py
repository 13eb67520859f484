"""The report of the benchmarks: which records count, claims that follow from the data, a whole
page."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # benchmarks/ is not installed

from benchmarks import __main__ as benchmarks_main
from benchmarks.hadoopparts import PARTS as HADOOP_PARTS
from benchmarks.parts import PARTS
from benchmarks.report import records
from benchmarks.report.records import spread

pytest.importorskip("matplotlib")

from benchmarks.report import page
from benchmarks.report.drawing import Figure, Missing
from benchmarks.report.figures import all_figures

Record = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]


def record(name: str, when: str = "2026-01-01T00:00:00Z", *, valid: bool = True, quick: bool = False, **values: Any) -> Record:
    return {"benchmark": name, "when": when, "valid": valid, "bytes": 2_000_000,
            "options": {"quick": quick, "ranks": 3, **values}, "versions": {"python": "3.11"},
            "git": {"revision": "abcdef0123456", "changed": False}, "flags": {}, "load_before": 0.1,
            "host": {"processor": "<cpu>", "cores": 2, "memory_bytes": 1 << 30, "system": "Linux"},
            "command_line": f"python -m benchmarks.{name}", "took_s": 1.0, "page_cache": "warm"}


def side(load: float, first: float, later: float, runs: int = 2, iterations: int = 5) -> Record:
    total = load + first + later * (iterations - 1) + 2
    return {"command": "run", "load": spread([load] * runs), "first": spread([first] * runs),
            "later": spread([later] * (runs * (iterations - 1))), "total_s": spread([total] * runs)}


def split(**seconds: float) -> Record:
    """The costs of both modes; unnamed parts take no time."""
    disk = {part: seconds.get(part, 0.0) for part in PARTS}
    memory = {part: 0.01 if part == "compute" else 0.0 for part in PARTS}
    return {"engine": {"first": disk, "later": memory}, "mapreduce": {"first": disk, "later": disk}}


def measured(name: str, ratio: float) -> Record:
    """An operation of the benchmark ``operators``."""
    return {"name": name, "engine_ns": spread([100 * ratio]), "loop_ns": spread([100.0]), "ratio": spread([ratio])}


def written(folder: Path, *found: Record) -> Path:
    path = folder / "results.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in found))
    return path


def figure_of(key: str, *found: Record, folder: Path) -> Figure:
    drawn = all_figures(records.load([written(folder, *found)]))
    (figure,) = [one for one in drawn if isinstance(one, Figure) and one.key == key]
    return figure


def test_newest_valid_record_counts_and_a_quick_one_never_replaces_a_full_one(tmp_path: Path) -> None:
    old, new = record("lr", "2026-01-01T00:00:00Z"), record("lr", "2026-01-02T00:00:00Z")
    quick, wrong = record("lr", "2026-01-03T00:00:00Z", quick=True), record("lr", "2026-01-04T00:00:00Z", valid=False)
    results = records.load([written(tmp_path, new, wrong, quick, old)])
    assert results.chosen == {"lr": new}
    assert results.failed == [wrong]
    assert records.load([written(tmp_path, quick, wrong)]).chosen == {"lr": quick}


def test_a_failure_that_a_later_run_mended_is_not_shown(tmp_path: Path) -> None:
    wrong, mended = record("lr", "2026-01-01T00:00:00Z", valid=False), record("lr", "2026-01-02T00:00:00Z")
    assert records.load([written(tmp_path, wrong, mended)]).failed == []


def test_a_damaged_line_is_named_and_the_others_count(tmp_path: Path) -> None:
    path = tmp_path / "lr.jsonl"
    path.write_text('{"benchmark": "lr", \n' + json.dumps(record("lr")) + "\n[]\n")
    results = records.load([path])
    assert results.unreadable == [f"{path}:1", f"{path}:3"]
    assert list(results.chosen) == ["lr"]


def test_totals_add_up_each_run_on_its_own() -> None:
    found = {"load": spread([10.0, 20.0]), "first": spread([1.0, 2.0]), "later": spread([0.1, 0.2, 0.3, 0.4])}
    at = records.totals(found)
    assert [value["values"] for value in at] == [
        [11.0, 22.0], [pytest.approx(11.1), pytest.approx(22.3)], [pytest.approx(11.3), pytest.approx(22.7)]]


def test_the_claim_of_memory_against_disk_is_computed(tmp_path: Path) -> None:
    found = {**record("lr"), "engine": side(1, 1, 0.5), "mapreduce": side(4, 6, 8)}  # 4 s and 42 s for five, and 2 s of start-up
    assert figure_of("lr", found, folder=tmp_path).title == (
        "Logistic regression: 5 iterations take 6 s in memory and 44 s on disk, 7.33 times as long; "
        "each iteration more 0.5 and 8 s")
    assert "disk mode 16" in figure_of("lr-bars", found, folder=tmp_path).title


def test_whole_runs_hold_what_each_run_took_beyond_its_own_clock() -> None:
    found = {"load": spread([10.0, 20.0]), "first": spread([1.0, 2.0]), "later": spread([0.5, 1.0]),
             "total_s": spread([13.5, 26.0])}
    assert [value["values"] for value in records.whole_runs(found)] == [[13.0, 25.0], [13.5, 26.0]]


def test_the_split_names_the_largest_part_of_either_mode_and_draws_the_short_one_again(tmp_path: Path) -> None:
    found = {**record("lr"), "engine": side(1, 1, 0.01), "mapreduce": side(4, 4, 8), "split": split(read=1, parse=6, compute=1)}
    figure = figure_of("lr-split", found, folder=tmp_path)
    assert figure.title == ("Logistic regression, a later iteration: in memory 100% of its 0.01 s are compute; "
                            "disk mode 75% of its 8 s are parse")
    assert "10 ms" in figure.svg
    assert "magnified" in figure.svg


def test_the_split_of_an_older_record_shows_what_was_told_apart_then(tmp_path: Path) -> None:
    old = {"read": 1.0, "parse": 6.0, "compute and job": 1.0, "all": 8.0}
    found = {**record("lr"), "engine": side(1, 1, 0.5), "mapreduce": side(4, 4, 8), "later_split_s": old}
    figure = figure_of("lr-split", found, folder=tmp_path)
    assert "disk mode 75% of its 8 s are parse" in figure.title
    assert "first iteration" not in figure.svg


def test_peers_are_given_as_numbers_too(tmp_path: Path) -> None:
    found = {**record("lr"), "engine": side(1, 1, 0.5), "pyspark": side(2, 2, 4), "handwritten": side(1, 1, 0.25)}
    assert figure_of("peers", found, folder=tmp_path).table == (
        ["", "mpirdd", "hand-written MPI", "PySpark"], [["LR, later iteration", "500 ms", "250 ms (0.5)", "4 s (8)"]])


def test_operations_are_sorted_and_their_claim_is_computed(tmp_path: Path) -> None:
    at_once = {**measured("count", 9.0), "loop_ns": spread([0.0])}
    found = {**record("operators", records=100), "operations": [
        measured("distinct", 2.0), measured("map", 0.9), measured("keys", 1.0), at_once]}
    figure = figure_of("operators", found, folder=tmp_path)
    assert figure.title == (
        "3 operations take 1 times the CPU time of a plain loop at the median; 1 take more than 1.25 times it")
    assert figure.svg.index(">map<") < figure.svg.index(">keys<") < figure.svg.index(">distinct<")
    assert ">count<" not in figure.svg


def test_a_claim_that_the_data_refutes_is_not_made(tmp_path: Path) -> None:
    found = {**record("lr"), "engine": side(4, 4, 8), "mapreduce": side(1, 1, 0.5)}
    assert "against the claim" in figure_of("lr", found, folder=tmp_path).title
    points = [{"kept": spread([kept]), "later": spread([seconds])} for kept, seconds in ((0.0, 1.0), (0.5, 2.0), (1.0, 0.1))]
    risen = {**record("fractions"), "points": points}
    assert "does not fall steadily" in figure_of("fractions", risen, folder=tmp_path).title


def test_what_was_not_measured_is_left_out_with_the_command_that_measures_it(tmp_path: Path) -> None:
    found = all_figures(records.load([written(tmp_path, {**record("lr"), "engine": side(1, 1, 0.5)})]))
    commands = [one.command for one in found if isinstance(one, Missing)]
    assert {"python -m benchmarks kmeans", "python -m benchmarks recovery", "python -m benchmarks fractions"} <= set(commands)
    assert any("disk mode" in one.what for one in found if isinstance(one, Missing))


def everything() -> list[Record]:
    engine, hand = {"seconds": spread([1.0, 2.0])}, {"seconds": spread([0.5, 0.6])}
    point = {"executors": 1, "cores": 2, "bytes": 10, "seconds": spread([1.0])}
    points = [{**point, "job": job, "kind": kind, "executors": count}
              for job in ("wordcount", "lr") for kind in ("strong", "weak") for count in (1, 2, 4)]
    decided = [{"job": job, "executors": count, "tasks": 100 * count, "memory_bytes": count * 1_000_000,
                "decisions_per_s": spread([1e5])} for job in ("map", "shuffle") for count in (10, 100)]
    real = [{"job": job, "executors": count, "sent": count, "received": count, "sent_bytes": 9 * count, "received_bytes": count,
             "queued_bytes": count, "account_bytes": count, "driver_s": spread([0.1]), "seconds": spread([1.0])}
            for job in ("empty", "shuffle") for count in (10, 100)]
    at = {"small": {"budget_mb": 1.0, "seconds": [2.0]}, "enough": {"budget_mb": 9.0, "seconds": [1.0]}, "ratio": spread([2.0]),
          "over_budget_mb": 5.0}
    return [
        *({**record(name), "engine": side(1, 1, 0.5), "mapreduce": side(4, 4, 8), "pyspark": side(2, 2, 2),
           "split": split(read=1, parse=6, compute=1)}
          for name in ("lr", "kmeans", "pagerank")),
        {**record("terasort", records=7), "engine": engine, "handwritten": hand},
        {**record("wordcount"), "words": 5e6, "engine": engine, "handwritten": hand, "targets": [
            {"what": "ratio < 1 & more", "limit": 1, "reached": 2.0, "met": False}]},
        {**record("fractions"), "points": [{"kept": spread([share]), "later": spread([1.1 - share])} for share in (0, 0.5, 1)]},
        {**record("recovery", kill=2), "iterations_s": {"killed": [[1.0, 2.0, 1.0]], "undisturbed": [[1.0, 1.0, 1.0]]},
         "before_s": spread([1.0]), "during_s": spread([2.0]), "after_s": spread([1.0])},
        {**record("spill"), "sort": at, "group": at},
        {**record("reread"), "engine": {"gb_per_s_a_rank": spread([6.0])}, "handwritten": {"gb_per_s_a_rank": spread([8.0])}},
        {**record("scaling"), "points": points},
        {**record("simulation"), "points": decided},
        {**record("at_scale", tasks=10), "points": real},
        {**record("operators", records=100), "operations": [measured("map", 0.9), measured("distinct", 2.0)]},
        hadoop(),
        of_ranks("many_ranks", 4, "Open MPI v5", 2.0),
        of_ranks("shuffle", 4, "MPICH Version: 5", 9.0),
    ]


def of_ranks(name: str, ranks: int, mpi: str, value: float) -> Record:
    sides = {side: {"total_s": spread([value / share]), "gb_per_s": spread([value / share])}
             for side, share in (("engine", 1.0), ("other", 2.0), ("handwritten", 0.5))}
    return {**record(name, ranks=ranks), **sides, "exchange": {"engine": "collective", "other": "pairwise"},
            "collective_over_pairwise": spread([0.5]), "versions": {"mpi": mpi}}


def hadoop() -> Record:
    """10 s a job, 7 of them without work on data; disk mode takes 2 s."""
    parts = dict(zip(HADOOP_PARTS, (1.0, 2.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0), strict=True))
    times = {"engine": 1.0, "mapreduce": 2.0, "hadoop": 10.0, "streaming": 12.0}
    work = {name: {"seconds": spread([seconds]), "parts": parts} for name, seconds in times.items()}
    lr = {"engine": side(1, 1, 0.5), "mapreduce": side(4, 4, 2), "hadoop": {**side(10, 10, 10), "parts": parts},
          "binary": {**side(20, 8, 8), "parts": parts}}
    return {**record("hadoop"), "wordcount": {"bytes": 10, **work}, "sort": {"bytes": 10, **work}, "lr": {"bytes": 10, **lr},
            "empty": {"seconds": spread([7.0]), "parts": parts, "jvm_s": spread([0.7]), "write_bytes": 10,
                      "write_s": {"1": 0.5, "3": 1.5}}, "hadoop_over_memory": 20.0, "hadoop_over_disk": 5.0}


def test_hadoop_is_the_third_line_and_its_overhead_is_told(tmp_path: Path) -> None:
    lines = {**record("lr"), "engine": side(1, 1, 0.5), "mapreduce": side(4, 4, 8)}
    famous = figure_of("lr", lines, hadoop(), folder=tmp_path)
    assert famous.title.endswith(
        "an iteration of Hadoop MapReduce takes 20 times as long as in memory, 5 times as long as on disk")
    assert "Hadoop\n" not in figure_of("lr", lines, folder=tmp_path).svg and ">beside Hadoop" in famous.svg
    assert figure_of("hadoop-parts", hadoop(), folder=tmp_path).title == (
        "Of the 10 s of an iteration on Hadoop, 7 s start and end processes and wait for heartbeats, which the disk mode "
        "leaves out; an empty job takes 7 s")
    assert "sort 10, LR, a later iteration 20" in figure_of("hadoop", hadoop(), folder=tmp_path).title


def test_runs_with_other_ranks_and_mpis_are_points_of_one_figure(tmp_path: Path) -> None:
    figure = figure_of(
        "ranks", of_ranks("many_ranks", 16, "MPICH Version: 5", 1.0), of_ranks("many_ranks", 64, "Open MPI v5", 20.0),
        of_ranks("many_ranks", 4, "Open MPI v5", 2.0), of_ranks("shuffle", 4, "Open MPI v5", 9.0),
        of_ranks("shuffle", 16, "Open MPI v5", 8.0), folder=tmp_path)
    assert figure.title == (
        "64 ranks on 2 cores start, count words and stop in 20 s (Open MPI; by hand 40); a collective exchange takes 0.5, 0.5 of "
        "the time of a pairwise one with 4, 16 ranks (Open MPI)")
    assert ">mpirdd, MPICH<" in figure.svg and ">pairwise, Open MPI<" in figure.svg and ">raw, MPICH<" not in figure.svg


def test_a_benchmark_that_was_left_out_is_missing_with_its_reason(tmp_path: Path) -> None:
    left_out = {**record("hadoop", "2026-01-02T00:00:00Z"), "left_out": "no java"}
    results = records.load([written(tmp_path, left_out)])
    assert (results.chosen, results.failed) == ({}, [])
    assert any("left out: no java" in one.what for one in all_figures(results) if isinstance(one, Missing))
    assert records.load([written(tmp_path, hadoop(), left_out)]).left_out == {}


def test_the_page_has_every_figure_and_needs_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    arguments = ["report", str(written(tmp_path, *everything())), "--output", str(output), "--figures", str(tmp_path / "figures")]
    assert benchmarks_main.main(arguments) == 0
    text = output.read_text()
    assert text.count("<figure ") == text.count("<svg ") == 25
    assert "Not measured here" not in text
    assert not re.search(r'(src|href)="(http|//|data:)', text.replace('xlink:href="#', ""))
    assert "&lt;cpu&gt;" in text
    assert "ratio &lt; 1 &amp; more" in text
    assert len(text) < 1_000_000
    written_out = {figure.name for figure in (tmp_path / "figures").iterdir()}
    assert {f"docs/figures/{name}" for name in written_out} == set(
        re.findall(r"docs/figures/\w+\.svg", (ROOT / "README.md").read_text() + (ROOT / "ARCHITECTURE.md").read_text()))
    for name in written_out:
        ElementTree.fromstring((tmp_path / "figures" / name).read_text())


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Records of everything, and their page, which takes seconds."""
    path = written(tmp_path_factory.mktemp("records"), *everything())
    return path, page.render(records.load([path]))


def test_ids_of_figures_do_not_meet_on_the_page(rendered: tuple[Path, str]) -> None:
    ids = re.findall(r' id="([^"]+)"', rendered[1])
    assert len(ids) == len(set(ids)) > 24


def test_the_same_records_give_the_same_page(rendered: tuple[Path, str]) -> None:
    path, text = rendered
    assert page.render(records.load([path])) == text


def test_without_results_the_command_says_how_to_make_some(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert page.main([str(tmp_path / "absent.jsonl")]) == 2
    assert "python -m benchmarks" in capsys.readouterr().err

"""The event log of real runs: losses, retries, spilling, mode mapreduce, and a driver that is killed."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from runs import ROOT, Runs, no_recovery

from mpirdd.observe.event_files import Tail, read_log
from mpirdd.observe.run_state import RunState

pytestmark = [pytest.mark.timeout(120), pytest.mark.second_lane]


def of(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == kind]


def state_of(path: Path) -> RunState:
    state = RunState()
    for line in read_log([str(path)]).events:
        state.take(line)
    return state


def test_a_shuffle_is_told_from_its_lineage_to_its_end(runs: Runs) -> None:
    runs.environment["MPIRDD_EVENTS"] = "run.jsonl"
    done = runs("""
with Context("told") as sc:
    pairs = sc.parallelize(range(4000), 4).map(lambda x: (x % 7, x)).cache()
    print(pairs.count(), pairs.reduceByKey(add, 3).count())
    print(sc.parallelize(range(300), 300).count())
""", ranks=4)
    assert (done.code, done.out, done.err) == (0, "4000 7\n300\n", "")
    lines = read_log([str(runs.folder / "run.jsonl")]).events
    run, end = lines[0], lines[-1]
    assert (run["event"], run["version"], run["app"], run["ranks"], end["event"], end["status"]) == (
        "run", 1, "told", 4, "end", "ok")
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)
    nodes = {line["node"]: line for line in of(lines, "node")}
    shuffled = next(line for line in nodes.values() if line["kind"] == "shuffled")
    assert shuffled["label"].startswith("reduceByKey at job.py:")
    [mapped] = shuffled["parents"]
    assert nodes[mapped]["label"].startswith("map at job.py:") and nodes[nodes[mapped]["parents"][0]]["kind"] == "source"
    assert [(line["node"], line["level"]) for line in of(lines, "persist")] == [(mapped, "memory")]
    state = state_of(runs.folder / "run.jsonl")
    first, writes, reads, many = state.stages.values()
    assert first.sums["records_in"] == writes.sums["records_in"] == 4000
    assert (writes.kind, writes.sums["records_out"]) == ("map", 28)
    assert writes.sums["shuffle_written"] == reads.sums["shuffle_read"] > 0
    assert many.done == 300 and len(of(lines, "task")) >= 4 + 4 + 3
    exchanged = of(lines, "exchanged")
    assert sum(sum(line["sent"].values()) for line in exchanged) >= reads.sums["shuffle_read"] and len(exchanged) == 3
    for line in of(lines, "task"):
        assert 0 <= line["start"] <= line["start"] + line["seconds"] <= line["t"] + 1e-3
        assert sum(line["costs"].values()) == pytest.approx(line["seconds"], rel=0.05, abs=1e-3)
    assert {tuple(block[:2]) for line in of(lines, "kept") for block in line["blocks"]} == {(mapped, n) for n in range(4)}


@pytest.mark.skipif(bool(no_recovery()), reason=no_recovery())
def test_a_loss_a_retry_and_a_failure_are_told(runs: Runs) -> None:
    runs.environment |= {"MPIRDD_EVENTS": "run.jsonl", "MPIRDD_TASK_RETRIES": "1", "MPIRDD_SUMMARY": "1"}
    done = runs("""
def exits(x):
    if x == 7 and times("exit") == 0:
        os._exit(7)
    return x
def fails_once(x):
    if x == 3 and times("fail") == 0:
        raise ValueError("once")
    return x
with Context() as sc:
    print(sc.parallelize(range(40), 8).map(exits).sum())
    print(sc.parallelize(range(40), 8).map(fails_once).sum())
    sc.parallelize(range(4), 2).map(lambda x: 1 // x).collect()
""", ranks=4)
    assert done.code == 1 and done.out == "780\n780\n"
    lines = read_log([str(runs.folder / "run.jsonl")]).events
    [lost] = of(lines, "executor_lost")
    assert "os._exit(7)" in lost["why"] and lost["left"] == 2
    failures = of(lines, "task_failed")
    assert failures[0]["error"] == "ValueError: once" and "in fails_once" in failures[0]["traceback"]
    assert all(line["error"].startswith("ZeroDivisionError") for line in failures[1:]) and len(failures) == 3
    assert any(line.get("retry") for line in of(lines, "started"))
    assert any(line.get("attempt") for line in of(lines, "task"))
    assert [line["status"] for line in of(lines, "job_end")] == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    assert lines[-1]["status"] == "failed" and "ZeroDivisionError" in lines[-1]["error"]
    assert f"lost executor {lost['executor']}" in done.err and "3 failed attempts, the last in collect at job.py:" in done.err


def test_spilling_is_told_and_the_command_shows_it(runs: Runs) -> None:
    runs.environment |= {"MPIRDD_EVENTS": "logs/", "MPIRDD_MEMORY": "8m"}
    done = runs("""
with Context() as sc:
    print(sc.parallelize(range(120_000), 4).map(lambda x: (x % 40_000, str(x) * 20)).groupByKey(4).count())
""", ranks=3)
    assert (done.code, done.out, done.err) == (0, "40000\n", "")
    [path] = (runs.folder / "logs").iterdir()
    state = state_of(path)
    assert sum(stage.sums["spilled"] for stage in state.stages.values()) > 100_000
    assert max(stage.peak_memory for stage in state.stages.values()) > 100_000
    shown = subprocess.run([sys.executable, "-m", "mpirdd", "summary", str(path.parent)], cwd=ROOT, capture_output=True,
                           text=True, timeout=60, check=True).stdout
    assert "groupByKey at job.py:" in shown and "spill" in shown and ": ok after " in shown


def test_a_cache_without_room_and_a_second_context_are_told(runs: Runs) -> None:
    runs.environment["MPIRDD_EVENTS"] = "run.jsonl"
    done = runs("""
with Context(memory="8m") as sc:
    data = sc.range(120_000, numSlices=8).map(lambda i: (i, str(i) * 8)).cache()
    print(*[data.map(lambda pair: pair[0] + turn).sum() for turn in range(3)])
with Context("second") as sc:
    print(sc.range(10, numSlices=4).map(lambda i: (i % 2, i)).reduceByKey(add, 2).collectAsMap())
""", ranks=3)
    assert (done.code, done.out) == (0, "7199940000 7200060000 7200180000\n{0: 20, 1: 25}\n"), done.err
    log = read_log([str(runs.folder / "run.jsonl")])
    assert log.notes == ["The program has made 2 Contexts, one after the other; they are shown as one run."]
    state = state_of(runs.folder / "run.jsonl")
    [node] = [node for node in state.nodes.values() if node.persisted]
    kept, refused = node.kept.keys(), node.refused
    assert kept | refused == set(range(8)) and kept and refused and not node.evicted
    assert node.recomputed == dict.fromkeys(refused - kept, 2) | {part: node.recomputed[part] for part in refused & kept}
    memory = of(log.events, "memory")
    assert max(line["peak"] for line in memory) > 4 << 20 and all(line["used"] <= line["peak"] for line in memory)
    assert list(state.jobs) == [1, 2, 3, 4] and list(state.stages) == [1, 2, 3, 4, 5]
    assert state.end is not None and [job.status for job in state.jobs.values()] == ["SUCCEEDED"] * 4


def test_mode_mapreduce_is_told_as_well(runs: Runs) -> None:
    runs.environment |= {"MPIRDD_EVENTS": "run.jsonl", "MPIRDD_MODE": "mapreduce"}
    done = runs("""
with Context() as sc:
    print(sc.parallelize(range(4000), 4).map(lambda x: (x % 7, x)).reduceByKey(add, 3).count())
""", ranks=3)
    assert (done.code, done.out) == (0, "7\n"), done.err
    state = state_of(runs.folder / "run.jsonl")
    assert state.run["mode"] == "mapreduce" and state.end is not None
    written = sum(stage.sums["spilled"] for stage in state.stages.values())
    assert written > 0 and sum(stage.costs["commit_s"] for stage in state.stages.values()) > 0


def test_the_log_of_a_killed_driver_is_whole_up_to_then_and_the_launcher_ends_it(runs: Runs) -> None:
    runs.environment |= {"MPIRDD_EVENTS": "run.jsonl", "MPIRDD_SUMMARY": "1"}
    started = runs.start("""
def wait(x):
    touch("begun")
    time.sleep(60)
with Context() as sc:
    sc.parallelize(range(8), 8).count()
    sc.parallelize(range(4), 4).foreach(wait)
""", ranks=3)
    started.wait_for_file(runs.folder / "begun", 30)
    tail = Tail(str(runs.folder / "run.jsonl"))
    before = tail.new()
    assert len(of(before, "task")) == 8 and len(of(before, "job")) == 2 and not of(before, "end")
    os.kill(before[0]["pid"], signal.SIGKILL)
    done = started.done()
    assert done.code != 0
    lines = read_log([str(runs.folder / "run.jsonl")]).events
    assert lines[:len(before)] == before and of(lines, "end") == [lines[-1]]
    assert lines[-1]["status"] == "killed" and "rank 0" in lines[-1]["error"] and "was lost" in lines[-1]["error"]
    assert lines[-1]["t"] >= lines[-2]["t"]
    lost, *summary = done.err.splitlines()
    assert lost.startswith(f"mpirdd: {lines[-1]['error']}"), done.err
    told = [line for line in summary if line.startswith("mpirdd: job.py: killed after ")]
    assert told and "2 jobs" in told[0] and "8 tasks on 2 executors" in told[0], done.err
    assert [job.status for job in state_of(runs.folder / "run.jsonl").jobs.values()] == ["SUCCEEDED", "RUNNING"]


def test_sigterm_and_exit_codes_end_the_log(runs: Runs) -> None:
    runs.environment["MPIRDD_EVENTS"] = "run.jsonl"
    done = runs("""
sc = Context()
sc.parallelize(range(4), 4).count()
sys.exit(3)
""", ranks=1)
    assert done.code == 3
    runs("""
sc = Context()
sc.parallelize(range(4), 4).count()
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
""", ranks=1)
    runs.environment["MPIRDD_SUMMARY"] = "1"
    done = runs("""
sc = Context()
sc.parallelize(range(4), 4).map(lambda x: x != 2 or os.kill(os.getpid(), signal.SIGTERM) or time.sleep(60)).count()
""", ranks=1)
    assert (done.code, done.out) == (143, "") and "job.py: terminated after" in done.err, done.err
    events = Tail(str(runs.folder / "run.jsonl")).new()
    assert [(line["status"], line["error"]) for line in of(events, "end")] == [
        ("failed", "exit code 3"), ("terminated", "exit code 143"), ("terminated", "exit code 143")]
    assert [job["status"] for job in of(events, "job_end")] == ["SUCCEEDED", "SUCCEEDED", "CANCELLED"]
    assert not of(events, "task_failed")


def test_the_summary_gives_the_hints_that_a_run_deserves(runs: Runs) -> None:
    runs.environment["MPIRDD_SUMMARY"] = "1"
    with gzip.open(runs.folder / "numbers.gz", "wt") as file:
        file.write("1\n2\n3\n4\n")
    done = runs("""
def slow(line):
    time.sleep(0.2)
    return int(line)
with Context() as sc:
    numbers = sc.textFile("numbers.gz").map(slow)
    print(numbers.count(), numbers.sum())
    table = bytes(range(256)) * 12_000
    print(sc.range(8, numSlices=4).map(lambda i: table[i]).sum())
""", ranks=3)
    assert (done.code, done.out) == (0, "4 10\n28\n")
    hints = [line for line in done.err.splitlines() if line.startswith("  hint: ")]
    assert len(hints) == 3, done.err
    assert "numbers.gz is compressed, so it is read as one partition, by one of 2 executors" in hints[0]
    assert hints[1].startswith("  hint: map at job.py:") and "cache() it" in hints[1]
    assert "its function takes 2.9 MiB, sent to each of 2 executors" in hints[2]

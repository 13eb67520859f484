"""Spares take the place of executors that die, and of each other: the answer is right, the width stays, and each loss is told
in one line."""

from __future__ import annotations

import re
import shutil

import pytest
from runs import Runs, no_mpirun, no_recovery

from mpirdd.observe.event_files import read_log

pytestmark = [pytest.mark.skipif(bool(no_mpirun()), reason=no_mpirun()), pytest.mark.timeout(120), pytest.mark.second_lane]
with_recovery = pytest.mark.skipif(bool(no_recovery()), reason=no_recovery())
PLACES = re.compile(r"the spare on rank (\d+) takes its place: (\d) executors? as before, (no spare|\d spares?) left")


@with_recovery
def test_a_run_keeps_its_width_as_often_as_it_has_spares(runs: Runs) -> None:
    """One is lost in a task, two at once between two jobs, the third without a spare. What the program has given to all is on
    the spares: files, modules, broadcast values, cached data."""
    runs.environment |= {"MPIRDD_EVENTS": "run.jsonl", "MPIRDD_SUMMARY": "1"}
    (runs.folder / "helping.py").write_text("def double(x):\n    return 2 * x\n")
    done = runs("""
from mpirdd import SparkFiles
import helping
def width():
    infos = sc.statusTracker().getExecutorInfos()
    return sc.defaultParallelism, len(infos), all(info.totalOnHeapStorageMemory > 0 for info in infos)
def check(path="data.txt"):
    with open(SparkFiles.get(path)) as file:
        return int(file.read())
with Context() as sc:
    with open("data.txt", "w") as file:
        file.write("100")
    sc.addFile("data.txt")
    sc.addPyFile("helping.py")
    table, large = sc.broadcast({"one": 1}), sc.broadcast(np.arange(100_000))
    seen = sc.accumulator(0)
    def work(x):
        return helping.double(x) + check() + table.value["one"] + int(large.value[-1] == 99_999)
    print(width())
    pairs = sc.parallelize(range(40), 8).mapPartitionsWithIndex(die_at(3, "narrow")).map(lambda x: (x % 7, work(x))).cache()
    sums = pairs.reduceByKey(add, 5)
    print(sorted(sums.collect()) == sorted(pairs.reduceByKey(add).collect()), width())
    kill(*sc._driver.executors[:2])
    print(pairs.values().sum(), pairs.count(), width())
    sc.parallelize(range(8), 8).foreach(lambda x: seen.add(1))
    kill(sc._driver.executors[0])
    print(sums.values().sum(), seen.value, width())
""", "--spares", "3", ranks=4)
    total = sum(2 * x + 102 for x in range(40))
    assert done.code == 0, done.err
    assert done.out == f"(3, 3, True)\nTrue (3, 3, True)\n{total} 40 (3, 3, True)\n{total} 8 (2, 2, True)\n", done.err
    told = [place.groups() for place in map(PLACES.search, done.err.splitlines()) if place]
    assert [place[1:] for place in told] == [("3", "2 spares"), ("3", "1 spare"), ("3", "no spare")]
    assert len(done.lost()) == 4, done.err
    events = read_log([str(runs.folder / "run.jsonl")]).events
    assert sorted(event["spare"] for event in events if event["event"] == "spare") == [4, 5, 6]
    first = [event["executor"] for event in events if event["event"] == "executor" and "instead" not in event]
    assert sorted(first) == [1, 2, 3]
    joined = {event["executor"]: event["instead"] for event in events if event["event"] == "executor" and "instead" in event}
    lost = [event for event in events if event["event"] == "executor_lost"]
    assert joined == {event["joins"]: event["executor"] for event in lost if "joins" in event}
    assert "on 3 executors and 3 spares, of which 3 joined" in done.err
    assert f"; spare {min(joined)} took its place" in done.err
    for folder in runs.folder.glob("mpirdd-files-*"):  # of killed ranks: the next start on the host removes them
        shutil.rmtree(folder)


@with_recovery
def test_in_an_exchange_and_a_barrier_and_with_more_losses_than_spares(runs: Runs) -> None:
    done = runs("""
from mpirdd import BarrierTaskContext
def block(i):
    return [(key, np.full(50_000, i)) for key in range(20)]
def talk(records):
    total = sum(records)
    if total == 1:
        die("barrier")
    yield sum(map(int, BarrierTaskContext.get().allGather(str(total))))
with Context(exchange_bytes=1 << 14) as sc:
    print(sc.parallelize(range(4), 4).barrier().mapPartitions(talk).collect())
    first, second = sc._driver.executors[-2:]
    in_exchange(30, die_together(first, second), first)
    sums = sc.parallelize(range(4), 4).flatMap(block).reduceByKey(add, 4).mapValues(lambda a: int(a.min() + a.max()))
    print(sorted(sums.collect()) == [(key, 12) for key in range(20)], sc.defaultParallelism)
""", "--spares", "2", ranks=5)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "[6, 6, 6, 6]"
    assert done.out.splitlines()[1].startswith("True ") and done.noise() == [], (done.out, done.err)
    assert 2 <= len(done.lost()) <= 3, done.err


@with_recovery
def test_spares_that_die_while_they_wait_or_in_the_moment_they_join(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    pairs = sc.parallelize([(x % 7, x) for x in range(700)], 6).reduceByKey(add, 5)
    print(pairs.count(), sc.defaultParallelism)
    kill(6)
    wait_until(lambda: is_dead(6))
    print(pairs.values().sum(), sc.defaultParallelism)
    kill(1, 4)                          # an executor, and the spare that would be the first to take its place
    print(sorted(pairs.collect()) == [(key, sum(range(key, 700, 7))) for key in range(7)], sc.defaultParallelism)
""", "--spares", "3", ranks=4)
    assert (done.code, done.out) == (0, "7 3\n244650 3\nTrue 3\n"), done.err
    lost_spares = re.findall(r"mpirdd: lost the spare on rank (\d) .*: it was killed by signal 9.* It had nothing", done.err)
    assert set(lost_spares) | set(map(str, done.lost())) == {"1", "4", "6"}, done.err


@with_recovery
def test_another_context_begins_with_the_ranks_that_are_left(runs: Runs) -> None:
    done = runs("""
for turn in range(3):
    with Context() as sc:
        pairs = sc.parallelize([(x % 7, x) for x in range(700)], 6).reduceByKey(add, 5)
        print(pairs.count(), sc.defaultParallelism, len(sc._driver._loop.channel.spares))
        kill(sc._driver.executors[0])
        print(pairs.values().sum(), sc.defaultParallelism)
""", "--spares", "1", ranks=4)
    assert (done.code, done.out) == (0, "7 3 1\n244650 3\n7 3 0\n244650 2\n7 2 0\n244650 1\n"), done.err
    assert len(done.lost()) == 3 and done.noise() == []


def test_without_recovery_the_run_goes_without_spares_and_says_why(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    print(sc.defaultParallelism, sc.settings.spares)
""", "--spares", "2", *([] if no_recovery() else ["--no-ft"]), ranks=3)
    assert (done.code, done.out) == (0, "2 0\n"), done.err
    assert re.fullmatch(r"mpirdd: the run goes without --spares 2: with .* the loss of a rank ends the run, so that a spare "
                        r"could never join.*\n", done.err), done.err


def test_a_run_of_one_rank_says_that_it_has_no_spares(runs: Runs) -> None:
    done = runs("with Context() as sc:\n    print(sc.parallelize(range(4)).sum())\n", "--spares", "1", ranks=1)
    assert (done.code, done.out) == (0, "6\n")
    assert done.err == ("mpirdd: the run goes without --spares 1: a run of one rank has no executors beside its driver that "
                        "could be lost\n")

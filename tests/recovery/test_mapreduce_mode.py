"""Mode mapreduce: a lost executor takes its files along, and lineage makes them again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from runs import Runs, no_recovery

from mpirdd.store.scratch import Scratch

pytestmark = [pytest.mark.skipif(bool(no_recovery()), reason=no_recovery()), pytest.mark.timeout(120), pytest.mark.second_lane]

LOOP = """
with Context() as sc:
    ranks = sc.parallelize([(key, 1) for key in range(40)], 4).mapPartitionsWithIndex(counted).partitionBy(4)
    for iteration in range(6):
        given = ranks.map(lambda pair: ((pair[0] + 1) % 40, pair[1])).reduceByKey(add, 4)
        ranks = ranks.join(given, 4).mapValues(sum)
        print(iteration, ranks.values().sum(), flush=True)
        if iteration == 3:
            LOSE
    print(sorted(ranks.collect()) == [(key, 64) for key in range(40)])
"""
COUNTED = """
def counted(partition, records):
    times("read")
    yield from records
"""
SUMS = "".join(f"{iteration} {40 * 2 ** (iteration + 1)}\n" for iteration in range(6))


def next_start_clears(folder: Path) -> bool:
    """A killed rank leaves its files; the next process that makes such a folder removes them, once
    they are old."""
    left = list(folder.glob("mpirdd-spill-*"))
    for path in left:
        os.utime(path, (0, 0))
    Scratch(str(folder)).path()
    return bool(left) and not any(path.exists() for path in left)


def test_files_that_are_gone_with_an_executor_are_made_again_from_the_start(runs: Runs) -> None:
    done = runs(COUNTED + LOOP.replace("LOSE", "kill(2)"), "--mode", "mapreduce")
    assert (done.code, done.out) == (0, SUMS + "True\n"), done.err
    assert done.lost() == [2]
    assert done.noise() == []
    assert next_start_clears(runs.folder)
    assert 4 < runs.times("read") <= 8  # the earlier files were dropped, so the source is read once more, and no more often


def test_without_a_loss_the_source_is_read_once(runs: Runs) -> None:
    done = runs(COUNTED + LOOP.replace("LOSE", "pass"), "--mode", "mapreduce")
    assert (done.code, done.out) == (0, SUMS + "True\n"), done.err
    assert runs.times("read") == 4


def test_in_the_middle_of_a_reduce_that_writes(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    pairs = sc.parallelize([(x % 7, x) for x in range(700)], 8).repartitionAndSortWithinPartitions(4)
    sums = pairs.mapPartitionsWithIndex(die_at(1, "reduce")).reduceByKey(add, 3)
    print(sorted(sums.collect()))
    print(sorted(sums.collect()))
""", "--mode", "mapreduce")
    expected = f"{[(key, sum(range(key, 700, 7))) for key in range(7)]}\n"
    assert (done.code, done.out) == (0, 2 * expected), done.err
    assert len(done.lost()) == 1
    assert done.noise() == []
    assert next_start_clears(runs.folder)

"""Mode mapreduce sends all data through files, reads wide results back from them, and keeps nothing
else."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from operator import add
from pathlib import Path
from typing import Any

import pytest
from beside import Calls, blocks_held, on_every_executor

from mpirdd import RDD, Context
from mpirdd.store.shuffle_blocks import Pack

PAIRS = [(f"key {number % 97}", number) for number in range(5_000)]
SUMS = {f"key {key}": sum(range(key, 5_000, 97)) for key in range(97)}


def kinds(sc: Context) -> Counter[str]:
    """How many blocks of each kind executors hold."""
    return Counter(block.kind for block in blocks_held(sc))


def written(sc: Context) -> float:
    """Bytes written to files so far."""
    return sc.costs().get("written_bytes", 0)


def names_in(sc: Context, scratch: Path) -> set[str]:
    """The files that the executors have there."""
    gc.collect()
    on_every_executor(sc, int)  # messages to drop files come before its tasks
    return {name for folder in os.scandir(scratch) for name in os.listdir(folder)}


def held_by_packs(record: Any) -> int:
    """Bytes of map output that the calling task's executor has in memory."""
    return sum(pack.memory_bytes for pack in gc.get_objects() if isinstance(pack, Pack))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def sc(scratch: Path) -> Iterator[Context]:
    with Context(mode="mapreduce", scratch=str(scratch)) as context:
        yield context


def test_results_are_those_of_memory_mode(sc: Context) -> None:
    pairs = sc.parallelize(PAIRS, 5)
    assert dict(pairs.reduceByKey(add, 3).collect()) == SUMS
    groups = pairs.groupByKey(3).mapValues(list).collectAsMap()
    assert groups == {f"key {key}": list(range(key, 5_000, 97)) for key in range(97)}
    assert pairs.reduceByKey(add).join(pairs.mapValues(lambda value: 1).reduceByKey(add)).lookup("key 3") == [
        (SUMS["key 3"], len(range(3, 5_000, 97)))]
    assert pairs.values().sortBy(lambda value: -value, numPartitions=4).take(3) == [4_999, 4_998, 4_997]


WIDE: dict[str, Callable[[RDD], RDD]] = {
    "reduceByKey": lambda rdd: rdd.reduceByKey(add, 3),
    "groupByKey": lambda rdd: rdd.groupByKey(3).mapValues(len),
    "partitionBy": lambda rdd: rdd.partitionBy(3),
    "distinct": lambda rdd: rdd.distinct(3),
    "repartition": lambda rdd: rdd.repartition(3),
    "sortByKey": lambda rdd: rdd.sortByKey(numPartitions=3),
    "sortByKey in one partition": lambda rdd: rdd.sortByKey(numPartitions=1),
    "repartitionAndSortWithinPartitions": lambda rdd: rdd.repartitionAndSortWithinPartitions(3),
    "cogroup": lambda rdd: rdd.cogroup(rdd, 3).mapValues(len),
    "join": lambda rdd: rdd.join(rdd, 3),
    "join of what is partitioned alike": lambda rdd: rdd.partitionBy(3).join(rdd.reduceByKey(add, 3)),
    "reduceByKey of what is partitioned so": lambda rdd: rdd.partitionBy(3).reduceByKey(add, 3),
    "subtractByKey": lambda rdd: rdd.subtractByKey(rdd.filter(lambda pair: pair[0] == "key 1"), 3),
    "subtract": lambda rdd: rdd.subtract(rdd.filter(lambda pair: pair[0] == "key 1"), 3),
    "intersection": lambda rdd: rdd.intersection(rdd),
}
"""Each kind of wide operation, of 300 records in 5 partitions with 97 keys."""


@pytest.mark.parametrize("name", WIDE)
def test_a_later_job_reads_what_a_wide_operation_has_written(sc: Context, calls: Calls, name: str) -> None:
    wide = WIDE[name](sc.parallelize(PAIRS[:300], 5).map(calls))
    before = written(sc)
    expected = sorted(map(repr, wide.collect()))
    assert calls.count() >= 300
    assert written(sc) > before + 300  # bytes, at least one a record or key
    before = written(sc)
    assert sorted(map(repr, wide.collect())) == expected
    assert wide.map(repr).filter(bool).count() == len(expected)
    assert calls.count() == 0
    assert written(sc) == before


def test_what_follows_a_wide_operation_is_computed_again(sc: Context, calls: Calls) -> None:
    after = sc.parallelize(range(10), 3).map(lambda number: (number % 3, number)).reduceByKey(add).map(calls).cache()
    for _ in range(3):
        assert after.count() == 3
        assert calls.count() == 3


def test_partitions_that_nobody_asked_for_are_written_when_somebody_does(sc: Context, calls: Calls) -> None:
    """The map output stays until all reduce tasks have run, as in a map-reduce job."""
    pairs = sc.parallelize([(number, number) for number in range(12)], 4).map(calls).partitionBy(3)
    assert pairs.lookup(1) == [1]
    assert calls.count() == 12
    assert kinds(sc)["rdd"] == 1
    assert kinds(sc)["map"] == 4
    assert sorted(pairs.collect()) == [(number, number) for number in range(12)]
    assert calls.count() == 0
    assert kinds(sc) == {"rdd": 3}


def test_cache_is_accepted_and_ignored(sc: Context, calls: Calls) -> None:
    kept = sc.parallelize(range(10), 3).map(calls).cache()
    assert kept.is_cached
    assert (kept.sum(), kept.sum()) == (45, 45)
    assert calls.count() == 20
    assert [info.partitions_kept for info in sc.storageInfo() if info.id == kept.id()] == [0]
    assert not kept.unpersist().is_cached


def test_a_shuffle_that_several_branches_of_a_job_read_is_done_once(sc: Context, calls: Calls) -> None:
    sums = sc.parallelize(range(10), 3).map(calls).map(lambda number: (number % 3, number)).reduceByKey(add, 2)
    assert sums.union(sums.mapValues(lambda value: -value)).values().sum() == 0
    assert calls.count() == 10


def test_only_the_last_output_that_a_handle_refers_to_is_left_after_a_job(sc: Context, calls: Calls) -> None:
    sums = sc.parallelize(PAIRS, 5).map(calls).reduceByKey(add, 3).map(lambda pair: (pair[1] % 5, 1)).reduceByKey(add, 2)
    assert sums.count() == 5
    assert kinds(sc) == {"rdd": 2}
    assert calls.count() == 5_000
    again = sums.mapValues(lambda value: value + 1)
    del sums
    assert again.count() == 5
    assert kinds(sc) == {"rdd": 2}
    assert calls.count() == 0
    del again
    assert blocks_held(sc) == []


def test_an_earlier_output_stays_as_long_as_something_else_is_made_from_it(sc: Context, calls: Calls) -> None:
    sums = sc.parallelize(PAIRS, 5).map(calls).reduceByKey(add, 3)
    large = sums.filter(lambda pair: pair[1] > 129_000)
    ones = sums.map(lambda pair: (pair[1] % 5, 1)).reduceByKey(add, 2)
    del sums
    assert ones.count() == 5
    assert large.count() == sum(value > 129_000 for value in SUMS.values())
    assert calls.count() == 5_000
    del large
    assert ones.count() == 5
    assert kinds(sc) == {"rdd": 2}


def test_iterations_over_a_growing_lineage_cost_the_same_each_and_hold_a_bounded_number_of_files(
    sc: Context, calls: Calls, scratch: Path
) -> None:
    """As in PageRank: the program joins the RDD that it carries along with one made from it, in
    place."""
    ranks = sc.parallelize([(key, 1) for key in range(8)], 2).map(calls).partitionBy(2)
    tasks, files, mapped = [], [], []
    for iteration in range(200):
        before = sc._driver._loop.commands.attempts
        given = ranks.map(lambda pair: ((pair[0] + 1) % 8, pair[1])).map(calls).reduceByKey(add, 2)
        ranks = ranks.join(given, 2).mapValues(lambda pair: pair[1]).cache()
        assert ranks.count() == 8
        tasks.append(sc._driver._loop.commands.attempts - before)
        mapped.append(calls.count())
        if iteration % 10 == 9:
            files.append(sum(name.startswith("rdd-") for name in names_in(sc, scratch)))
    assert set(mapped[1:]) == {8}
    assert set(tasks[1:]) == {4}
    assert max(files) <= 2 * 4  # what the loop's variables refer to: two ranks and given, and one that was just let go
    assert sorted(ranks.collect()) == [(key, 1) for key in range(8)]


def test_unpersist_drops_the_files_and_a_later_job_writes_them_again(sc: Context, calls: Calls) -> None:
    sums = sc.parallelize(range(10), 3).map(calls).map(lambda number: (number % 3, number)).reduceByKey(add, 2).cache()
    for _ in range(2):
        assert (sums.count(), sums.count(), calls.count()) == (3, 3, 10)
        assert kinds(sc) == {"rdd": 2}
        sums.unpersist()
        assert kinds(sc) == {}


def test_clean_shuffle_dependencies_drops_the_files_of_the_lineage(sc: Context, calls: Calls) -> None:
    after = sc.parallelize(range(10), 3).map(calls).map(lambda number: (number % 3, number)).reduceByKey(add, 2).values()
    assert (after.sum(), after.sum(), calls.count()) == (45, 45, 10)
    after.cleanShuffleDependencies()
    assert kinds(sc) == {}
    assert (after.sum(), calls.count()) == (45, 10)


def test_a_failed_job_leaves_what_it_has_written_to_the_next(sc: Context, calls: Calls) -> None:
    sums = sc.parallelize(range(10), 3).map(calls).map(lambda number: (number % 3, number)).reduceByKey(add, 2)
    with pytest.raises(Exception, match="division"):
        sums.map(lambda pair: 1 // (pair[0] - pair[0])).collect()
    assert sums.collectAsMap() == {0: 18, 1: 12, 2: 15}
    assert calls.count() == 10


def test_every_map_output_goes_through_a_file_however_small(sc: Context) -> None:
    """The map side holds nothing of a shuffle in memory, and the reduce side reads the map side's
    files."""
    before = sc.costs()
    assert sc.parallelize([("a", 1)], 1).partitionBy(1).map(held_by_packs).first() == 0
    after = sc.costs()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["written_bytes"] > 0
    assert grown["read_bytes"] >= grown["written_bytes"]  # both the map output and the reduce output are read back


def test_reduce_output_is_read_back_from_committed_files(sc: Context, scratch: Path) -> None:
    """The files exist while a later stage reads them, and are gone when no handle leads there."""

    def names(records: Iterator[Any]) -> Iterator[str]:
        list(records)
        yield from (name for folder in os.scandir(scratch) for name in os.listdir(folder))

    sums = sc.parallelize(PAIRS, 4).reduceByKey(add, 2)
    seen = set(sums.mapPartitions(names).collect())
    assert {name.rpartition("-")[0] for name in seen if not name.startswith(".")} >= {f"rdd-{sums.id()}-part-00000"}
    assert names_in(sc, scratch) >= {name for name in seen if name.startswith("rdd-")}
    del sums
    assert not names_in(sc, scratch) & seen


def test_costs_count_what_went_through_files(sc: Context) -> None:
    before = sc.costs()
    assert sc.parallelize(PAIRS, 4).groupByKey(2).mapValues(len).count() == 97
    after = sc.costs()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["written_bytes"] > 10_000  # map output, and reduce output
    assert all(grown[name] > 0 for name in ("read_bytes", "commit_s", "encode_s", "decode_s", "write_s", "read_s", "task_s"))


def test_accumulators_broadcasts_and_checkpoints_work(sc: Context, tmp_path: Path) -> None:
    seen, factor = sc.accumulator(0), sc.broadcast(3)
    sums = sc.parallelize(PAIRS, 4).mapValues(lambda value: value * factor.value).reduceByKey(add, 2)
    sums.foreach(lambda pair: seen.add(1))
    assert seen.value == 97
    sc.setCheckpointDir(str(tmp_path))
    sums.checkpoint()
    assert sums.collectAsMap() == {key: 3 * value for key, value in SUMS.items()}
    assert sums.isCheckpointed()
    assert sums.lookup("key 5") == [3 * SUMS["key 5"]]


def test_a_local_checkpoint_is_kept_on_disk(sc: Context, calls: Calls) -> None:
    cut = sc.parallelize(range(10), 3).map(calls)
    cut.localCheckpoint()
    assert (cut.sum(), cut.sum(), cut.count()) == (45, 45, 10)
    assert calls.count() == 10


def test_keys_that_cannot_be_compared_meet(sc: Context) -> None:
    pairs = sc.parallelize([(1, "a"), ("1", "b"), (None, "c"), ((1,), "d"), (1.0, "e"), (True, "f")] * 2, 4)
    assert dict(pairs.mapValues(lambda value: 1).reduceByKey(add, 3).collect()) == {1: 6, "1": 2, None: 2, (1,): 2}


def test_threads_may_share_a_shuffle(sc: Context) -> None:
    from concurrent.futures import ThreadPoolExecutor

    sums = sc.parallelize(PAIRS, 6).reduceByKey(add, 3)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: sums.collectAsMap(), range(9))) == [SUMS] * 9
    assert kinds(sc) == {"rdd": 3}


def test_threads_that_carry_their_own_lineage_along_do_not_take_each_others_files(sc: Context) -> None:
    from concurrent.futures import ThreadPoolExecutor

    start = sc.parallelize([(key, 1) for key in range(8)], 2).partitionBy(2)

    def grown(factor: int) -> list[tuple[int, int]]:
        ranks = start
        for _ in range(6):
            given = ranks.map(lambda pair: ((pair[0] + 1) % 8, pair[1] * factor)).reduceByKey(add, 2)
            ranks = ranks.join(given, 2).mapValues(lambda pair: pair[1])
            assert ranks.count() == 8
        return sorted(ranks.collect())

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(grown, range(1, 7))) == [[(key, factor**6) for key in range(8)] for factor in range(1, 7)]
    assert kinds(sc) == {"rdd": 2}

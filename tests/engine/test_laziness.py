"""Which functions run and which do not: functions under test count their calls."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from operator import add
from pathlib import Path
from typing import Any

import pytest
from beside import Calls, about_keeping, blocks_held, double, first, in_pairs

from mpirdd import RDD, Context, StorageLevel

TEN = [(i, i) for i in range(10)]


def kinds(sc: Context) -> Counter[str]:
    return Counter(block.kind for block in blocks_held(sc))


# --- transformations run nothing --------------------------------------------------------------------------------------


def test_transformations_run_nothing(sc: Context, calls: Any) -> None:
    rdd = sc.parallelize(TEN, 4).map(calls)
    rdd.filter(calls).flatMap(calls).mapPartitions(calls).mapPartitionsWithIndex(calls).keyBy(calls).glom()
    rdd.mapValues(calls).flatMapValues(calls).keys().values().distinct().groupBy(calls).groupByKey()
    rdd.reduceByKey(calls).combineByKey(calls, calls, calls).aggregateByKey(0, calls, calls).foldByKey(0, calls)
    rdd.partitionBy(3, calls).sortByKey().sortBy(calls).join(rdd).cogroup(rdd).union(rdd).repartition(3).coalesce(2)
    rdd.cache().persist().unpersist()
    assert calls.seen() == []
    assert rdd.partitionBy(3, calls).getNumPartitions() == 3
    assert calls.seen() == []


def test_each_record_passes_each_function_once(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(range(10), 4).map(calls)
    for action in (RDD.collect, RDD.count, RDD.sum, RDD.max):
        action(rdd)
        assert Counter(calls.seen()) == Counter(map(repr, range(10)))


# --- take -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [
    lambda rdd: rdd.take(3), lambda rdd: rdd.map(double).filter(lambda x: x > -1).take(3),
])
def test_take_stops_within_the_first_partition(sc: Context, calls: Calls, action: Callable[[RDD], Any]) -> None:
    action(sc.parallelize(range(1000), 5).map(calls))
    assert calls.seen() == ["0", "1", "2"]


def test_first_and_is_empty_compute_one_record(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(range(1000), 5).map(calls)
    assert (rdd.first(), rdd.isEmpty()) == (0, False)
    assert calls.seen() == ["0", "0"]


def test_take_of_nothing_runs_nothing(sc: Context, calls: Calls) -> None:
    assert sc.parallelize(range(10), 5).map(calls).take(0) == []
    assert calls.count() == 0


def test_take_tries_one_partition_and_then_four_times_as_many(sc: Context, calls: Calls) -> None:
    def visit(index: int, records: Iterator[int]) -> Iterator[int]:
        calls(index)
        return (record for record in records if record >= 30)

    rdd = sc.parallelize(range(100), 100).mapPartitionsWithIndex(visit)
    assert rdd.take(1) == [30]
    assert sorted(map(int, calls.seen())) == list(range(1 + 4 + 16 + 64))


def test_take_on_a_large_file_reads_little_of_it(sc: Context, calls: Calls, tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_text("a line of text\n" * 200_000)
    lines = sc.textFile(str(path), 4)
    assert lines.getNumPartitions() == 4
    assert lines.map(calls).take(10) == ["a line of text"] * 10
    assert calls.count() == 10
    path.write_bytes(b"first\n" * 100 + b"\xff" * 2_900_000)  # only who reads on finds that this is no text
    assert lines.take(2) == ["first", "first"]


def test_take_after_a_shuffle_reads_one_partition_of_it(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(TEN, 4).map(calls).partitionBy(5)
    after = rdd.mapValues(calls)
    assert len(after.take(1)) == 1
    assert len(calls.seen()) == 10 + 1


def test_only_the_stages_that_are_needed_run(sc: Context, calls: Calls) -> None:
    needed = sc.parallelize(TEN, 2)
    needed.map(calls).reduceByKey(add)  # nobody asks for it
    assert needed.mapValues(double).reduceByKey(add).count() == 10
    assert calls.count() == 0


# --- shuffles are kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [
    lambda rdd: rdd.reduceByKey(add), lambda rdd: rdd.groupByKey(), lambda rdd: rdd.partitionBy(3),
    lambda rdd: rdd.sortByKey(), lambda rdd: rdd.distinct(), lambda rdd: rdd.repartition(5),
    lambda rdd: rdd.join(rdd), lambda rdd: rdd.cogroup(rdd),
])
def test_a_shuffle_is_done_once_while_its_rdd_is_referenced(
    sc: Context, calls: Calls, shuffle: Callable[[RDD], RDD]
) -> None:
    rdd = shuffle(sc.parallelize(TEN, 4).map(calls))
    expected = sorted(rdd.map(repr).collect())
    assert calls.count() >= 10
    assert rdd.count() == len(expected)
    assert rdd.map(first).map(str).keyBy(len).count() == len(expected)
    assert sorted(rdd.union(rdd).map(repr).collect()) == sorted(expected * 2)
    assert calls.count() == 0


def test_two_shuffles_of_one_rdd_each_read_it(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(TEN, 4).map(calls)
    assert rdd.reduceByKey(add).join(rdd.groupByKey()).count() == 10
    assert calls.count() == 20


def test_a_shuffle_in_both_branches_of_one_job_is_done_once(sc: Context, calls: Calls) -> None:
    counts = sc.parallelize(TEN, 4).map(calls).reduceByKey(add)
    both = counts.mapValues(double).union(counts.map(lambda kv: kv)).partitionBy(3)
    assert both.join(counts).count() == 20
    assert calls.count() == 10


def test_an_iteration_over_a_shuffle_runs_only_what_is_new(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(TEN, 4)
    for _ in range(5):
        rdd = rdd.mapValues(calls).map(lambda kv: (kv[0] + 1, kv[1])).reduceByKey(add)
        assert rdd.count() == 10
        assert calls.count() == 10


@about_keeping
def test_shuffle_output_goes_when_nobody_refers_to_its_rdd(sc: Context, calls: Calls) -> None:
    before = kinds(sc)
    rdd = sc.parallelize(TEN, 4).map(calls).reduceByKey(add, 3)
    child = rdd.mapValues(double)
    assert child.count() == 10
    held = kinds(sc)
    assert held["map"] - before["map"] == 4
    assert held["in"] - before["in"] == 3
    del rdd
    assert kinds(sc) == held  # child refers to it still
    assert child.count() == 10
    assert calls.count() == 10
    del child
    assert kinds(sc) == before


@about_keeping
def test_a_loop_leaves_only_its_last_shuffle_behind(sc: Context) -> None:
    before = kinds(sc)
    for _ in range(4):
        rdd = sc.parallelize(TEN, 4).reduceByKey(add, 3)
        assert rdd.count() == 10
    assert kinds(sc) - before == Counter({"map": 4, "in": 3})


# --- caching ----------------------------------------------------------------------------------------------------------


@about_keeping
def test_a_cached_partition_is_never_computed_again(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(range(20), 5).map(calls).cache()
    assert calls.count() == 0
    assert rdd.count() == 20
    assert calls.count() == 20
    assert (rdd.collect(), rdd.sum(), rdd.take(3)) == (list(range(20)), 190, [0, 1, 2])
    assert rdd.map(double).filter(lambda x: x > 20).count() == 9
    assert rdd.map(lambda x: (x % 3, x)).reduceByKey(add).count() == 3
    assert rdd.repartition(3).count() == rdd.coalesce(2).count() == 20
    assert calls.count() == 0


@about_keeping
def test_take_caches_what_it_computed_and_later_jobs_add_the_rest(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(range(20), 5).map(calls).cache()
    assert rdd.take(1) == [0]
    assert Counter(calls.seen()) == Counter(map(repr, range(4)))  # whole, as part of a partition cannot be kept
    assert rdd.collect() == list(range(20))
    assert Counter(calls.seen()) == Counter(map(repr, range(4, 20)))


def case(name: str, operation: Callable[[RDD], RDD], expected: int) -> Any:
    return pytest.param(operation, expected, id=name)


JOINS = [
    case("join", lambda rdd: rdd.join(rdd), 20),
    case("join with a child", lambda rdd: rdd.join(rdd.mapValues(double)), 20),
    case("cogroup", lambda rdd: rdd.cogroup(rdd), 20),
    case("two shuffles", lambda rdd: rdd.reduceByKey(add).join(rdd.groupByKey(3)), 20),
    case("three uses", lambda rdd: rdd.join(rdd).join(rdd), 20),
    case("sort", lambda rdd: rdd.sortByKey(), 20),
    case("union of a shuffle", lambda rdd: rdd.union(rdd.partitionBy(3)), 40),
]
UNIONS = [
    case("itself", lambda rdd: rdd.union(rdd), 40),
    case("children", lambda rdd: rdd.map(double).union(rdd.mapValues(double)), 40),
    case("coalesced", lambda rdd: rdd.coalesce(2).union(rdd), 40),
    case("shuffled", lambda rdd: rdd.union(rdd).partitionBy(3), 40),
    case("cached child", lambda rdd: rdd.union(rdd.map(lambda kv: kv).cache()), 40),
]


def check_computed_once(rdd: RDD, calls: Calls, operation: Callable[[RDD], RDD], expected: int) -> None:
    assert operation(rdd).count() == expected
    assert Counter(calls.seen()) == Counter(repr((i, i)) for i in range(20))
    assert operation(rdd).count() == expected
    assert calls.count() == 0


@about_keeping
@pytest.mark.parametrize(("operation", "expected"), JOINS)
def test_a_cached_rdd_that_stages_of_its_first_job_share_is_computed_once(
    sc: Context, calls: Calls, operation: Callable[[RDD], RDD], expected: int
) -> None:
    rdd = sc.parallelize([(i, i) for i in range(20)], 5).map(calls).cache()
    check_computed_once(rdd, calls, operation, expected)


@about_keeping
@pytest.mark.parametrize(("operation", "expected"), UNIONS)
def test_a_cached_rdd_that_tasks_of_its_first_stage_share_is_computed_once(
    sc: Context, calls: Calls, operation: Callable[[RDD], RDD], expected: int
) -> None:
    rdd = sc.parallelize([(i, i) for i in range(20)], 5).map(calls).cache()
    check_computed_once(rdd, calls, operation, expected)


@about_keeping
@pytest.mark.parametrize(("operation", "expected"), UNIONS)
def test_a_cached_rdd_is_not_computed_again_in_later_unions(
    sc: Context, calls: Calls, operation: Callable[[RDD], RDD], expected: int
) -> None:
    rdd = sc.parallelize([(i, i) for i in range(20)], 5).map(calls).cache()
    assert rdd.count() == calls.count() == 20
    for _ in range(2):
        assert operation(rdd).count() == expected
    assert calls.count() == 0


@about_keeping
def test_a_cached_shuffle_result_keeps_what_follows_the_shuffle(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(TEN, 4).reduceByKey(add).mapValues(calls).cache()
    other = sc.parallelize(TEN, 4).partitionBy(4)
    for _ in range(3):
        assert rdd.join(other).count() == 10
    assert calls.count() == 10


@about_keeping
def test_caching_in_an_iteration_computes_each_step_once(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(range(10), 4)
    for _ in range(6):
        rdd = rdd.map(calls).map(double).cache()
        assert rdd.count() == 10
    assert calls.count() == 60


@about_keeping
def test_unpersist_makes_the_next_job_compute_again(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(range(10), 4).map(calls).cache()
    for _ in range(2):
        assert (rdd.count(), rdd.count(), calls.count()) == (10, 10, 10)
        before = kinds(sc)["rdd"]
        assert rdd.unpersist() is rdd
        assert kinds(sc)["rdd"] == before - 4
        assert not rdd.is_cached
        assert (rdd.count(), rdd.count(), calls.count()) == (10, 10, 20)
        assert rdd.persist().is_cached


@about_keeping
def test_unpersisting_a_parent_leaves_a_cached_child(sc: Context, calls: Calls) -> None:
    parent = sc.parallelize(range(10), 4).map(calls).cache()
    child = parent.map(double).cache()
    assert child.count() == 10
    parent.unpersist()
    assert child.sum() == 90
    assert calls.count() == 10
    child.unpersist()
    assert child.sum() == 90
    assert calls.count() == 10


@about_keeping
def test_cached_blocks_go_with_the_last_handle(sc: Context) -> None:
    before = kinds(sc)
    rdd = sc.parallelize(range(10), 4).cache()
    child = rdd.map(double)
    assert child.count() == 10
    del rdd
    assert kinds(sc)["rdd"] - before["rdd"] == 4
    assert child.count() == 10
    del child
    gc.collect()
    assert kinds(sc) == before


@about_keeping
def test_caching_an_empty_rdd_and_empty_partitions(sc: Context, calls: Calls) -> None:
    def visit(records: Iterator[Any]) -> Iterator[Any]:
        calls("partition")
        return records

    rdd = sc.parallelize([], 4).mapPartitions(visit).cache()
    assert rdd.count() == rdd.count() == 0
    assert calls.count() == 4
    assert sc.emptyRDD().cache().count() == 0


def test_cached_records_survive_the_functions_that_shuffle_them(sc: Context) -> None:
    rdd = sc.parallelize([(i % 3, [i]) for i in range(9)], 3).cache()
    expected = rdd.collect()
    grown = rdd.groupByKey().mapValues(lambda values: [value.append(0) for value in values])
    for made in (grown, rdd.reduceByKey(add), rdd.join(rdd)):
        made.partitionBy(4).count()
        assert made.count() > 0
    assert [len(v) for _, v in expected] == [1] * 9
    assert rdd.reduceByKey(add).mapValues(sorted).collectAsMap() == {k: [k, k + 3, k + 6] for k in range(3)}


@about_keeping
def test_numpy_partitions_stay_arrays_in_the_cache(sc: Context, calls: Calls) -> None:
    numpy = pytest.importorskip("numpy")
    rdd = sc.parallelize(range(4), 4).map(calls).map(lambda i: numpy.full(1000, i)).cache()
    assert [float(a.sum()) for a in rdd.collect()] == [0, 1000, 2000, 3000]
    assert rdd.map(lambda a: type(a).__name__).distinct().collect() == ["ndarray"]
    assert calls.count() == 4


@about_keeping
def test_a_failed_job_does_not_spoil_the_cache(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(range(20), 5).map(calls).cache()
    with pytest.raises(Exception, match="division"):
        rdd.map(lambda x: 1 / (x - 19)).collect()
    executors = len(sc._driver.executors)
    everywhere = sc.parallelize(range(executors), executors).barrier()
    assert everywhere.mapPartitions(list).count() == executors  # so no task of the failed job is under way
    calls.seen()
    assert rdd.collect() == list(range(20))
    assert rdd.sum() == 190
    seen = calls.seen()
    assert len(seen) == len(set(seen))


def test_pairs_from_generators_can_be_cached_and_read_twice(sc: Context) -> None:
    rdd = sc.parallelize(range(5), 2).mapPartitions(in_pairs).cache()
    assert rdd.collect() == rdd.collect() == [(i, 1) for i in range(5)]


def test_storage_level_none_keeps_nothing(sc: Context) -> None:
    rdd = sc.parallelize(range(4), 2).persist(StorageLevel.NONE)
    assert rdd.sum() == 6 and not rdd.is_cached
    assert rdd.id() not in {info.id for info in sc.storageInfo()}

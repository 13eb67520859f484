"""Statistics, histograms, trees of reductions, approximate actions, local iterators, names and lineage as text."""

from __future__ import annotations

import math
import statistics
import threading
import time
import warnings
from bisect import bisect_right
from collections import Counter
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from beside import Calls
from hypothesis import given
from hypothesis import strategies as st

from mpirdd import RDD, Context, TaskError, UsageError
from mpirdd.api.taskcontext import TaskContext
from mpirdd.protocol.errors import JobCancelled

NUMBERS = st.lists(st.integers(-50, 50) | st.floats(-1e3, 1e3), min_size=2, max_size=30)
PARTITIONS = st.integers(1, 5)
NAN, INF = math.nan, math.inf


@given(data=NUMBERS, count=PARTITIONS)
def test_statistics_agree_with_the_statistics_module(sc: Context, data: list[float], count: int) -> None:
    rdd = sc.parallelize(data, count)
    stats = rdd.stats()
    assert (stats.count(), stats.min(), stats.max()) == (len(data), min(data), max(data))
    assert rdd.mean() == stats.mean() == pytest.approx(statistics.fmean(data), abs=1e-9)
    assert rdd.variance() == pytest.approx(statistics.pvariance(data), abs=1e-6)
    assert rdd.sampleVariance() == pytest.approx(statistics.variance(data), abs=1e-6)
    assert (rdd.stdev(), rdd.sampleStdev()) == (math.sqrt(rdd.variance()), math.sqrt(rdd.sampleVariance()))


def test_statistics_of_pyspark_to_the_last_bit(sc: Context) -> None:
    rdd = sc.parallelize([1, 2, 3, 4.5], 3)
    assert str(rdd.stats()) == "(count: 4, mean: 2.625, stdev: 1.2930100540985752, max: 4.5, min: 1.0)"
    assert (rdd.sampleStdev(), rdd.sampleVariance()) == (1.4930394055974097, 2.2291666666666665)


def test_statistics_of_nothing(sc: Context) -> None:
    for rdd in (sc.parallelize([], 3), sc.emptyRDD()):
        assert (rdd.stats().count(), rdd.mean()) == (0, 0.0)
        assert math.isnan(rdd.variance())
        assert math.isnan(rdd.sampleStdev())
    with pytest.raises(TaskError, match="TypeError"):
        sc.parallelize(["a"]).stats()


def test_statistics_of_arrays(sc: Context) -> None:
    rdd = sc.parallelize([np.array([i, i * i], float) for i in range(5)], 2)
    assert rdd.mean().tolist() == [2.0, 6.0]
    assert rdd.stats().max().tolist() == [4.0, 16.0]


# --- histogram --------------------------------------------------------------------------------------------------------

# What PySpark 4.3 gives.
HISTOGRAMS: list[tuple[Any, Any, Any]] = [
    (range(51), 2, ([0, 25, 50], [25, 26])),
    (range(51), [0, 25, 50], ([0, 25, 50], [25, 26])),
    (range(51), [0, 5, 25, 50], ([0, 5, 25, 50], [5, 20, 26])),
    (range(51), (0, 15, 30, 45, 60), ((0, 15, 30, 45, 60), [15, 15, 15, 6])),
    ([], [0, 10], ([0, 10], [0])),
    ([1], 1, ([1, 1], [1])),
    ([5, 5, 5], 3, ([5, 5], [3])),
    ([1, 2], 1, ([1, 2], [2])),
    ([1, 2, None, NAN], 2, ([1.0, 1.5, 2], [1, 1])),
    (["ab", "ac", "b", "bd", "ef"], ("a", "b", "c"), (("a", "b", "c"), [2, 2])),
    (["ab", "b"], 1, (["ab", "b"], [2])),
    ([1, NAN], [0, 2], ([0, 2], [1])),
    ([None, 1], [0, 2], ([0, 2], [1])),
    ([1, 2, 3, 4], 3, ([1, 2, 3, 4], [1, 1, 2])),
    ([1, 2, 4], 3, ([1, 2, 3, 4], [1, 1, 1])),
    ([0.1, 0.2, 0.3, 0.7], [0, 0.1, 0.2, 0.3], ([0, 0.1, 0.2, 0.3], [0, 1, 2])),
    ([0.5, 1, 9.5, 10], [0, 1, 10], ([0, 1, 10], [1, 3])),
    ([1.5, -1, 20], (0, 10, 20), ((0, 10, 20), [1, 1])),
    ([True, False, 3], 2, ([0.0, 1.5, 3], [2, 1])),
    ([1, 7], [0, INF], ([0, INF], [2])),
    ([1, INF], [0, 2, INF], ([0, 2, INF], [1, 1])),
    ([-1, 5, 0], 5, ([-1.0, 0.19999999999999996, 1.4, 2.5999999999999996, 3.8, 5], [2, 0, 0, 0, 1])),
]


@pytest.mark.parametrize(("data", "buckets", "expected"), HISTOGRAMS)
def test_histograms_are_pysparks(sc: Context, data: Any, buckets: Any, expected: Any) -> None:
    found = sc.parallelize(data, 3).histogram(buckets)
    assert found == expected
    assert type(found[0]) is type(expected[0])


@given(data=NUMBERS, count=PARTITIONS, buckets=st.integers(1, 12))
def test_counts_agree_with_the_bounds_that_come_with_them(sc: Context, data: list[float], count: int, buckets: int) -> None:
    rdd = sc.parallelize(data, count)
    bounds, counts = rdd.histogram(buckets)
    assert (bounds[0], bounds[-1]) == (min(data), max(data))
    assert len(bounds) == (2 if min(data) == max(data) else buckets + 1)
    places = Counter(min(bisect_right(bounds, value), len(bounds) - 1) - 1 for value in data)
    assert counts == [places[place] for place in range(len(bounds) - 1)]
    if len(set(bounds)) == len(bounds):
        assert rdd.histogram(bounds) == (bounds, counts)


MISUSED: list[tuple[Any, Any, type[Exception]]] = [
    ([], 1, ValueError), ([], 2, ValueError), ([None, NAN], 2, ValueError), ([1], 0, ValueError), ([1], -1, ValueError),
    (["ab", "b"], 2, TypeError), ([1, INF], 2, ValueError), ([1, -INF], 2, ValueError), ([1], [0], ValueError),
    ([1], [0, None], ValueError), ([1], [NAN, 1], ValueError), ([1], [2, 1], ValueError), ([1], [1, 1, 2], ValueError),
    ([1], "ab", TypeError), ([1], 2.0, TypeError), ([1], None, TypeError), ([1], [], ValueError),
]


@pytest.mark.parametrize(("data", "buckets", "kind"), MISUSED)
def test_misused_histograms_raise_what_pyspark_raises(sc: Context, data: Any, buckets: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="bucket"):
        sc.parallelize(data, 2).histogram(buckets)


def test_records_that_cannot_be_compared_with_the_bounds_fail_the_job(sc: Context) -> None:
    with pytest.raises(TaskError, match="not supported between"):
        sc.parallelize(["a", 1]).histogram(["a", "b"])


# --- trees ------------------------------------------------------------------------------------------------------------


@given(data=st.lists(st.text("ab", max_size=2), min_size=1, max_size=40), count=st.integers(1, 30), depth=st.integers(1, 4))
def test_trees_agree_with_reduce(sc: Context, data: list[str], count: int, depth: int) -> None:
    lengths = sc.parallelize(data, count).map(len)
    assert lengths.treeReduce(lambda a, b: a + b, depth) == sum(map(len, data))
    assert lengths.treeReduce(max, depth) == max(map(len, data))
    counted = sc.parallelize(data, count).treeAggregate(Counter(), _count, lambda a, b: a + b, depth)
    assert counted == Counter(data)


def _count(counts: Counter[str], word: str) -> Counter[str]:
    counts[word] += 1
    return counts


def test_trees_combine_in_pysparks_order(sc: Context) -> None:
    words = sc.parallelize(range(30), 9).map(str)
    assert words.treeReduce(lambda p, q: f"({p}{q})") == (
        "((((((01)2)((1011)12))((2021)22))((((34)5)((1314)15))((2324)25)))(((((67)8)9)(((1617)18)19))(((2627)28)29)))")


def test_the_zero_of_a_tree_is_used_once_a_partition_and_not_at_the_driver(sc: Context) -> None:
    for count, depth in ((1, 2), (4, 1), (4, 2), (30, 3)):
        assert sc.parallelize([], count).treeAggregate(1, max, lambda a, b: a + b, depth) == count
    assert sc.emptyRDD().treeAggregate([7], max, max) == [7]


def test_trees_merge_each_partial_result_once(sc: Context, calls: Calls) -> None:
    total = sc.range(0, 64, numSlices=64).treeReduce(lambda a, b: calls(a + b), 2)
    assert total == sum(range(64))
    assert calls.count() == 63


def test_trees_of_nothing_and_of_no_depth(sc: Context) -> None:
    for rdd in (sc.parallelize([], 9), sc.emptyRDD()):
        with pytest.raises(ValueError, match="empty"):
            rdd.treeReduce(max)
    for misuse in (lambda: sc.parallelize([1]).treeReduce(max, 0), lambda: sc.parallelize([1]).treeAggregate(0, max, max, -1)):
        with pytest.raises(ValueError, match=r"(?i)depth"):
            misuse()


# --- approximate actions ----------------------------------------------------------------------------------------------


def test_approximate_actions_that_end_in_time_are_exact(sc: Context) -> None:
    rdd = sc.parallelize([float(i) for i in range(1000)], 7)
    assert rdd.countApprox(60_000) == 1000
    for found, exact in ((rdd.sumApprox(60_000, 0.9), 499500.0), (rdd.meanApprox(60_000), 499.5)):
        assert (found, found.low, found.high, found.confidence) == (exact, exact, exact, 1.0)
    for none in (sc.parallelize([], 3), sc.emptyRDD()):
        assert (none.countApprox(60_000), none.sumApprox(60_000), none.meanApprox(60_000)) == (0, 0.0, 0.0)


def slowly(x: int) -> int:
    time.sleep(0.02)
    return x


def test_an_answer_comes_soon_after_the_timeout_with_an_interval_that_holds_the_truth(sc: Context) -> None:
    rdd = sc.range(0, 3000, numSlices=1500).map(slowly).map(lambda x: x % 10)  # 60 s in one rank, 20 s in three
    began = time.perf_counter()
    count, total, mean = rdd.countApprox(500), rdd.sumApprox(500, 0.999), rdd.meanApprox(1500, 0.999)
    assert time.perf_counter() - began < 10
    assert count == 3000  # all partitions are alike
    assert total.low <= 13_500 <= total.high
    assert mean.low <= 4.5 <= mean.high
    assert 0 < mean.high - mean.low < 5
    assert (total.confidence, mean.confidence) == (0.999, 0.999)
    assert sc.parallelize([1, 2]).sum() == 3  # the job is gone


def test_nothing_done_in_time_says_so(sc: Context) -> None:
    rdd = sc.parallelize([1] * 40, 40).map(slowly).map(slowly)
    found = [rdd.sumApprox(0), rdd.meanApprox(-5)]
    for estimate in found:
        assert estimate.low <= estimate <= estimate.high
        if estimate.confidence == 0.0:
            assert (estimate, estimate.low, estimate.high) == (0.0, -INF, INF)
    assert 0 <= rdd.countApprox(0) <= 40


def test_errors_and_cancelling_are_not_taken_for_the_timeout(sc: Context) -> None:
    with pytest.raises(TaskError, match="ZeroDivisionError"):
        sc.parallelize([0]).map(lambda x: 1 // x).sumApprox(60_000)
    with pytest.raises(ValueError, match="confidence"):
        sc.parallelize([0]).sumApprox(60_000, 1.5)
    canceller = threading.Timer(0.3, sc.cancelAllJobs)
    canceller.start()
    with pytest.raises(JobCancelled):
        sc.range(0, 1000, numSlices=1000).map(slowly).countApprox(60_000)
    canceller.join()
    assert sc.getJobTags() == set()


def test_distinct_counts_are_within_their_error(sc: Context) -> None:
    numbers, words = sc.range(0, 30_000, numSlices=4), sc.range(0, 9000, numSlices=3).map(lambda i: str(i % 3000))
    for error in (0.1, 0.05, 0.01):
        assert numbers.countApproxDistinct(error) == pytest.approx(30_000, rel=3 * error)
        assert words.countApproxDistinct(error) == pytest.approx(3000, rel=3 * error)
    assert words.countApproxDistinct(0.000017) == 3000
    assert numbers.map(lambda i: (i % 7, None)).countApproxDistinct() == 7
    assert sc.emptyRDD().countApproxDistinct() == sc.parallelize([], 2).countApproxDistinct() == 0
    for bad in (0.00001, 0, -1, NAN):
        with pytest.raises(ValueError, match=r"0\.000017"):
            numbers.countApproxDistinct(bad)


# --- toLocalIterator --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [False, True])
def test_local_iterators_give_all_records_in_order(sc: Context, prefetch: bool) -> None:
    for count in (1, 2, 7):
        assert list(sc.parallelize(range(10), count).toLocalIterator(prefetch)) == list(range(10))
    assert list(sc.emptyRDD().toLocalIterator(prefetch)) == []
    assert list(sc.parallelize([3, 1, 2], 2).sortBy(lambda x: x).toLocalIterator(prefetch)) == [1, 2, 3]


@pytest.mark.parametrize(("prefetch", "at_most"), [(False, 2), (True, 4)])
def test_local_iterators_compute_no_more_than_they_need(sc: Context, calls: Calls, prefetch: bool, at_most: int) -> None:
    rdd = sc.parallelize(range(20), 10).map(calls)
    iterator = rdd.toLocalIterator(prefetch)
    assert calls.count() == 0
    assert next(iterator) == 0
    del iterator
    assert 2 <= calls.count() <= at_most


def test_a_prefetching_iterator_computes_ahead_under_the_callers_properties(sc: Context, tmp_path: Path) -> None:
    written = tmp_path / "calls"
    calls = Calls(str(written))
    sc.setLocalProperty("color", "red")
    rdd = sc.parallelize(range(3), 3).map(lambda x: calls(TaskContext.get().getLocalProperty("color")))
    iterator = rdd.toLocalIterator(True)
    assert next(iterator) == "red"
    until = time.monotonic() + 20
    while written.read_text().count("\n") < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert calls.count() == 2
    assert list(iterator) == ["red", "red"]
    sc.setLocalProperty("color", None)


@pytest.mark.parametrize("prefetch", [False, True])
def test_errors_of_a_local_iterator_come_when_it_gets_there(sc: Context, prefetch: bool) -> None:
    iterator = sc.parallelize([1, 0], 2).map(lambda x: 1 // x).toLocalIterator(prefetch)
    assert next(iterator) == 1
    with pytest.raises(TaskError, match="ZeroDivisionError"):
        next(iterator)


# --- names, lineage, members that need a JVM --------------------------------------------------------------------------


def test_names(sc: Context) -> None:
    rdd = sc.parallelize([1])
    assert rdd.name() is None
    assert rdd.setName("numbers") is rdd
    assert rdd.name() == "numbers"
    assert rdd.map(str).name() is None
    assert rdd.setName("").name() is None
    assert rdd.ctx is rdd.context is sc
    assert len({rdd.id(), rdd.map(str).id(), sc.emptyRDD().id()}) == 3


def test_lineage_as_text(sc: Context) -> None:
    words = sc.parallelize(["a"], 2).setName("words")
    counts = words.map(lambda w: (w, 1)).reduceByKey(max, 3).cache()
    text = counts.mapValues(str).join(counts).toDebugString().decode().splitlines()
    ids = words.id(), counts.id()
    assert text[0].startswith("(3) join[")
    assert text[1].startswith(" |  mapValues[")
    assert any(line.startswith(f" |  reduceByKey[{ids[1]}] at test_numbers.py:") and "Memory" in line for line in text)
    assert any(line.startswith(f"    |  words parallelize[{ids[0]}] at ") for line in text)
    assert any(line.startswith(" +-(2) map[") for line in text)
    assert text[-1].endswith("see above")


def test_long_and_wide_lineages_as_text(sc: Context) -> None:
    rdd = sc.parallelize([1], 1)
    for _ in range(1500):
        rdd = rdd.map(abs)
    assert rdd.toDebugString().count(b"\n") == 1500
    for _ in range(60):
        rdd = rdd.union(rdd)  # 2**60 paths
    assert rdd.toDebugString().count(b"see above") == 60


def test_members_that_need_a_jvm_name_the_alternative(sc: Context) -> None:
    rdd = sc.parallelize([(1, 2)])
    calls = [
        lambda: rdd.saveAsNewAPIHadoopDataset({}), lambda: rdd.saveAsNewAPIHadoopFile("p", "f"),
        lambda: rdd.saveAsHadoopDataset({}), lambda: rdd.saveAsHadoopFile("p", "f", keyClass="k"),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="saveAsTextFile"):
            call()
    for call in (lambda: rdd.withResources(None), rdd.getResourceProfile, rdd.toDF):
        with pytest.raises(NotImplementedError, match=r"mpirun|collect"):
            call()


def test_old_names_warn(sc: Context) -> None:
    with pytest.warns(FutureWarning, match="mapPartitionsWithIndex"):
        made = sc.parallelize("ab", 2).mapPartitionsWithSplit(lambda i, records: [i])
    assert made.collect() == [0, 1]


def test_rdds_can_be_annotated_with_what_they_hold(sc: Context) -> None:
    def f(rdd: RDD[int]) -> RDD[tuple[int, str]]:  # type: ignore[type-arg]
        return rdd.keyBy(lambda x: x)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RDD[int].__origin__ is RDD  # type: ignore[type-arg]
    assert isinstance(f(sc.parallelize([1])), RDD)


def test_everything_is_lazy(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize([(1, 2), (3, 4)], 2).map(calls)
    made = [
        rdd.zip(rdd), rdd.zipWithIndex(), rdd.zipWithUniqueId(), rdd.cartesian(rdd), rdd.intersection(rdd), rdd.subtract(rdd),
        rdd.subtractByKey(rdd), rdd.leftOuterJoin(rdd), rdd.rightOuterJoin(rdd), rdd.fullOuterJoin(rdd), rdd.groupWith(rdd, rdd),
        rdd.pipe("cat"), rdd.repartitionAndSortWithinPartitions(2), rdd.sample(False, 0.5), *rdd.randomSplit([1, 1]),
    ]
    assert calls.count() == 0
    assert reduce(lambda total, one: total + one.count(), made, 0) > 0

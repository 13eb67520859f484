"""Lineages longer than Python's recursion limit."""

from __future__ import annotations

import sys
from functools import partial, reduce
from operator import add, ne

from beside import Calls, about_keeping, double

from mpirdd import RDD, Context


def test_two_thousand_maps(sc: Context) -> None:
    rdd = sc.parallelize(range(5), 2)
    for _ in range(2000):
        rdd = rdd.map(lambda x: x + 1)
    assert rdd.collect() == list(range(2000, 2005))
    assert rdd.map(lambda x: (x % 2, x)).reduceByKey(add).count() == 2
    assert rdd.take(1) == [2000]


def test_a_long_chain_of_partition_functions_and_filters(sc: Context) -> None:
    rdd = sc.parallelize(range(100), 2)
    for i in range(400):
        rdd = rdd.mapPartitions(iter).filter(partial(ne, i)).flatMap(lambda x: [x])
    assert rdd.collect() == []
    assert sc.parallelize(range(1000), 1).union(rdd).count() == 1000


def test_a_chain_longer_than_the_recursion_limit_can_be_forgotten(sc: Context) -> None:
    rdd = sc.parallelize([1], 1)
    for _ in range(10 * sys.getrecursionlimit()):
        rdd = rdd.filter(bool)
    assert rdd.getNumPartitions() == 1
    del rdd
    assert sc.parallelize([1], 1).count() == 1


def test_three_hundred_iterations_with_a_shuffle_each(sc: Context) -> None:
    rdd = sc.parallelize([(i, 1) for i in range(6)], 3)
    for _ in range(300):
        rdd = rdd.map(lambda kv: ((kv[0] + 1) % 6, kv[1])).reduceByKey(add, 3)
    assert sorted(rdd.collect()) == [(i, 1) for i in range(6)]


def test_three_hundred_iterations_with_a_job_each(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize([(i, 0) for i in range(6)], 3).partitionBy(3).cache()
    for _ in range(300):
        rdd = rdd.mapValues(lambda v: v + 1).reduceByKey(add, 3).cache()
        assert rdd.count() == 6
    assert rdd.values().collect() == [300] * 6


def test_a_union_of_three_hundred_rdds(sc: Context) -> None:
    rdds = [sc.parallelize([i, i], 2) for i in range(300)]
    expected = [i for i in range(300) for _ in range(2)]
    assert sc.union(rdds).collect() == expected
    assert sc.union(rdds).getNumPartitions() == 600
    assert reduce(RDD.union, rdds).collect() == expected
    assert reduce(lambda a, b: b.union(a), rdds).collect() == [i for i in reversed(range(300)) for _ in range(2)]


def test_a_union_of_three_hundred_rdds_shuffles(sc: Context) -> None:
    rdds = [sc.parallelize([("all", i), (i % 3, 1)], 1) for i in range(300)]
    assert sc.union(rdds).reduceByKey(add, 4).collectAsMap() == {"all": sum(range(300)), 0: 100, 1: 100, 2: 100}


def test_a_join_with_itself_again_and_again(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize([(i, 1) for i in range(6)], 3).map(calls).partitionBy(3)
    for _ in range(12):  # without sharing, 2**12 readings of the first RDD
        rdd = rdd.join(rdd).mapValues(sum).cache()
    assert rdd.collect() == [(i, 2**12) for i in (0, 3, 1, 4, 2, 5)]
    assert calls.count() == 6


def test_a_join_with_itself_that_shuffles_each_time(sc: Context) -> None:
    rdd = sc.parallelize([(i, 1) for i in range(6)], 3)
    for _ in range(8):
        rdd = rdd.map(lambda kv: ((kv[0] + 1) % 6, kv[1]))
        rdd = rdd.join(rdd, 2).mapValues(sum)
    assert sorted(rdd.collect()) == [(i, 2**8) for i in range(6)]


@about_keeping
def test_a_union_with_itself_again_and_again(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize([1], 1).map(calls).cache()
    assert rdd.count() == 1
    for _ in range(6):
        rdd = rdd.union(rdd)
    assert rdd.map(double).sum() == 2**7
    assert calls.count() == 1


def test_deep_trees_of_unions_and_coalesces(sc: Context) -> None:
    rdd = sc.parallelize(range(4), 4)
    for i in range(150):
        rdd = rdd.union(sc.parallelize([i], 1)).coalesce(4)
    assert sorted(rdd.collect()) == sorted([*range(4), *range(150)])


@about_keeping
def test_a_thousand_iterations_with_a_shuffle_in_each_grow_no_memory(sc: Context) -> None:
    """An iterative program caches each iteration, lets the one before go, and sometimes checkpoints
    to cut the lineage."""
    def resident_mb(_: int) -> float:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 1e6

    def largest() -> float:
        return max(resident_mb(0), *sc.parallelize(range(8), 8).map(resident_mb).collect())

    ranks = sc.parallelize([(key, 1) for key in range(100)], 2).cache()
    for iteration in range(1_000):
        before, ranks = ranks, ranks.map(lambda pair: ((pair[0] + 1) % 100, pair[1])).reduceByKey(add, 2).cache()
        if iteration % 50 == 0:
            ranks.localCheckpoint()
        assert ranks.count() == 100
        before.unpersist()
        if iteration == 200:
            settled = largest()
    assert largest() < settled + 25
    assert sorted(ranks.collect()) == [(key, 1) for key in range(100)]

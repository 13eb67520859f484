"""Samples: reproducible, the records that PySpark takes, of the right size and distribution."""

from __future__ import annotations

import math
from collections import Counter
from itertools import chain
from typing import Any

import pytest
from beside import Calls

from mpirdd import Context, TaskError

# What PySpark 4.3 gives for sc.parallelize(range(40), 3), as glom().
PYSPARK = {
    (False, 0.3, 17): [[7, 9, 11], [13, 14, 15, 20, 21, 23, 24], [31, 35, 38, 39]],
    (False, 0.3, -3): [[5, 11], [14, 16, 21, 23, 25], [32, 35, 37, 39]],
    (True, 0.5, 17): [[0, 1, 1, 2, 6, 7, 8, 11], [16, 17, 24], [27, 27, 27, 29, 30, 32, 37, 38]],
}
PYSPARK_SPLIT = [
    [[2, 10], [16, 23], [26, 30, 35, 37]], [[1, 3, 5, 6, 8, 12], [14, 18, 21, 25], [27, 28, 38]],
    [[0, 4, 7, 9, 11], [13, 15, 17, 19, 20, 22, 24], [29, 31, 32, 33, 34, 36, 39]],
]
PYSPARK_TAKEN = {(False, 5): [28, 5, 18, 39, 8], (True, 5): [19, 31, 8, 35, 36], (False, 1): [13], (True, 1): [14]}


@pytest.mark.parametrize("case", PYSPARK)
def test_samples_are_pysparks(sc: Context, case: tuple[bool, float, int]) -> None:
    assert sc.parallelize(range(40), 3).sample(*case).glom().collect() == PYSPARK[case]


def test_splits_and_taken_samples_are_pysparks(sc: Context) -> None:
    rdd = sc.parallelize(range(40), 3)
    assert [part.glom().collect() for part in rdd.randomSplit([1, 2, 3], 5)] == PYSPARK_SPLIT
    for (with_replacement, num), expected in PYSPARK_TAKEN.items():
        assert rdd.takeSample(with_replacement, num, 7) == expected


def test_sample_by_key_is_pysparks(sc: Context) -> None:
    pairs = sc.parallelize([(key, i) for i in range(20) for key in "ab"], 3)
    assert pairs.sampleByKey(False, {"a": 0.2, "b": 0.6}, 3).collect() == [
        ("b", 0), ("b", 1), ("b", 2), ("b", 5), ("b", 8), ("b", 11), ("b", 17), ("b", 18), ("b", 19)]


def test_without_a_seed_one_is_chosen_once_for_the_rdd(sc: Context) -> None:
    rdd = sc.parallelize(range(1000), 3)
    for sample in (rdd.sample(False, 0.5), rdd.sample(True, 0.5), *rdd.randomSplit([1, 1])):
        assert sample.collect() == sample.collect()
    assert rdd.sample(False, 0.5).collect() != rdd.sample(False, 0.5).collect()


@pytest.mark.parametrize("fraction", [0.0, 0.2, 1.0])
def test_sizes_of_samples(sc: Context, fraction: float) -> None:
    rdd = sc.parallelize(range(20_000), 4)
    size = rdd.sample(False, fraction, 5).count()
    assert abs(size - 20_000 * fraction) <= 4 * math.sqrt(20_000 * fraction * (1 - fraction))
    size = rdd.sample(True, fraction * 3, 5).count()
    assert abs(size - 60_000 * fraction) <= 4 * math.sqrt(60_000 * fraction)


def test_partitions_are_not_sampled_alike(sc: Context) -> None:
    parts = sc.range(0, 800, numSlices=8).map(lambda x: x % 100).sample(False, 0.5, 42).glom().collect()
    assert len({tuple(part) for part in parts}) == 8


def test_splits_have_no_record_in_common_and_make_up_the_whole(sc: Context) -> None:
    rdd = sc.parallelize(range(5000), 3)
    weights = [1, 0, 2.5, 0.5]
    parts = [part.collect() for part in rdd.randomSplit(weights, 3)]
    assert sorted(chain.from_iterable(parts)) == list(range(5000))
    assert all(abs(len(part) - 5000 * weight / 4) <= 4 * math.sqrt(5000 * weight / 4) + 1e-9
               for part, weight in zip(parts, weights, strict=True))
    assert rdd.randomSplit([3], 1)[0].collect() == list(range(5000))


@pytest.mark.parametrize("num", [0, 1, 7, 19, 20, 21, 1000])
def test_taken_samples_have_exactly_the_size(sc: Context, num: int) -> None:
    rdd = sc.parallelize(range(20), 3)
    taken = rdd.takeSample(False, num, 2)
    assert len(taken) == len(set(taken)) == min(num, 20)
    assert set(taken) <= set(range(20))
    assert len(rdd.takeSample(True, num, 2)) == num
    assert rdd.takeSample(True, num, 2) == rdd.takeSample(True, num, 2)
    assert sc.emptyRDD().takeSample(True, num) == sc.parallelize([], 2).takeSample(False, num) == []


def test_each_record_is_as_likely_to_be_taken_and_at_each_place(sc: Context) -> None:
    rdd, trials = sc.parallelize(range(6), 3).cache(), 240
    taken = [rdd.takeSample(False, 2, seed) for seed in range(trials)]
    chosen, first = Counter(chain.from_iterable(taken)), Counter(sample[0] for sample in taken)
    assert all(abs(chosen[i] - trials / 3) <= 4 * math.sqrt(trials * 2 / 9) for i in range(6))
    assert all(abs(first[i] - trials / 6) <= 4 * math.sqrt(trials * 5 / 36) for i in range(6))


def test_sample_by_key_keeps_each_keys_fraction(sc: Context) -> None:
    pairs = sc.parallelize(range(9000), 4).map(lambda i: ("abc"[i % 3], i))
    for with_replacement in (False, True):
        counts = pairs.sampleByKey(with_replacement, {"a": 0.1, "b": 0.5, "c": 0}, 11).countByKey()
        assert abs(counts["a"] - 300) <= 4 * math.sqrt(300)
        assert abs(counts["b"] - 1500) <= 4 * math.sqrt(1500)
        assert "c" not in counts


def test_sampling_keeps_the_partitioner_and_runs_nothing(sc: Context, calls: Calls) -> None:
    pairs = sc.parallelize([(i, i) for i in range(50)], 2).partitionBy(4).mapValues(calls)
    made = [pairs.sample(False, 0.5), pairs.sample(True, 0.5), *pairs.randomSplit([1, 2]),
            pairs.sampleByKey(False, dict.fromkeys(range(50), 0.5))]
    assert all(sample.partitioner == pairs.partitioner is not None for sample in made)
    assert all(sample.getNumPartitions() == 4 for sample in made)
    assert calls.count() == 0


@pytest.mark.parametrize("misuse", [
    lambda rdd: rdd.sample(False, -0.1), lambda rdd: rdd.sample(True, math.nan), lambda rdd: rdd.randomSplit([]),
    lambda rdd: rdd.randomSplit([1, -1]), lambda rdd: rdd.randomSplit([0, 0]), lambda rdd: rdd.takeSample(False, -1),
    lambda rdd: rdd.takeSample(False, 2**63 - 1), lambda rdd: rdd.sampleByKey(False, {1: -1}),
])
def test_misuse_is_a_value_error_at_once(sc: Context, misuse: Any) -> None:
    with pytest.raises(ValueError, match=r"fraction|weights|Sample size"):
        misuse(sc.parallelize([(1, 2)]))


def test_keys_without_a_fraction_fail_the_job(sc: Context) -> None:
    with pytest.raises(TaskError, match="no fraction for the key 'b'") as caught:
        sc.parallelize([("a", 1), ("b", 2)]).sampleByKey(False, {"a": 0.5}).collect()
    assert isinstance(caught.value.__cause__, KeyError)

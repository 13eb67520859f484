"""sortBy and sortByKey against sorted()."""

from __future__ import annotations

import random
from typing import Any

import pytest
from beside import Calls, Plain, about_keeping, first, second, sizes
from hypothesis import given
from hypothesis import strategies as st

from mpirdd import Context

PARTITIONS = st.integers(1, 6)


@given(
    data=st.lists(st.integers(-4, 4), max_size=60) | st.lists(st.text("abé", max_size=2), max_size=60),
    count=PARTITIONS, width=st.sampled_from([None, 1, 2, 5, 13]), ascending=st.booleans(),
)
def test_sort_by_is_sorted_and_stable(
    sc: Context, data: list[Any], count: int, width: int | None, ascending: bool
) -> None:
    numbered = list(enumerate(data))  # equal keys can be told apart
    expected = sorted(numbered, key=second, reverse=not ascending)
    made = sc.parallelize(numbered, count).sortBy(second, ascending, width)
    assert made.collect() == expected
    assert made.getNumPartitions() == (width or count)
    swapped = [(value, i) for i, value in numbered]
    by_key = sc.parallelize(swapped, count).sortByKey(ascending, width)
    assert by_key.collect() == sorted(swapped, key=first, reverse=not ascending)


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize(("count", "width"), [(1, 1), (1, 6), (8, 3), (30, 7)])
def test_a_large_shuffled_input_is_sorted_into_even_partitions(
    sc: Context, count: int, width: int, ascending: bool
) -> None:
    data = list(range(5000))
    random.Random(1).shuffle(data)
    made = sc.parallelize(data, count).sortBy(lambda x: x, ascending, width)
    assert made.collect() == sorted(data, reverse=not ascending)
    assert max(sizes(made)) < 3 * len(data) / width


@pytest.mark.parametrize("ascending", [True, False])
def test_equal_keys_are_spread_over_partitions_in_their_order(sc: Context, ascending: bool) -> None:
    made = sc.parallelize([("same", i) for i in range(4000)], 8).sortByKey(ascending, 4)
    assert made.values().collect() == list(range(4000))
    assert all(700 < size < 1300 for size in sizes(made)), sizes(made)


def test_one_common_key_among_others_does_not_fill_a_partition_alone(sc: Context) -> None:
    rng = random.Random(2)
    data = [(50 if rng.random() < 0.7 else rng.randrange(100), i) for i in range(5000)]
    made = sc.parallelize(data, 5).sortByKey(numPartitions=6)
    assert made.collect() == sorted(data, key=first)
    assert max(sizes(made)) < 2 * len(data) / 6


def test_skewed_input_partitions_make_even_sorted_ones(sc: Context) -> None:
    rdd = sc.parallelize(range(6), 6).flatMap(lambda x: range(x * 1000, x * 1000 + (4000 if x == 3 else 20)))
    made = rdd.sortBy(lambda x: -x, numPartitions=4)
    assert made.collect() == sorted(rdd.collect(), reverse=True)
    assert max(sizes(made)) < 2000


@pytest.mark.parametrize(("data", "count"), [([], 1), ([], 4), ([7], 4), ([2, 1], 9)])
def test_few_or_no_records_sort_too(sc: Context, data: list[int], count: int) -> None:
    for width in (None, 1, 8):
        assert sc.parallelize(data, count).sortBy(lambda x: x, numPartitions=width).collect() == sorted(data)
    assert sc.emptyRDD().sortBy(lambda x: x).collect() == []
    assert sc.emptyRDD().sortByKey().collect() == []


def test_keys_need_only_be_comparable(sc: Context) -> None:
    data = [Plain(i * 7 % 20) for i in range(20)]
    for ascending in (True, False):
        made = sc.parallelize(data, 4).sortBy(lambda x: x, ascending, 3).collect()
        assert made == sorted(data, reverse=not ascending)
    lists = [([i % 3, -i], i) for i in range(30)]
    assert sc.parallelize(lists, 4).sortByKey(numPartitions=3).collect() == sorted(lists, key=first)


def test_a_keyfunc_orders_keys(sc: Context) -> None:
    data = [("b", 1), ("A", 2), ("a", 3), ("B", 4), (None, 5)]
    made = sc.parallelize(data, 3).sortByKey(True, 2, keyfunc=lambda key: (key or "").lower())
    assert made.collect() == [(None, 5), ("A", 2), ("a", 3), ("b", 1), ("B", 4)]


def test_mixed_types_sort_by_a_key_of_one_type(sc: Context) -> None:
    data = [3, "a", None, 2.5, "b", (1,)]
    assert sc.parallelize(data, 3).sortBy(repr, False, 3).collect() == sorted(data, key=repr, reverse=True)


def test_infinities_and_huge_numbers_sort(sc: Context) -> None:
    data = [float("inf"), -float("inf"), 0.0, 2**80, -(2**80), 1e300, -1e-300]
    assert sc.parallelize(data, 3).sortBy(lambda x: x, numPartitions=4).collect() == sorted(data)


def test_sorts_of_sorts_and_of_shuffles(sc: Context) -> None:
    data = [(i % 7, i % 5) for i in range(100)]
    twice = sc.parallelize(data, 4).sortBy(second).sortBy(first)
    assert twice.collect() == sorted(sorted(data, key=second), key=first)
    counted = sc.parallelize(data, 4).map(lambda kv: (kv[0], 1)).reduceByKey(lambda a, b: a + b, 3).sortByKey(False)
    assert counted.collect() == [(6, 14), (5, 14), (4, 14), (3, 14), (2, 14), (1, 15), (0, 15)]
    assert counted.map(lambda kv: kv[0]).sortBy(lambda x: x).take(3) == [0, 1, 2]


@about_keeping
def test_sorting_runs_nothing_until_an_action_and_samples_once(sc: Context, calls: Calls) -> None:
    made = sc.parallelize(range(50), 5).map(calls).sortBy(lambda x: -x)
    again = made.map(str)
    assert calls.count() == 0
    assert made.take(2) == [49, 48]
    assert calls.count() == 100  # once for the sample, once for the sort
    assert again.first() == "49"
    assert made.count() == 50
    assert calls.count() == 0

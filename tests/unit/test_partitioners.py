"""Partitioners: placement, balance, stability, and errors for records that they cannot take."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from operator import itemgetter
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpirdd.ops.hashing import stable_hash
from mpirdd.ops.partitioners import FunctionPartitioner, HashPartitioner, Partitioner
from mpirdd.ops.range_bounds import Bound, range_bounds, sample_keys
from mpirdd.ops.range_partitioner import RangePartitioner
from mpirdd.protocol.errors import RecordError, UsageError

Pair = tuple[Any, Any]


def double(key: Any) -> int:
    return 2 * int(key)


def sorting(
    sources: list[list[Pair]],
    partitions: int,
    *,
    ascending: bool = True,
    keyfunc: Callable[[Any], Any] | None = None,
    size: int = 200,
) -> RangePartitioner:
    """The partitioner that a sort of these map partitions would use."""
    samples = []
    for source, records in enumerate(sources):
        keys = (key if keyfunc is None else keyfunc(key) for key, _ in records)
        samples.append(sample_keys(keys, size, seed=source))
    bounds = range_bounds(samples, partitions, ascending=ascending)
    return RangePartitioner(partitions, bounds, ascending, keyfunc)


def shuffled(partitioner: Partitioner, sources: list[list[Pair]]) -> list[list[Pair]]:
    """The records of each target partition, in the order of the map partitions."""
    splits = [partitioner.split(iter(records), source) for source, records in enumerate(sources)]
    return [list(chain.from_iterable(column)) for column in zip(*splits, strict=True)]


def numbered(sources: list[list[Any]]) -> list[list[Pair]]:
    """Each key paired with its place, so an unstable sort shows."""
    return [[(key, (source, place)) for place, key in enumerate(keys)] for source, keys in enumerate(sources)]


# Hash and function partitioners

NUMBERS = st.integers() | st.floats() | st.fractions() | st.booleans()
KEYS = NUMBERS | st.text() | st.binary() | st.none() | st.tuples(st.integers(), st.text())


@given(st.lists(st.tuples(KEYS, st.integers())), st.integers(1, 9))
def test_hash_split_places_the_same_objects_in_order_by_stable_hash(records: list[Pair], n: int) -> None:
    partitioner = HashPartitioner(n)
    buckets = partitioner.split(iter(records), 0)
    expected = [[record for record in records if stable_hash(record[0]) % n == place] for place in range(n)]
    assert [list(map(id, bucket)) for bucket in buckets] == [list(map(id, bucket)) for bucket in expected]
    assert all(partitioner(key) == place for place, bucket in enumerate(buckets) for key, _ in bucket)


def test_text_with_lone_surrogates_has_a_place() -> None:
    (bucket,) = HashPartitioner(1).split([("\udc80", 1), ("é", 2)], 0)
    assert bucket == [("\udc80", 1), ("é", 2)]
    assert HashPartitioner(64).split([("\udc80", 1)], 0)[HashPartitioner(64)("\udc80")] == [("\udc80", 1)]


def test_equal_keys_of_different_types_meet() -> None:
    same = [1, 1.0, True, Fraction(1), np.int64(1), np.float32(1)]
    buckets = HashPartitioner(1000).split([(key, 0) for key in same], 0)
    assert sorted(map(len, buckets))[-1] == len(same)


def test_ints_go_to_their_remainder_and_none_to_partition_0_as_in_pyspark() -> None:
    partitioner = HashPartitioner(4)
    assert [partitioner(key) for key in (0, 5, -3, None, 7.0)] == [0, 1, 1, 0, 3]
    assert partitioner(-1) == -2 % 4


def test_pairs_may_be_lists_and_tuple_subclasses() -> None:
    records = [[1, "a"], Bound(1, 2.0)]
    assert HashPartitioner(2).split(records, 0)[1] == records


@given(st.lists(st.tuples(st.integers(), st.integers())), st.integers(1, 9))
def test_a_function_places_keys_by_its_remainder(records: list[Pair], n: int) -> None:
    partitioner = FunctionPartitioner(n, double)
    buckets = partitioner.split(records, 0)
    assert buckets == [[record for record in records if 2 * record[0] % n == place] for place in range(n)]
    assert all(partitioner(key) == 2 * key % n for key, _ in records)


def test_a_function_may_give_any_integer_type() -> None:
    assert FunctionPartitioner(4, np.int64)(-1) == 3
    assert FunctionPartitioner(4, np.int64).split([(-1, 0)], 0)[3] == [(-1, 0)]
    assert FunctionPartitioner(4, lambda key: key > 1)(2) == 1


@pytest.mark.parametrize("place", [1.5, "1", "%d", None, [1], b"%d"], ids=repr)
def test_a_function_that_gives_no_int_is_named(place: Any) -> None:
    def everywhere(key: Any) -> Any:
        return place

    partitioner = FunctionPartitioner(4, everywhere)
    for attempt in (lambda: partitioner(7), lambda: partitioner.split([(7, 0)], 0)):
        with pytest.raises(RecordError, match=r"everywhere must return an int; for the key 7 \(int\) it"):
            attempt()


# What is wrong, and whose fault it is

ANY_PARTITIONER = [
    HashPartitioner(3),
    FunctionPartitioner(3, hash),
    RangePartitioner(3, (Bound(1), Bound(5))),
    RangePartitioner(3, (Bound(1), Bound(5)), True, abs),
]
by_kind = pytest.mark.parametrize("partitioner", ANY_PARTITIONER, ids=lambda one: type(one).__name__)
NO_PAIRS = [5, None, "ab", "word", b"ab", (1,), (1, 2, 3), {1: 2, 3: 4}, {1, 2}]


@by_kind
@pytest.mark.parametrize("record", NO_PAIRS, ids=repr)
def test_a_record_that_is_no_pair_is_shown_with_its_type(partitioner: Partitioner, record: Any) -> None:
    with pytest.raises(RecordError) as caught:
        partitioner.split(iter([(1, 2), record]), 0)
    assert f"got {record!r} ({type(record).__name__})" in str(caught.value)


@by_kind
@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError])
@pytest.mark.parametrize("good", [0, 2])
def test_what_the_records_iterator_raises_passes_through(
    partitioner: Partitioner, error: type[Exception], good: int
) -> None:
    def records() -> Iterator[Pair]:
        yield from [(1, 2)] * good
        raise error("mine")

    with pytest.raises(error, match="mine") as caught:
        partitioner.split(records(), 0)
    assert type(caught.value) is error


def test_what_a_users_function_raises_passes_through() -> None:
    def fails(key: Any) -> Any:
        if key != 0:
            raise TypeError("mine")
        return 0

    for partitioner in (FunctionPartitioner(3, fails), RangePartitioner(3, (Bound(1),), True, fails)):
        for attempt in (
            lambda one=partitioner: one.split([(0, 0), ("a", 0)], 0),
            lambda one=partitioner: one("a"),
        ):
            with pytest.raises(TypeError, match="mine") as caught:
                attempt()
            assert type(caught.value) is TypeError


def test_a_key_that_cannot_be_hashed_is_shown_with_its_type() -> None:
    with pytest.raises(RecordError, match=r"\[1, 2\] \(list\).*use a tuple"):
        HashPartitioner(3).split([(1, 0), ([1, 2], 0)], 0)


@pytest.mark.parametrize("key", [None, "a", (1,), 1j], ids=repr)
def test_sort_keys_that_do_not_compare_are_reported(key: Any) -> None:
    partitioner = RangePartitioner(3, (Bound(1), Bound(5)))
    for attempt in (
        lambda: partitioner.split([(1, 0), (key, 0)], 0),
        lambda: partitioner(key),
        lambda: range_bounds([(2, [1, key])], 3),
    ):
        with pytest.raises(RecordError, match=r"no order: .*not supported.*keyfunc"):
            attempt()


def test_a_number_of_partitions_below_none_is_refused() -> None:
    for make in (
        lambda: HashPartitioner(-1),
        lambda: FunctionPartitioner(-1, hash),
        lambda: RangePartitioner(-1, ()),
    ):
        with pytest.raises(UsageError, match="at least 0, not -1"):
            make()


def test_more_bounds_than_partitions_are_refused() -> None:
    with pytest.raises(AssertionError):
        RangePartitioner(3, (Bound(1), Bound(2), Bound(3)))


# Values


def test_equal_partitioners_compare_and_hash_equal_also_after_pickling() -> None:
    def make() -> list[Partitioner]:
        return [
            HashPartitioner(3),
            HashPartitioner(4),
            FunctionPartitioner(3, hash),
            FunctionPartitioner(3, double),
            RangePartitioner(3, (Bound(1), Bound(5))),
            RangePartitioner(3, (Bound(5), Bound(1)), False),
            RangePartitioner(3, (Bound([1]), Bound([5], 0.5))),
        ]

    some, same = make(), pickle.loads(pickle.dumps(make()))
    assert some == same
    assert list(map(hash, some)) == list(map(hash, same))
    assert all((one == other) is (i == j) for i, one in enumerate(some) for j, other in enumerate(some))


def test_a_sort_keeps_a_key_in_one_partition_unless_it_would_fill_one() -> None:
    for keys, most in ((list(range(100)), 1), ([7] * 100, 4)):
        data = numbered([keys])
        parts = [{key for key, _ in part} for part in shuffled(sorting(data, 4), data)]
        assert all(sum(key in part for part in parts) == most for key in keys)


def test_a_keyfunc_may_tell_equal_keys_apart_so_a_sort_may_part_them() -> None:
    data = [[(1, "a"), (1.0, "b")]]
    partitioner = sorting(data, 2, keyfunc=str)
    assert shuffled(partitioner, data) == [[(1, "a")], [(1.0, "b")]]


# Sampling


@pytest.mark.parametrize("total", [0, 1, 9, 10, 11, 1033, 1034, 1035, 5000])
def test_a_sample_has_its_size_and_the_count_is_exact(total: int) -> None:
    count, keys = sample_keys(iter(range(total)), 10, seed=1)
    assert count == total
    assert len(keys) == len(set(keys)) == min(10, total)
    assert set(keys) <= set(range(total))


def test_a_sample_repeats_with_its_seed_and_changes_with_it() -> None:
    assert sample_keys(range(5000), 10, seed=1) == sample_keys(range(5000), 10, seed=1)
    assert sample_keys(range(5000), 10, seed=1) != sample_keys(range(5000), 10, seed=2)


def test_every_key_has_the_same_chance_to_be_sampled() -> None:
    rounds, total, size = 4000, 60, 6
    hits = Counter(chain.from_iterable(sample_keys(range(total), size, seed)[1] for seed in range(rounds)))
    expected = rounds * size / total
    chi_square = sum((hits[key] - expected) ** 2 / expected for key in range(total))
    assert chi_square < 59 + 5 * math.sqrt(2 * 59)


# Bounds and balance


def test_bounds_are_the_quantiles_of_what_was_sampled() -> None:
    assert [bound.key for bound in range_bounds([(100, range(100))], 4)] == [24, 49, 74]
    assert range_bounds([], 4) == range_bounds([(0, [])], 4) == ()
    assert range_bounds([(5, [1, 2])], 1) == ()


def test_a_sampled_key_weighs_what_it_stands_for() -> None:
    large, small = (900, range(9)), (100, range(100, 110))
    assert [bound.key for bound in range_bounds([large, small], 2)] == [4]


def test_bounds_of_a_descending_sort_are_quantiles_from_the_top() -> None:
    assert [bound.key for bound in range_bounds([(100, range(100))], 4, ascending=False)] == [75, 50, 25]


def test_a_key_heavier_than_a_partition_is_shared_out_by_where_it_was_sampled() -> None:
    keys = [1] * 10 + [2] * 60 + [3] * 10
    bounds = range_bounds([(80, keys)], 4)
    assert [bound.key for bound in bounds] == [2, 2, 2]
    assert [bound.until for bound in bounds] == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    late = [(4, [1] * 4), (0, []), (2, [2, 2]), (30, [2, 2, 2])]
    assert [bound.until for bound in range_bounds(late, 3)] == pytest.approx([3.2, 3.6])
    downwards = range_bounds(late, 3, ascending=False)
    assert [bound.until for bound in downwards] == pytest.approx([3 + 10 / 30, 3 + 22 / 30])


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("partitions", [2, 3, 5, 8])
@pytest.mark.parametrize("sources", [1, 2, 5])
def test_10000_equal_keys_spread_evenly_and_in_order(sources: int, partitions: int, ascending: bool) -> None:
    data = numbered([["same"] * (10000 // sources)] * sources)
    parts = shuffled(sorting(data, partitions, ascending=ascending), data)
    assert max(map(len, parts)) - min(map(len, parts)) <= sources + 1
    assert list(chain(*parts)) == list(chain(*data))


def skewed(random: Random) -> float:
    return math.floor(random.paretovariate(1.0))


@pytest.mark.parametrize("ascending", [True, False])
def test_a_heavy_key_spreads_evenly_when_only_few_sources_have_it(ascending: bool) -> None:
    keys = sorted([*range(4000), *[2000] * 6000])
    data = numbered([keys[begin : begin + 1000] for begin in range(0, 10000, 1000)])
    parts = shuffled(sorting(data, 5, ascending=ascending, size=500), data)
    assert max(map(len, parts)) < 1.1 * 2000
    assert [r for part in parts for r in part if r[0] == 2000] == [r for r in chain(*data) if r[0] == 2000]


DRAWS: dict[str, Callable[[Random], Any]] = {
    "uniform": lambda random: random.random(),
    "skewed": skewed,
    "two values": lambda random: random.random() < 0.3,
    "half of them one value": lambda random: max(0.5, random.random()),
    "text": lambda random: f"w{skewed(random)}",
}


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_partitions_are_about_equal(draw: Callable[[Random], Any], ascending: bool) -> None:
    random = Random(5)
    data = numbered([[draw(random) for _ in range(count)] for count in (8000, 3000, 1000)])
    parts = shuffled(sorting(data, 6, ascending=ascending, size=1000), data)
    assert sum(map(len, parts)) == 12000
    # A key that is nearly as heavy as a partition but not shared can nearly double one.
    most = 2.2 if draw in (skewed, DRAWS["text"]) else 1.3
    assert max(map(len, parts)) < most * 12000 / 6


# Sorting

FEW_KEYS = st.integers(0, 3) | st.integers() | st.floats(allow_nan=False)


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("keyfunc", [None, abs, lambda key: [str(key)]])
@pytest.mark.parametrize("size", [3, 1000])
@given(st.lists(st.lists(FEW_KEYS, max_size=30), min_size=1, max_size=4), st.integers(1, 7))
def test_a_stable_sort_of_each_partition_is_a_stable_sort_of_all(
    size: int, keyfunc: Any, ascending: bool, sources: list[list[Any]], partitions: int
) -> None:
    data = numbered(sources)
    partitioner = sorting(data, partitions, ascending=ascending, keyfunc=keyfunc, size=size)

    def sort(records: list[Pair]) -> list[Pair]:
        by = itemgetter(0) if keyfunc is None else lambda record: keyfunc(record[0])
        return sorted(records, key=by, reverse=not ascending)

    parts = shuffled(partitioner, data)
    assert list(chain(*map(sort, parts))) == sort(list(chain(*data)))
    for key, _ in chain(*data):
        holders = [place for place, part in enumerate(parts) if key in map(itemgetter(0), part)]
        if keyfunc is None:  # one may tell equal keys apart: str does so with 1 and 1.0
            assert holders[0] >= partitioner(key)
            assert partitioner._shared or holders == [partitioner(key)]


def test_without_samples_the_first_partition_takes_all() -> None:
    for ascending in (True, False):
        partitioner = sorting([], 4, ascending=ascending)
        assert partitioner.split([(1, 0)], 0) == [[(1, 0)], [], [], []]
        assert partitioner(1) == 0


@pytest.mark.parametrize("ascending", [True, False])
@given(st.lists(st.sampled_from([math.nan, 1.0, 2.0, 3.0, 4.0]), max_size=40))
def test_nan_has_no_place_in_an_order_but_no_record_is_lost(ascending: bool, keys: list[float]) -> None:
    data = numbered([keys, keys])
    parts = shuffled(sorting(data, 4, ascending=ascending), data)
    assert sorted(record[1] for part in parts for record in part) == [place for _, place in chain(*data)]


def test_sort_keys_need_only_less_than() -> None:
    class Version:
        def __init__(self, text: str) -> None:
            self.numbers = [int(part) for part in text.split(".")]

        def __lt__(self, other: Version) -> bool:
            return self.numbers < other.numbers

    data = numbered([["1.10", "1.9", "1.2", "1.10"], ["1.10", "0.3"] * 10])
    for ascending in (True, False):
        parts = shuffled(sorting(data, 3, ascending=ascending, keyfunc=Version), data)
        by = [sorted(part, key=lambda record: Version(record[0]), reverse=not ascending) for part in parts]
        assert list(chain(*by)) == sorted(chain(*data), key=lambda r: Version(r[0]), reverse=not ascending)

"""Every wide operation with a memory budget of 1 MiB a rank and several MB of data, against plain Python.

The tests count and sum within partitions, since collecting the data would only move it. Where a
task must have spilled, a step behind the operation reports what its memory has written.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from operator import add
from typing import Any

import pytest

from mpirdd import RDD, Context
from mpirdd.api.results import ResultIterable
from mpirdd.ops.current_task import current_task

pytestmark = pytest.mark.timeout(300)

PARTS = 6
RECORDS = 32_000
KEYS = 8_000
"""With some 100 bytes for each record in memory, a partition of the shuffled data is as large as the budget."""
SKEWED = -1


@pytest.fixture(scope="module")
def tiny() -> Iterator[Context]:
    with Context(memory=1 << 20) as context:
        yield context


def pair(place: int) -> tuple[int, str]:
    return place * 7919 % KEYS, f"value {place:010d}"


def skewed(place: int) -> tuple[int, str]:
    """Half of the records have one key."""
    return (SKEWED if place % 2 else place * 7919 % KEYS), f"value {place:010d}"


def records(make: Callable[[int], Any], count: int = RECORDS) -> list[Any]:
    return list(map(make, range(count)))


def groups_of(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    grouped: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        grouped[key].append(value)
    return dict(grouped)


def spilled(rdd: RDD) -> int:
    """Bytes that the tasks which compute ``rdd`` write to spill files."""
    rdd.cleanShuffleDependencies()  # or mode mapreduce would read what an earlier job has written

    def written(part: Iterable[Any]) -> Iterator[int]:
        for _ in part:
            pass
        task = current_task()
        assert task is not None
        yield task.memory.spilled_bytes

    return int(rdd.mapPartitions(written).sum())


def same(rdd: RDD, expected: Iterable[Any]) -> bool:
    """The same records, in any order."""
    return Counter(rdd.collect()) == Counter(expected)


def test_reduce_by_key(tiny: Context) -> None:
    sums = tiny.parallelize(range(RECORDS), PARTS).map(pair).mapValues(lambda value: (value,)).reduceByKey(add, 2)
    assert same(sums.mapValues(sorted).mapValues(tuple),
                ((key, tuple(sorted(values))) for key, values in groups_of(records(pair)).items()))
    assert spilled(sums) > 0


def test_aggregate_by_key_with_a_combiner_that_changes_its_argument(tiny: Context) -> None:
    def put(values: set[str], value: str) -> set[str]:
        values.add(value)
        return values

    def join(values: set[str], more: set[str]) -> set[str]:
        values |= more
        return values

    sets = tiny.parallelize(range(RECORDS), PARTS).map(pair).aggregateByKey(set(), put, join, 2)
    assert same(sets.mapValues(frozenset), ((key, frozenset(values)) for key, values in groups_of(records(pair)).items()))
    assert spilled(sets) > 0


def test_distinct(tiny: Context) -> None:
    values = tiny.parallelize(range(RECORDS), PARTS).map(lambda place: f"{place % 30_000:060d}").distinct(2)
    assert same(values, (f"{place:060d}" for place in range(30_000)))
    assert spilled(values) > 0


@pytest.mark.parametrize("make", [pair, skewed])
def test_group_by_key_keeps_the_order_of_values(tiny: Context, make: Callable[[int], Any]) -> None:
    groups = tiny.parallelize(range(RECORDS), PARTS).map(make).groupByKey(2)
    lengths = groups.mapValues(lambda values: (len(values), sum(1 for _ in values), list(values) == sorted(values)))
    assert same(lengths, ((key, (len(values), len(values), True)) for key, values in groups_of(records(make)).items()))
    assert spilled(groups) > 0


def test_a_skewed_group_is_collected_whole(tiny: Context) -> None:
    (group,) = tiny.parallelize(range(RECORDS), PARTS).map(skewed).groupByKey(2).lookup(SKEWED)
    assert isinstance(group, ResultIterable)
    assert list(group) == groups_of(records(skewed))[SKEWED]


def test_a_skewed_group_that_is_cached_can_be_read_by_later_jobs(tiny: Context) -> None:
    groups = tiny.parallelize(range(RECORDS), PARTS).map(skewed).groupByKey(2).cache()
    for _ in range(2):
        assert groups.mapValues(lambda values: sum(1 for _ in values)).lookup(SKEWED) == [RECORDS // 2]


def test_grouping_without_a_shuffle_spills_too(tiny: Context) -> None:
    here = tiny.parallelize(range(RECORDS), PARTS).map(skewed).partitionBy(2)
    groups = here.groupByKey(2)
    assert same(groups.mapValues(len), ((key, len(values)) for key, values in groups_of(records(skewed)).items()))
    assert spilled(groups) > 0
    longest = here.reduceByKey(max, 2)
    assert same(longest, ((key, max(values)) for key, values in groups_of(records(skewed)).items()))


@pytest.mark.parametrize("make", [pair, skewed])
def test_cogroup(tiny: Context, make: Callable[[int], Any]) -> None:
    left = tiny.parallelize(range(RECORDS), PARTS).map(make)
    right = tiny.parallelize(range(0, 2 * RECORDS, 2), PARTS).map(make)
    both = left.cogroup(right, 2)
    mine, theirs = groups_of(records(make)), groups_of(map(make, range(0, 2 * RECORDS, 2)))
    assert same(both.mapValues(lambda groups: tuple((len(group), list(group) == sorted(group)) for group in groups)),
                ((key, ((len(mine.get(key, ())), True), (len(theirs.get(key, ())), True))) for key in {*mine, *theirs}))
    assert spilled(both) > 0


def test_joins(tiny: Context) -> None:
    left = tiny.parallelize(range(RECORDS), PARTS).map(pair)
    right = tiny.parallelize(range(8_000), PARTS).map(lambda place: (place + KEYS - 4_000, f"other {place:08d}"))
    mine, theirs = groups_of(records(pair)), {place + KEYS - 4_000: f"other {place:08d}" for place in range(8_000)}
    inner = [(key, (value, theirs[key])) for key, values in mine.items() if key in theirs for value in values]
    only_left = [(key, (value, None)) for key, values in mine.items() if key not in theirs for value in values]
    only_right = [(key, (None, value)) for key, value in theirs.items() if key not in mine]
    assert same(left.join(right, 2), inner)
    assert same(left.leftOuterJoin(right, 2), inner + only_left)
    assert same(left.rightOuterJoin(right, 2), inner + only_right)
    assert same(left.fullOuterJoin(right, 2), inner + only_left + only_right)
    assert spilled(left.join(right, 2)) > 0


def test_a_join_of_two_skewed_groups_makes_every_combination(tiny: Context) -> None:
    # Mode mapreduce writes every combination to a file: few large ones, as the other way it would be 19 GB.
    count, digits = (12_000, 60) if tiny.settings.mode == "memory" else (60, 40_000)
    left = tiny.parallelize(range(count), 3).map(lambda place: ("skewed", f"{place:0{digits}d}"))
    right = tiny.parallelize(range(40), 2).map(lambda place: ("skewed", bytes(40_000) + bytes([place])))
    joined = left.join(right, 2).values().map(lambda both: int(both[0][-9:]) * 40 + both[1][-1])
    assert (joined.count(), joined.sum()) == (40 * count, sum(range(40 * count)))
    assert spilled(joined) > 0


def test_set_operations(tiny: Context) -> None:
    left = tiny.parallelize(range(RECORDS), PARTS).map(lambda place: f"{place:050d}")
    right = tiny.parallelize(range(0, 2 * RECORDS, 3), PARTS).map(lambda place: f"{place:050d}")
    assert same(left.intersection(right), (f"{place:050d}" for place in range(0, RECORDS, 3)))
    assert same(left.subtract(right, 2), (f"{place:050d}" for place in range(RECORDS) if place % 3))
    by_key = left.map(lambda text: (text, 1)).subtractByKey(right.map(lambda text: (text, None)), 2)
    assert same(by_key, ((f"{place:050d}", 1) for place in range(RECORDS) if place % 3))
    assert spilled(by_key) > 0


@pytest.mark.parametrize("ascending", [True, False])
def test_sorts_are_in_order_and_stable(tiny: Context, ascending: bool) -> None:
    data = [(place * 7919 % 500, f"value {place:010d}") for place in range(RECORDS)]
    by_key = tiny.parallelize(data, PARTS).sortByKey(ascending, 2)
    assert by_key.collect() == sorted(data, key=lambda record: record[0], reverse=not ascending)
    assert spilled(by_key) > 0
    by_value = tiny.parallelize(data, PARTS).sortBy(lambda record: record[1], ascending, 2)
    assert by_value.collect() == sorted(data, key=lambda record: record[1], reverse=not ascending)


def test_a_sort_of_mostly_one_key_is_stable_and_spread_over_the_partitions(tiny: Context) -> None:
    data = [(place % 10 // 9, f"value {place:010d}") for place in range(RECORDS)]
    in_order = tiny.parallelize(data, PARTS).sortByKey(numPartitions=4)
    assert in_order.collect() == sorted(data, key=lambda record: record[0])
    assert max(in_order.glom().map(len).collect()) < RECORDS // 2


def test_repartition_and_sort_within_partitions(tiny: Context) -> None:
    moved = tiny.parallelize(range(RECORDS), PARTS).map(pair).repartitionAndSortWithinPartitions(3, lambda key: key % 3)
    expected = [sorted((record for record in records(pair) if record[0] % 3 == part), key=lambda record: record[0])
                for part in range(3)]
    assert moved.glom().collect() == expected
    assert spilled(moved) > 0


def test_repartition_and_partition_by_move_everything_once(tiny: Context) -> None:
    data = tiny.parallelize(range(RECORDS), PARTS).map(pair)
    assert same(data.repartition(3), records(pair))
    assert same(data.partitionBy(5), records(pair))


def test_a_skewed_shuffle_puts_half_of_the_data_into_one_partition(tiny: Context) -> None:
    moved = tiny.parallelize(range(RECORDS), PARTS).map(skewed).partitionBy(4)
    assert same(moved, records(skewed))
    assert max(moved.glom().map(len).collect()) >= RECORDS // 2


def test_cartesian_products_of_partitions_that_do_not_fit(tiny: Context) -> None:
    left = tiny.parallelize(range(60), 2)
    right = tiny.parallelize(range(9_000), 2).map(lambda place: f"{place:060d}")
    crossed = left.cartesian(right).map(lambda both: both[0] * 9_000 + int(both[1]))
    assert (crossed.count(), crossed.sum()) == (540_000, sum(range(540_000)))
    assert spilled(crossed) > 0


def test_operations_after_one_another_in_one_task_share_the_memory(tiny: Context) -> None:
    data = tiny.parallelize(range(RECORDS), PARTS).map(pair)
    chained = data.groupByKey(2).flatMapValues(list).map(lambda record: (record[1], record[0])).sortByKey(numPartitions=2)
    expected = sorted((value, key) for key, value in records(pair))
    assert chained.collect() == expected


def test_small_products_agree_with_itertools(tiny: Context) -> None:
    assert sorted(tiny.parallelize(range(5), 2).cartesian(tiny.parallelize("abc", 2)).collect()) == sorted(
        product(range(5), "abc"))

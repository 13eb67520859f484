"""Operations on pairs, against dicts: results, partition counts, partitioners, and data that they
do not move."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, datetime, timezone
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from operator import add
from typing import Any

import pytest
from beside import Calls, Cell, Plain, Point, about_keeping, blocks_held, on_every_executor, sizes
from hypothesis import given
from hypothesis import strategies as st

from mpirdd import RDD, Context

KEYS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.0, 1.0, 0.5, 2.0**70]),
    st.text("ab\xe9\U0001f40d", max_size=2), st.binary(max_size=1), st.dates(max_value=date(1, 1, 3)),
    st.tuples(st.integers(0, 1), st.none() | st.text("a", max_size=1)),
)
PAIRS = st.lists(st.tuples(KEYS, st.integers(-5, 5)), max_size=40)
PARTITIONS = st.integers(1, 7)
WIDTHS = st.sampled_from([None, 1, 2, 3, 11])
WORDS = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5), ("a", 6)]


def groups(pairs: list[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    """The oracle of everything by key: key -> its values, in order."""
    made: dict[Any, list[Any]] = {}
    for key, value in pairs:
        made.setdefault(key, []).append(value)
    return made


def as_dict(rdd: RDD) -> dict[Any, Any]:
    """The pairs as a dict; fails when two have one key."""
    pairs = rdd.collect()
    made = dict(pairs)
    assert len(made) == len(pairs)
    return made


# --- combining by key -------------------------------------------------------------------------------------------------


@given(pairs=PAIRS, count=PARTITIONS, width=WIDTHS)
def test_by_key_operations_agree_with_dicts(sc: Context, pairs: list[Any], count: int, width: int | None) -> None:
    rdd, expected = sc.parallelize(pairs, count), groups(pairs)
    sums = {key: sum(values) for key, values in expected.items()}
    assert as_dict(rdd.reduceByKey(add, width)) == sums
    assert as_dict(rdd.foldByKey(0, add, width)) == sums
    assert as_dict(rdd.aggregateByKey(0, add, add, width)) == sums
    assert as_dict(rdd.groupByKey(width).mapValues(list)) == expected
    listed = rdd.combineByKey(lambda v: [v], lambda c, v: [*c, v], lambda c, d: c + d, width)
    assert as_dict(listed) == expected
    assert dict(rdd.countByKey()) == {key: len(values) for key, values in expected.items()}
    assert rdd.collectAsMap() == dict(pairs)
    for made in (rdd.reduceByKey(add, width), rdd.groupByKey(width), listed):
        assert made.getNumPartitions() == (width or count)


@given(pairs=PAIRS, count=PARTITIONS)
def test_narrow_pair_operations_keep_order_and_keys(sc: Context, pairs: list[Any], count: int) -> None:
    rdd = sc.parallelize(pairs, count)
    assert rdd.keys().collect() == [key for key, _ in pairs]
    assert rdd.values().collect() == [value for _, value in pairs]
    assert rdd.mapValues(lambda v: -v).collect() == [(key, -value) for key, value in pairs]
    assert rdd.flatMapValues(range).collect() == [(key, i) for key, value in pairs for i in range(value)]


def test_a_reduction_that_is_not_commutative_follows_the_order_of_the_records(sc: Context) -> None:
    letters = [(i % 3, chr(97 + i)) for i in range(26)]
    expected = {key: "".join(values) for key, values in groups(letters).items()}
    assert as_dict(sc.parallelize(letters, 6).reduceByKey(add, 2)) == expected


def test_zero_values_are_copied_for_each_key_and_partition(sc: Context) -> None:
    def append(values: list[int], value: int) -> list[int]:
        values.append(value)
        return values

    def extend(values: list[int], more: list[int]) -> list[int]:
        values.extend(more)
        return values

    zero: list[int] = []
    for _ in range(2):
        rdd = sc.parallelize(WORDS, 3).aggregateByKey(zero, append, extend)
        assert as_dict(rdd) == groups(WORDS) == as_dict(rdd)
    assert zero == []


def test_fold_by_key_uses_zero_once_a_key_and_partition(sc: Context) -> None:
    assert as_dict(sc.parallelize([("a", 1)] * 4, 2).foldByKey(10, add)) == {"a": 24}
    assert as_dict(sc.parallelize([("a", 1)] * 4, 1).aggregateByKey(10, add, add)) == {"a": 14}


def test_groups_have_a_length_and_can_be_iterated_again(sc: Context) -> None:
    made = dict(sc.parallelize(WORDS, 3).groupByKey().collect())
    assert {key: len(values) for key, values in made.items()} == {"a": 3, "b": 2, "c": 1}
    assert list(made["a"]) == list(made["a"]) == [1, 3, 6]


def test_values_may_be_anything(sc: Context) -> None:
    values = [None, [1], {"a": 1}, Point(1, "x"), Plain(3), lambda: 7]
    made = dict(sc.parallelize(list(enumerate(values)), 3).groupByKey(2).mapValues(list).collect())
    assert [made[i][0] for i in range(5)] == values[:5]
    assert made[5][0]() == 7


def test_empty_rdds_and_partitions_have_no_keys(sc: Context) -> None:
    full = sc.parallelize(WORDS, 2)
    for empty in (sc.emptyRDD(), sc.parallelize([], 1), sc.parallelize([], 9), full.filter(lambda kv: False)):
        assert empty.reduceByKey(add).collect() == empty.groupByKey().collect() == []
        assert empty.join(full).collect() == full.join(empty).collect() == empty.cogroup(empty).collect() == []
        assert empty.partitionBy(3).glom().collect() == [[], [], []]
        assert (dict(empty.countByKey()), empty.collectAsMap(), empty.lookup("a")) == ({}, {}, [])
        assert len(full.cogroup(empty).collect()) == 3


def test_one_hot_key_among_many_partitions(sc: Context) -> None:
    rdd = sc.parallelize([("hot", i) for i in range(5000)], 20)
    assert rdd.reduceByKey(add, 7).collect() == [("hot", sum(range(5000)))]
    assert [len(values) for _, values in rdd.groupByKey(7).collect()] == [5000]


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("equal", [
    (1, 1.0, True, Decimal(1), Fraction(1)), (0, 0.0, -0.0, False), (2**70, 2.0**70), ("é", "\xe9"), (b"x", b"x"),
    (None, None), ((1, "a"), (1.0, "a")), (Plain(3), Plain(3)), (Cell(1, "a"), Cell(1, "a")), (Point(1, "a"), (1, "a")),
    (frozenset([1, 2]), frozenset([2, 1])),
    (datetime(2020, 1, 1, 12, tzinfo=timezone.utc), datetime.fromisoformat("2020-01-01T13:00:00+01:00")),
], ids=lambda equal: type(equal[0]).__name__)
def test_equal_keys_meet_whatever_their_type_and_wherever_they_were_made(sc: Context, equal: tuple[Any, ...]) -> None:
    rdd = sc.parallelize([(key, 1) for key in equal] * 3, 8)
    assert [n for _, n in rdd.reduceByKey(add, 5).collect()] == [3 * len(equal)]
    assert [n for _, n in rdd.partitionBy(5).reduceByKey(add, 5).collect()] == [3 * len(equal)]
    assert len(rdd.join(rdd, 5).collect()) == (3 * len(equal)) ** 2


def test_numpy_keys_meet_pythons(sc: Context) -> None:
    numpy = pytest.importorskip("numpy")
    keys = [1, numpy.int64(1), numpy.float32(1), "a", numpy.str_("a")]
    assert as_dict(sc.parallelize([(key, 1) for key in keys], 5).reduceByKey(add, 3)) == {1: 3, "a": 2}


def test_nan_is_one_key_in_one_partition(sc: Context) -> None:
    rdd = sc.parallelize([(float("nan"), 1) for _ in range(6)], 6).partitionBy(4)
    assert sum(size > 0 for size in sizes(rdd)) == 1


def test_placement_does_not_depend_on_pythons_hash_seed(sc: Context, executors: int) -> None:
    keys = ["a", "ß", b"b", None, ("a", None), 1.5, frozenset("ab"), date(2020, 1, 1)]
    partitioner = sc.parallelize([(0, 0)]).partitionBy(1000).partitioner
    placed = on_every_executor(sc, lambda: ([partitioner(key) for key in keys], hash("a")))  # type: ignore[misc]
    assert all(places == placed[0][0] for places, _ in placed)
    if executors > 1 and not os.environ.get("PYTHONHASHSEED", "random").isdigit():
        assert len({seeded for _, seeded in placed}) > 1, "the executors share one hash seed, so this test says nothing"


# --- partitioning -----------------------------------------------------------------------------------------------------


@given(pairs=PAIRS, count=PARTITIONS, width=PARTITIONS)
def test_partition_by_puts_each_key_where_the_partitioner_says(
    sc: Context, pairs: list[Any], count: int, width: int
) -> None:
    rdd = sc.parallelize(pairs, count).partitionBy(width)
    parts = rdd.glom().collect()
    assert len(parts) == width
    assert rdd.partitioner is not None
    assert all(rdd.partitioner(key) == i for i, part in enumerate(parts) for key, _ in part)
    found = [pair for part in parts for pair in part]
    assert groups(found) == groups(pairs)


def test_a_partition_function_decides(sc: Context) -> None:
    rdd = sc.parallelize([(x, x) for x in range(-4, 6)], 3)
    assert rdd.partitionBy(3, lambda key: key).map(lambda kv: kv[0] % 3).glom().map(set).collect() == [{0}, {1}, {2}]
    assert sizes(rdd.partitionBy(4, lambda key: 10**12 + 3)) == [0, 0, 0, 10]
    assert sizes(rdd.groupByKey(2, lambda key: 0)) == [10, 0]
    assert sizes(rdd.reduceByKey(add, 2, lambda key: 1)) == [0, 10]


def test_ints_land_where_pyspark_puts_them(sc: Context) -> None:
    assert sc.parallelize([(x, x) for x in range(8)], 2).partitionBy(4).keys().glom().map(sorted).collect() == [
        [0, 4], [1, 5], [2, 6], [3, 7]]


def test_keys_keep_the_order_of_their_records_through_a_shuffle(sc: Context) -> None:
    moved = sc.parallelize([(i % 5, i) for i in range(200)], 8).partitionBy(3).collect()
    assert groups(moved) == {key: list(range(key, 200, 5)) for key in range(5)}


# As PySpark without spark.default.parallelism: a shuffle has as many partitions as its input, a join as both together.
@pytest.mark.parametrize(("operation", "expected"), [
    (lambda r, s: r.reduceByKey(add), 4),
    (lambda r, s: r.groupByKey(), 4),
    (lambda r, s: r.aggregateByKey(0, add, add), 4),
    (lambda r, s: r.foldByKey(0, add), 4),
    (lambda r, s: r.combineByKey(str, add, add), 4),
    (lambda r, s: r.groupBy(len), 4),
    (lambda r, s: r.distinct(), 4),
    (lambda r, s: r.sortByKey(), 4),
    (lambda r, s: r.sortBy(str), 4),
    (lambda r, s: r.partitionBy(None), 4),
    (lambda r, s: r.join(s), 4 + 3),
    (lambda r, s: r.cogroup(s), 4 + 3),
    (lambda r, s: r.join(s, 2), 2),
    (lambda r, s: r.union(s), 4 + 3),
    (lambda r, s: r.partitionBy(5).join(s.partitionBy(5)), 5),
    (lambda r, s: r.partitionBy(5).join(s), 5 + 3),
    (lambda r, s: r.partitionBy(5).reduceByKey(add), 5),
    (lambda r, s: r.partitionBy(5).union(s.partitionBy(5)), 5),
    (lambda r, s: r.partitionBy(5).map(lambda kv: kv).union(s.partitionBy(5)), 10),
])
def test_partition_counts_default_as_in_pyspark(
    sc: Context, operation: Callable[[RDD, RDD], RDD], expected: int
) -> None:
    made = operation(sc.parallelize(WORDS, 4), sc.parallelize(WORDS, 3))
    assert made.getNumPartitions() == expected
    assert len(made.glom().collect()) == expected


# --- joins ------------------------------------------------------------------------------------------------------------


@given(left=PAIRS, right=PAIRS, count=PARTITIONS, width=WIDTHS)
def test_join_and_cogroup_agree_with_nested_loops(
    sc: Context, left: list[Any], right: list[Any], count: int, width: int | None
) -> None:
    x, y = sc.parallelize(left, count), sc.parallelize(right, 2)
    joined = [(k, (v, w)) for k, v in left for j, w in right if j == k]
    assert Counter(x.join(y, width).collect()) == Counter(joined)
    expected = defaultdict(lambda: ([], []))  # type: ignore[var-annotated]
    for place, pairs in enumerate((left, right)):
        for key, value in pairs:
            expected[key][place].append(value)
    assert as_dict(x.cogroup(y, width).mapValues(lambda both: tuple(map(list, both)))) == expected


def test_a_join_with_itself_pairs_all_values_of_a_key(sc: Context) -> None:
    rdd = sc.parallelize(WORDS, 3)
    for same in (rdd, rdd.cache(), rdd.partitionBy(2), rdd.partitionBy(2).cache()):
        assert Counter(same.join(same).collect()) == Counter((k, (v, w)) for k, v in WORDS for j, w in WORDS if k == j)


def test_joins_of_joins_of_different_widths(sc: Context) -> None:
    rdds = [sc.parallelize([(x, i) for x in range(10)], i + 1).partitionBy(i + 1) for i in range(4)]
    joined = reduce(lambda a, b: a.join(b), rdds)
    assert as_dict(joined) == dict.fromkeys(range(10), (((0, 1), 2), 3))


@pytest.mark.parametrize("operation", [
    lambda x, y: x.join(y), lambda x, y: x.cogroup(y), lambda x, y: x.union(y), lambda x, y: x.reduceByKey(add),
    lambda x, y: x.groupByKey(), lambda x, y: x.foldByKey(0, add), lambda x, y: x.partitionBy(3),
    lambda x, y: x.join(y, 3),
])
def test_what_is_partitioned_alike_does_not_move(sc: Context, operation: Callable[[RDD, RDD], RDD]) -> None:
    x, y = (sc.parallelize(WORDS, n).partitionBy(3).cache() for n in (4, 2))
    assert x.count() + y.count() == 2 * len(WORDS)
    before = {block for block in blocks_held(sc) if block.kind != "rdd"}
    made = operation(x, y)
    made.count()
    assert {block for block in blocks_held(sc) if block.kind != "rdd"} == before


def test_partitions_that_are_joined_lie_on_one_executor(sc: Context) -> None:
    x, y = (sc.parallelize(WORDS, n).partitionBy(3).mapValues(lambda _: os.getpid()) for n in (4, 2))
    assert all(first == second for _, (first, second) in x.join(y).collect())


@about_keeping
def test_only_the_side_that_is_not_partitioned_moves(sc: Context, calls: Calls) -> None:
    here = sc.parallelize(WORDS, 4).partitionBy(3).mapValues(calls)
    there = sc.parallelize(WORDS, 3)
    joined = here.join(there, 3)
    assert joined.partitioner == here.partitioner
    here.count()
    before = set(blocks_held(sc))
    assert joined.count() == 9 + 4 + 1
    assert Counter(block.kind for block in set(blocks_held(sc)) - before) == {"map": 3, "in": 3}


def test_equal_partition_functions_make_equal_partitioners(sc: Context) -> None:
    x, y = sc.parallelize(WORDS, 4).partitionBy(3, len), sc.parallelize(WORDS, 2).partitionBy(3, len)
    assert x.partitioner == y.partitioner
    assert x.partitioner != x.partitionBy(3).partitioner
    assert x.partitioner != x.partitionBy(4, len).partitioner
    assert Counter(x.join(y).keys().collect()) == {"a": 9, "b": 4, "c": 1}


# --- lookups ----------------------------------------------------------------------------------------------------------


def test_lookup_finds_all_values_in_order(sc: Context) -> None:
    rdd = sc.parallelize([*WORDS, (None, 7), (None, None)], 3)
    for where in (rdd, rdd.partitionBy(4), rdd.sortByKey(keyfunc=str)):
        assert where.lookup("a") == [1, 3, 6]
        assert where.lookup(None) == [7, None]
        assert where.lookup("missing") == []


def test_lookup_looks_into_one_partition_if_the_partitioner_is_known(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize([(x, x) for x in range(12)], 2).partitionBy(4).mapValues(calls)
    assert rdd.lookup(5) == [5]
    assert sorted(calls.seen()) == ["1", "5", "9"]


def test_classes_functions_and_single_objects_are_keys(sc: Context) -> None:
    class OfTheProgram:
        pass

    records: list[Any] = [1, "a", 2.0, None, ..., NotImplemented, b"x", (1,), 5, "b", OfTheProgram(), OfTheProgram(), True] * 3
    expected = Counter(map(type, records))
    kinds = sc.parallelize(records, 5).map(lambda record: record.__class__)
    assert set(kinds.distinct(4).collect()) == set(expected)
    assert kinds.countByValue() == expected
    assert dict(kinds.map(lambda kind: (kind, 1)).reduceByKey(add, 3).collect()) == expected
    grouped = sc.parallelize(records, 5).groupBy(lambda record: record.__class__, 4).mapValues(len).collect()
    assert len(grouped) == len(expected)
    assert dict(grouped) == expected
    for keys in ([..., NotImplemented, None], [len, max, os.path.join]):
        pairs = sc.parallelize(keys * 4, 4).map(lambda key: (key, 1)).groupByKey(3).mapValues(sum).collect()
        assert sorted(pairs, key=repr) == sorted(((key, 4) for key in keys), key=repr)

"""Joins, cogroups, intersection, subtraction: against dicts and sets; partition counts,
partitioners, and data that does not move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import chain
from operator import add
from typing import Any

import pytest
from beside import Calls, sizes
from hypothesis import given
from hypothesis import strategies as st

from mpirdd import RDD, Context, TaskError

PAIRS = st.lists(st.tuples(st.sampled_from([None, 0, 1, 2.5, "a", "é", (1, "b"), True]), st.integers(0, 4)), max_size=25)
VALUES = st.lists(st.sampled_from([None, 0, 1, 1.0, 2.5, "a", "é", (1, "b")]), max_size=25)
PARTITIONS = st.integers(1, 4)
WIDTHS = st.sampled_from([None, 1, 3, 7])


def values_of(pairs: list[Any], key: Any) -> list[Any]:
    return [value for found, value in pairs if found == key]


def keys_of(*rdds: list[Any]) -> list[Any]:
    return list(dict.fromkeys(key for pairs in rdds for key, _ in pairs))


def joined(left: list[Any], right: list[Any], *, all_left: bool, all_right: bool) -> Counter[Any]:
    """The oracle of the joins."""
    expected: Counter[Any] = Counter()
    for key in keys_of(left, right):
        here, there = values_of(left, key), values_of(right, key)
        here, there = here or [None] * all_right, there or [None] * all_left
        expected.update((key, (v, w)) for v in here for w in there)
    return expected


@given(left=PAIRS, right=PAIRS, counts=st.tuples(PARTITIONS, PARTITIONS), width=WIDTHS)
def test_joins_agree_with_dicts(
    sc: Context, left: list[Any], right: list[Any], counts: tuple[int, int], width: int | None
) -> None:
    x, y = sc.parallelize(left, counts[0]), sc.parallelize(right, counts[1])
    assert Counter(x.join(y, width).collect()) == joined(left, right, all_left=False, all_right=False)
    assert Counter(x.leftOuterJoin(y, width).collect()) == joined(left, right, all_left=True, all_right=False)
    assert Counter(x.rightOuterJoin(y, width).collect()) == joined(left, right, all_left=False, all_right=True)
    assert Counter(x.fullOuterJoin(y, width).collect()) == joined(left, right, all_left=True, all_right=True)
    without = [pair for pair in left if not values_of(right, pair[0])]
    assert Counter(x.subtractByKey(y, width).collect()) == Counter(without)


@given(sides=st.lists(PAIRS, min_size=2, max_size=4), count=PARTITIONS)
def test_cogroups_of_any_number_agree_with_dicts(sc: Context, sides: list[Any], count: int) -> None:
    first, *others = [sc.parallelize(pairs, count) for pairs in sides]
    found = dict(first.groupWith(*others).collect())
    assert {key: tuple(map(list, groups)) for key, groups in found.items()} == {
        key: tuple(values_of(pairs, key) for pairs in sides) for key in keys_of(*sides)}
    assert all(len(group) == group.maxindex for group in chain.from_iterable(found.values()))


@given(left=VALUES, right=VALUES, counts=st.tuples(PARTITIONS, PARTITIONS), width=WIDTHS)
def test_intersection_and_subtraction_agree_with_sets(
    sc: Context, left: list[Any], right: list[Any], counts: tuple[int, int], width: int | None
) -> None:
    x, y = sc.parallelize(left, counts[0]), sc.parallelize(right, counts[1])
    common = x.intersection(y).collect()
    assert set(common) == set(left) & set(right)
    assert len(common) == len(set(common))
    assert Counter(x.subtract(y, width).collect()) == Counter(value for value in left if value not in right)


JOINS: dict[str, Callable[..., RDD]] = {
    name: getattr(RDD, name)
    for name in ("join", "leftOuterJoin", "rightOuterJoin", "fullOuterJoin", "cogroup", "groupWith", "subtractByKey")
}


@pytest.mark.parametrize("name", JOINS)
def test_partition_counts_and_partitioners_are_pysparks(sc: Context, name: str) -> None:
    operation = JOINS[name]
    x, y = sc.parallelize([(i, i) for i in range(9)], 3), sc.parallelize([(i, -i) for i in range(5)], 2)
    x4, y4, y5 = x.partitionBy(4), y.partitionBy(4), y.partitionBy(5)
    cases = [(x, y, 5), (x4, y4, 4), (x4, y, 6), (x, y4, 7), (x4, y5, 9)]
    for left, right, expected in cases:
        made = operation(left, right)
        assert made.getNumPartitions() == expected
        assert made.partitioner == x.partitionBy(expected).partitioner
    if name != "groupWith":
        assert operation(x, y, 2).getNumPartitions() == 2


def test_group_with_has_as_many_partitions_as_pysparks_unions(sc: Context) -> None:
    x, y = sc.parallelize([(1, 1)], 3), sc.parallelize([(1, 2)], 2)
    x4, y4 = x.partitionBy(4), y.partitionBy(4)
    made = [x.groupWith(y, x), x4.groupWith(y4, x4), x4.groupWith(y4, x), x4.groupWith(y, x4)]
    assert [rdd.getNumPartitions() for rdd in made] == [8, 4, 7, 10]


def test_operations_by_value_lose_the_partitioner(sc: Context) -> None:
    x, y = sc.parallelize([1, 2, 3], 3), sc.parallelize([2, 3, 4], 2)
    found = [(made.getNumPartitions(), made.partitioner) for made in (x.intersection(y), x.subtract(y), x.subtract(y, 2))]
    assert found == [(5, None), (5, None), (2, None)]


@pytest.mark.parametrize("name", JOINS)
def test_co_partitioned_rdds_join_without_a_shuffle(sc: Context, name: str) -> None:
    x, y = (sc.parallelize([(i % 7, i) for i in range(40)], 3).partitionBy(4) for _ in range(2))
    made = JOINS[name](x, y)
    text = made.toDebugString().decode()
    assert text.count("+-") == 2  # those of the two partitionBy
    assert JOINS[name](x, sc.parallelize([(1, 1)])).toDebugString().decode().count("+-") == 3


def test_joins_keep_the_partitioner_for_the_next_one(sc: Context) -> None:
    links = sc.parallelize([(i, (i + 1) % 6) for i in range(6)], 2).partitionBy(3)
    ranks = links.mapValues(lambda _: 1.0)
    for _ in range(3):
        ranks = links.leftOuterJoin(ranks).mapValues(lambda pair: pair[1])
    assert ranks.toDebugString().decode().count("+-") == 1
    assert sorted(ranks.collect()) == [(i, 1.0) for i in range(6)]


def test_the_order_within_a_partition_is_that_of_the_first_records(sc: Context) -> None:
    x, y = sc.parallelize([("b", 1), ("a", 2), ("b", 3)], 1), sc.parallelize([("c", 4), ("b", 5), ("b", 6)], 1)
    assert x.fullOuterJoin(y, 1).collect() == [
        ("b", (1, 5)), ("b", (1, 6)), ("b", (3, 5)), ("b", (3, 6)), ("a", (2, None)), ("c", (None, 4))]
    assert x.subtractByKey(sc.parallelize([("a", 0)], 1), 1).collect() == [("b", 1), ("b", 3)]


def test_joining_an_rdd_with_itself(sc: Context) -> None:
    x = sc.parallelize([(1, "a"), (1, "b"), (2, "c")], 2)
    assert Counter(x.fullOuterJoin(x).collect()) == joined(x.collect(), x.collect(), all_left=True, all_right=True)
    assert x.subtract(x).collect() == x.subtractByKey(x).collect() == []
    assert sorted(x.intersection(x).collect()) == x.collect()


def test_none_values_are_values(sc: Context) -> None:
    x, y = sc.parallelize([(1, None), (2, None)]), sc.parallelize([(1, None)])
    assert sorted(x.leftOuterJoin(y).collect()) == [(1, (None, None)), (2, (None, None))]
    assert x.subtractByKey(y).collect() == [(2, None)]


def test_empty_rdds_on_either_side(sc: Context) -> None:
    x, none = sc.parallelize([(1, 2)], 2), sc.emptyRDD()
    assert x.join(none).collect() == none.join(x).collect() == none.intersection(none).collect() == []
    assert x.leftOuterJoin(none).collect() == [(1, (2, None))]
    assert none.rightOuterJoin(x).collect() == [(1, (None, 2))]
    assert x.subtract(none).collect() == x.subtractByKey(none).collect() == [(1, 2)]


def test_intersection_moves_each_value_once(sc: Context) -> None:
    many = sc.parallelize([7] * 1000, 2)
    assert sizes(many.intersection(many).coalesce(1)) == [1]


def test_reduce_by_key_locally_agrees_with_a_dict(sc: Context, calls: Calls) -> None:
    pairs = [(i % 5, i) for i in range(50)]
    rdd = sc.parallelize(pairs, 4)
    assert rdd.reduceByKeyLocally(add) == {key: sum(values_of(pairs, key)) for key in range(5)}
    assert rdd.mapValues(str).reduceByKeyLocally(add)[3] == "".join(map(str, values_of(pairs, 3)))
    assert sc.parallelize([], 2).reduceByKeyLocally(add) == sc.emptyRDD().reduceByKeyLocally(add) == {}
    with pytest.raises(TaskError, match="reduceByKeyLocally needs"):
        sc.parallelize([1]).reduceByKeyLocally(add)


@pytest.mark.parametrize("name", ["join", "cogroup", "groupWith", "subtract", "subtractByKey", "intersection"])
def test_what_is_no_rdd_is_refused_at_once(sc: Context, name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} needs another RDD, not 5"):
        getattr(sc.parallelize([(1, 2)]), name)(5)


@pytest.mark.parametrize("name", ["join", "subtractByKey", "leftOuterJoin"])
def test_bad_partition_counts_are_value_errors(sc: Context, name: str) -> None:
    x = sc.parallelize([(1, 2)])
    for bad in (0, -1, 1.5):
        with pytest.raises(ValueError, match="numPartitions"):
            getattr(x, name)(x, bad)


def test_records_that_are_no_pairs_are_named(sc: Context) -> None:
    pairs, others = sc.parallelize([(1, 2)]), sc.parallelize([3])
    for name in ("join", "subtractByKey", "fullOuterJoin"):
        with pytest.raises(TaskError, match=r"needs \(key, value\) pairs; got 3"):
            getattr(pairs, name)(others).collect()
    with pytest.raises(TaskError, match=r"unhashable|hashed"):
        sc.parallelize([[1]]).subtract(others).collect()


# --- keys that are equal and not the same -----------------------------------------------------------------------------

LEFT = [(1, "a"), (True, "b"), (2.0, "c"), (0, "d"), (7, "e")]
RIGHT = [(1.0, "p"), (2, "q"), (False, "r"), (9, "s")]


def shown(pairs: list[Any]) -> list[str]:
    """``repr`` tells 1, True and 1.0 apart."""
    return sorted(map(repr, pairs))


@pytest.mark.parametrize("twice_on_the_right", [False, True])
@pytest.mark.parametrize("twice_on_the_left", [False, True])
@pytest.mark.parametrize(("operation", "all_left", "all_right"), [
    ("join", False, False), ("leftOuterJoin", True, False), ("rightOuterJoin", False, True), ("fullOuterJoin", True, True)])
def test_a_result_of_a_join_has_the_key_of_its_left_record(
    sc: Context, operation: str, all_left: bool, all_right: bool, twice_on_the_left: bool, twice_on_the_right: bool
) -> None:
    """On the hash path, and on that of groups, which a key that comes twice takes."""
    left = LEFT if twice_on_the_left else LEFT[1:]
    right = [*RIGHT, (True, "t")] if twice_on_the_right else RIGHT
    expected = [(key, (v, w)) for key, v in left for other, w in right if key == other]
    if all_left:
        expected += [(key, (v, None)) for key, v in left if not values_of(right, key)]
    if all_right:
        expected += [(key, (None, w)) for key, w in right if not values_of(left, key)]
    for parts in (1, 3):
        got = getattr(sc.parallelize(left, parts), operation)(sc.parallelize(right, parts), 2).collect()
        assert shown(got) == shown(expected)


def test_what_subtraction_leaves_has_the_keys_it_had(sc: Context) -> None:
    left, right = sc.parallelize([(1, "a"), (True, "b"), (2.0, "c")], 2), sc.parallelize([(2, 0)])
    assert shown(left.subtractByKey(right).collect()) == shown([(1, "a"), (True, "b")])
    assert shown(sc.parallelize([1, True, 1.0, 2], 2).subtract(sc.parallelize([2.0])).collect()) == shown([1, True, 1.0])

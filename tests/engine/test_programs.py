"""Random programs: chains of operations, with caching and actions anywhere, against lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from operator import add
from typing import Any, NamedTuple

from beside import first
from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd import RDD, Context

Pairs = list[tuple[int, int]]


class Operation(NamedTuple):
    """An RDD operation and its meaning for a list of pairs of small ints, given a small number."""

    on_rdd: Callable[[RDD, int], RDD]
    on_list: Callable[[Pairs, int], Pairs]


def by_key(pairs: Pairs) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def sums(pairs: Pairs) -> Pairs:
    return [(key, sum(values)) for key, values in by_key(pairs).items()]


def same(pairs: Pairs, _: int) -> Pairs:
    return pairs


OPERATIONS = {
    "map": Operation(lambda r, n: r.map(lambda kv: (kv[1] % 5, kv[0] + n)), lambda p, n: [(v % 5, k + n) for k, v in p]),
    "filter": Operation(lambda r, n: r.filter(lambda kv: kv[1] % n), lambda p, n: [kv for kv in p if kv[1] % n]),
    "flatMap": Operation(lambda r, n: r.flatMap(lambda kv: [kv] * (kv[1] % 3)), lambda p, n: [
        kv for kv in p for _ in range(kv[1] % 3)]),
    "mapValues": Operation(lambda r, n: r.mapValues(lambda v: v * n), lambda p, n: [(k, v * n) for k, v in p]),
    "reduceByKey": Operation(lambda r, n: r.reduceByKey(add, n), lambda p, n: sums(p)),
    "groupByKey": Operation(lambda r, n: r.groupByKey().mapValues(len), lambda p, n: [
        (k, len(values)) for k, values in by_key(p).items()]),
    "distinct": Operation(lambda r, n: r.distinct(n), lambda p, n: list(set(p))),
    "partitionBy": Operation(lambda r, n: r.partitionBy(n), same),
    "repartition": Operation(lambda r, n: r.repartition(n), same),
    "coalesce": Operation(lambda r, n: r.coalesce(n), same),
    "sortByKey": Operation(lambda r, n: r.sortByKey(bool(n % 2), n), same),
    "union with sums": Operation(lambda r, n: r.union(r.reduceByKey(add)), lambda p, n: p + sums(p)),
    "union with itself": Operation(lambda r, n: r.union(r), lambda p, n: p + p),
    "join with sums": Operation(
        lambda r, n: r.join(r.reduceByKey(add, n)).mapValues(sum), lambda p, n: [(k, v + dict(sums(p))[k]) for k, v in p]),
    "cogroup": Operation(
        lambda r, n: r.cogroup(r.coalesce(n)).mapValues(lambda both: sum(map(sum, both))),
        lambda p, n: [(k, 2 * v) for k, v in sums(p)]),
    "cache": Operation(lambda r, n: r.cache(), same),
    "unpersist": Operation(lambda r, n: r.unpersist(), same),
}
ACTIONS: list[Callable[[RDD, Pairs], Any]] = [
    lambda r, p: r.count() == len(p),
    lambda r, p: len(r.take(3)) == min(3, len(p)),
    lambda r, p: r.values().sum() == sum(v for _, v in p),
    lambda r, p: dict(r.countByKey()) == Counter(map(first, p)),
    lambda r, p: Counter(r.collect()) == Counter(p),
]


@settings(max_examples=60)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), max_size=12), count=st.integers(1, 5),
    program=st.lists(
        st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(1, 5), st.none() | st.sampled_from(ACTIONS)), max_size=9),
)
def test_random_programs_agree_with_lists(sc: Context, pairs: Pairs, count: int, program: list[Any]) -> None:
    rdd, expected = sc.parallelize(pairs, count), pairs
    earlier: list[tuple[RDD, Pairs]] = []
    for name, number, action in program:
        operation = OPERATIONS[name]
        rdd, expected = operation.on_rdd(rdd, number), operation.on_list(expected, number)
        earlier.append((rdd, expected))
        assert action is None or action(rdd, expected)
    assert Counter(rdd.collect()) == Counter(expected)
    everything = sc.union([rdd, *(made for made, _ in earlier)])
    assert everything.count() == len(expected) + sum(len(known) for _, known in earlier)

"""Sources and transformations of records of any kind, against plain Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from beside import Cell, Plain, Point, double, in_pairs, on_every_executor, sizes, unshipped
from hypothesis import given
from hypothesis import strategies as st

from mpirdd import RDD, Context

RECORDS = st.lists(st.one_of(st.none(), st.integers(-3, 3), st.text(max_size=3), st.booleans()), max_size=30)
PARTITIONS = st.integers(1, 9)
SLICINGS = [([], 1), ([], 5), ([1], 4), (list(range(10)), 1), (list(range(10)), 3), (list(range(10)), 25)]


def cut(data: list[Any], count: int) -> list[list[Any]]:
    """The partitions that parallelize makes."""
    return [data[i * len(data) // count : (i + 1) * len(data) // count] for i in range(count)]


# --- sources ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "count"), SLICINGS)
def test_parallelize_cuts_evenly_and_keeps_the_order(sc: Context, data: list[int], count: int) -> None:
    rdd = sc.parallelize(data, count)
    assert rdd.glom().collect() == cut(data, count)
    assert (rdd.getNumPartitions(), rdd.count()) == (count, len(data))


@pytest.mark.parametrize("data", [
    range(7), range(10, 0, -3), "häßlich", (1, None, "x"), {"b": 1, "a": 2}, {1}, b"bytes", iter([3, 1, 2]),
    (x * x for x in range(5)),
], ids=lambda data: type(data).__name__)
def test_parallelize_takes_any_iterable(sc: Context, data: Iterable[Any]) -> None:
    expected = {"list_iterator": [3, 1, 2], "generator": [0, 1, 4, 9, 16]}.get(type(data).__name__) or list(data)
    assert sc.parallelize(data, 3).collect() == expected


@pytest.mark.parametrize("bounds", [(5,), (0,), (2, 9), (9, 2), (2, 20, 3), (20, 2, -4)])
def test_range_is_pythons_range(sc: Context, bounds: tuple[int, ...]) -> None:
    assert sc.range(*bounds).collect() == list(range(*bounds))
    assert sc.range(0, 10, numSlices=4).glom().collect() == cut(list(range(10)), 4)


def test_a_huge_range_is_made_on_the_executors(sc: Context) -> None:
    assert sc.range(10**15, numSlices=10**3).take(2) == [0, 1]


def test_partition_counts_default_to_the_number_of_executors(sc: Context, executors: int, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("a\nb\nc\n" * 10)
    assert sc.defaultParallelism == executors
    assert sc.parallelize(range(5)).getNumPartitions() == executors
    assert sc.range(5).getNumPartitions() == executors
    assert sc.textFile(str(tmp_path / "lines"), 5).getNumPartitions() >= 5
    assert sc.emptyRDD().getNumPartitions() == 0


def test_text_files_come_in_the_order_of_their_names_and_lines(sc: Context, tmp_path: Path) -> None:
    texts = {"b.txt": "fünf\n\nsechs", "a.txt": "one\r\ntwo\n", "c.txt": ""}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    lines = sc.textFile(str(tmp_path), 4)
    assert lines.collect() == ["one", "two", "fünf", "", "sechs"]
    assert sc.textFile(f"{tmp_path}/b.txt,{tmp_path}/a.*").collect() == ["fünf", "", "sechs", "one", "two"]
    assert sc.textFile(str(tmp_path / "b.txt"), use_unicode=False).first() == "fünf".encode()


# --- one record at a time ---------------------------------------------------------------------------------------------


@given(data=RECORDS, count=PARTITIONS)
def test_map_flat_map_and_filter_agree_with_python(sc: Context, data: list[Any], count: int) -> None:
    rdd = sc.parallelize(data, count)
    assert rdd.map(repr).collect() == [repr(x) for x in data]
    assert rdd.flatMap(lambda x: [x] * 2).collect() == [y for x in data for y in (x, x)]
    assert rdd.flatMap(repr).collect() == list(chain.from_iterable(map(repr, data)))
    assert rdd.filter(lambda x: x).collect() == [x for x in data if x]
    assert rdd.keyBy(repr).collect() == [(repr(x), x) for x in data]
    assert rdd.glom().collect() == cut(data, count)


@given(data=RECORDS, count=PARTITIONS)
def test_partition_functions_see_each_partition_once(sc: Context, data: list[Any], count: int) -> None:
    rdd = sc.parallelize(data, count)
    assert rdd.mapPartitions(lambda records: [len(list(records))]).collect() == [len(p) for p in cut(data, count)]
    made = rdd.mapPartitionsWithIndex(lambda i, records: [(i, list(records))]).collect()
    assert made == list(enumerate(cut(data, count)))


def test_partition_functions_may_be_generators_and_give_any_iterable(sc: Context) -> None:
    def running_sum(records: Iterator[int]) -> Iterator[int]:
        total = 0
        for record in records:
            total += record
            yield total

    rdd = sc.parallelize(range(6), 2)
    assert rdd.mapPartitions(running_sum).collect() == [0, 1, 3, 3, 7, 12]
    assert rdd.mapPartitions(lambda records: (next(records),)).collect() == [0, 3]
    assert rdd.mapPartitions(lambda records: "xy").collect() == ["x", "y", "x", "y"]
    assert rdd.mapPartitions(lambda records: {}).collect() == []
    assert rdd.mapPartitions(lambda records: map(str, records)).collect() == list("012345")


def test_partition_functions_get_an_iterator_of_cached_and_shuffled_data_too(sc: Context) -> None:
    cached = sc.parallelize([(1, 1), (2, 2)], 2).cache()
    cached.count()
    for rdd in (cached, cached.partitionBy(2), cached.groupByKey(2), cached.union(cached)):
        assert rdd.mapPartitions(lambda records: [iter(records) is records]).distinct().collect() == [True]


def test_steps_of_one_chain_run_record_by_record(sc: Context) -> None:
    rdd = sc.parallelize([1, 2, 3], 1)
    assert rdd.map(lambda x: x + 1).filter(lambda x: x > 2).flatMap(range).map(str).collect() == list("0120123")


# --- several RDDs -----------------------------------------------------------------------------------------------------


@given(parts=st.lists(st.tuples(RECORDS, PARTITIONS), min_size=1, max_size=5))
def test_union_puts_partitions_side_by_side(sc: Context, parts: list[tuple[list[Any], int]]) -> None:
    rdds = [sc.parallelize(data, count) for data, count in parts]
    expected = [part for data, count in parts for part in cut(data, count)]
    assert sc.union(rdds).glom().collect() == expected
    assert reduce(RDD.union, rdds).glom().collect() == expected
    assert reduce(lambda a, b: a + b, rdds).collect() == list(chain.from_iterable(expected))


def test_union_with_empty_rdds_adds_nothing(sc: Context) -> None:
    rdd, empty = sc.parallelize([1, 2], 2), sc.emptyRDD()
    assert empty.union(rdd).union(empty).glom().collect() == [[1], [2]]
    assert empty.union(empty).collect() == []


@given(data=RECORDS, count=PARTITIONS, reduced=st.sampled_from([None, 1, 2, 7]))
def test_distinct_is_the_set(sc: Context, data: list[Any], count: int, reduced: int | None) -> None:
    rdd = sc.parallelize(data, count).distinct(reduced)
    assert len(rdd.collect()) == len(set(data))
    assert set(rdd.collect()) == set(data)
    assert rdd.getNumPartitions() == (reduced or count)


@given(data=RECORDS, count=PARTITIONS, groups=st.sampled_from([None, 1, 4]))
def test_group_by_keeps_the_order_of_each_group(sc: Context, data: list[Any], count: int, groups: int | None) -> None:
    made = sc.parallelize(data, count).groupBy(repr, groups).mapValues(list).collect()
    expected: dict[str, list[Any]] = {}
    for record in data:
        expected.setdefault(repr(record), []).append(record)
    assert len(made) == len(expected)
    assert dict(made) == expected


# --- repartition and coalesce -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [1, 2, 3, 10, 40])
@pytest.mark.parametrize(("data", "count"), SLICINGS)
def test_repartition_and_coalesce_keep_all_records(sc: Context, data: list[int], count: int, wanted: int) -> None:
    rdd = sc.parallelize(data, count)
    spread, together = rdd.repartition(wanted), rdd.coalesce(wanted)
    assert (sorted(spread.collect()), spread.getNumPartitions()) == (data, wanted)
    assert (together.collect(), together.getNumPartitions()) == (data, min(wanted, count))


@pytest.mark.parametrize(("count", "wanted"), [(1, 4), (50, 4), (4, 50), (7, 3), (3, 3)])
def test_repartition_fills_partitions_evenly(sc: Context, count: int, wanted: int) -> None:
    filled = sizes(sc.parallelize(range(1000), count).repartition(wanted))
    assert max(filled) - min(filled) <= count, filled


def test_repartition_spreads_one_record_a_partition(sc: Context) -> None:
    assert sum(size > 0 for size in sizes(sc.parallelize(range(100), 100).repartition(5))) == 5


def test_empty_rdds_can_be_repartitioned(sc: Context) -> None:
    assert sc.emptyRDD().repartition(3).glom().collect() == [[], [], []]
    assert sc.emptyRDD().coalesce(3).collect() == []
    assert sc.parallelize([], 5).coalesce(2).glom().collect() == [[], []]


def test_a_shuffle_feeds_shuffles_of_other_widths(sc: Context) -> None:
    rdd = sc.parallelize(range(60), 3)
    for width in (1, 20, 2, 7):
        rdd = rdd.repartition(width).map(lambda x: x + 1)
    assert sorted(rdd.collect()) == list(range(4, 64))


# --- what functions and records may be --------------------------------------------------------------------------------


class Here:
    """A class of the test module itself."""

    def __init__(self, value: int) -> None:
        self.value = value

    def plus(self, other: int) -> int:
        return self.value + other


def test_functions_may_close_over_locals_of_any_kind(sc: Context) -> None:
    factor, table, made = 3, {"a": [1, 2]}, Here(5)

    def inner(x: int) -> int:
        return factor * x + len(table["a"])

    rdd = sc.parallelize(range(3), 2)
    assert rdd.map(inner).collect() == [2, 5, 8]
    assert rdd.map(lambda x: inner(inner(x))).collect() == [8, 17, 26]
    assert rdd.map(made.plus).collect() == [5, 6, 7]
    assert rdd.map(Here).map(lambda here: here.value).collect() == [0, 1, 2]
    assert rdd.map(double).collect() == [0, 2, 4]
    assert rdd.map([7, 8, 9].__getitem__).collect() == [7, 8, 9]


def test_a_closure_is_taken_as_it_is_when_the_job_runs(sc: Context) -> None:
    factor = 1
    rdd = sc.parallelize([1], 1).map(lambda x: x * factor)
    factor = 10
    assert rdd.collect() == [10]


def test_changes_to_a_closed_over_object_stay_on_the_executor(sc: Context) -> None:
    gathered: list[int] = []
    sc.parallelize(range(4), 2).foreach(gathered.append)
    assert gathered == []


def test_recursive_functions_travel(sc: Context) -> None:
    def factorial(n: int) -> int:
        return n * factorial(n - 1) if n else 1

    assert sc.parallelize([3, 5], 2).map(factorial).collect() == [6, 120]


@pytest.mark.parametrize("record", [
    None, True, 0.5, 2**100, "\U0001f40d\x00\udc80", b"\x00\xff", (), ((),), [1, [2]], {"a": {1, 2}}, Point(1, "x"),
    Plain(7), Cell(1), frozenset([1]), range(3), Ellipsis, int, "x" * 100_000,
], ids=lambda record: type(record).__name__)
def test_any_picklable_record_comes_back_as_it_was(sc: Context, record: Any) -> None:
    rdd = sc.parallelize([record, record, record], 2)
    assert rdd.collect() == [record] * 3
    assert rdd.repartition(3).map(lambda x: x).collect() == [record] * 3
    assert [type(back) for back in rdd.repartition(1).collect()] == [type(record)] * 3


def test_classes_and_functions_that_executors_cannot_import_travel_by_value(sc: Context) -> None:
    module = unshipped(
        "from dataclasses import dataclass\n"
        "from typing import NamedTuple\n"
        "FACTOR = 2\n"
        "class Pair(NamedTuple):\n    a: int\n    b: int\n"
        "@dataclass(frozen=True)\nclass Key:\n    name: str\n"
        "def make(x):\n    return Key(str(x % 2)), Pair(x, FACTOR * x)\n"
        "def total(p, q):\n    return Pair(p.a + q.a, p.b + q.b)\n"
    )
    rdd = sc.parallelize(range(6), 3).map(module.make)
    expected = {module.Key("0"): module.Pair(6, 12), module.Key("1"): module.Pair(9, 18)}
    assert dict(rdd.reduceByKey(module.total).collect()) == expected
    assert dict(sc.parallelize(list(expected.items()), 2).collect()) == expected
    assert all(isinstance(key, module.Key) for key in rdd.keys().collect())


def test_numpy_arrays_of_megabytes_travel_both_ways(sc: Context) -> None:
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.full(10 * 2**20 // 8, i, dtype=numpy.float64) for i in range(4)]
    rdd = sc.parallelize(arrays, 4).map(lambda a: a + 1)
    moved = rdd.map(lambda a: (int(a[0]), a)).partitionBy(3).mapValues(lambda a: a * 2)
    made = dict(moved.collect())
    assert sorted(made) == [1, 2, 3, 4]
    assert all(a.nbytes == 10 * 2**20 and (a == 2 * key).all() for key, a in made.items())
    assert rdd.map(lambda a: float(a.sum())).collect() == [(i + 1) * 10 * 2**17 for i in range(4)]


def test_arrays_of_every_layout_come_back_equal(sc: Context) -> None:
    numpy = pytest.importorskip("numpy")
    whole = numpy.arange(6000).reshape(60, 100)
    arrays = [whole, whole.T, whole[::2, ::3], numpy.asfortranarray(whole), whole[:0], whole.astype(object),
              numpy.array(5.0), numpy.array(["x", "yy"]), numpy.zeros(2000, dtype=[("a", "i4"), ("b", "f8")])]
    back = sc.parallelize(list(enumerate(arrays)), 4).partitionBy(5).sortByKey().values().collect()
    assert all(numpy.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(arrays, back, strict=True))


# --- partitioners -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kept", "operation"), [
    (True, lambda rdd: rdd.filter(bool)),
    (True, lambda rdd: rdd.mapValues(abs)),
    (True, lambda rdd: rdd.flatMapValues(range)),
    (True, lambda rdd: rdd.map(lambda kv: kv, preservesPartitioning=True)),
    (True, lambda rdd: rdd.flatMap(lambda kv: [kv], preservesPartitioning=True)),
    (True, lambda rdd: rdd.mapPartitions(list, preservesPartitioning=True)),
    (True, lambda rdd: rdd.mapPartitionsWithIndex(lambda i, records: records, preservesPartitioning=True)),
    (True, lambda rdd: rdd.cache()),
    (True, lambda rdd: rdd.union(rdd)),
    (True, lambda rdd: rdd.groupByKey(3)),
    (True, lambda rdd: rdd.join(rdd)),
    (False, lambda rdd: rdd.map(lambda kv: kv)),
    (False, lambda rdd: rdd.flatMap(lambda kv: [kv])),
    (False, lambda rdd: rdd.mapPartitions(list)),
    (False, lambda rdd: rdd.mapPartitionsWithIndex(lambda i, records: records)),
    (False, lambda rdd: rdd.keys()),
    (False, lambda rdd: rdd.values()),
    (False, lambda rdd: rdd.keyBy(lambda kv: kv)),
    (False, lambda rdd: rdd.glom()),
    (False, lambda rdd: rdd.distinct()),
    (False, lambda rdd: rdd.coalesce(2)),
    (False, lambda rdd: rdd.repartition(3)),
    (False, lambda rdd: rdd.union(rdd.map(lambda kv: kv))),
])
def test_the_partitioner_stays_where_pyspark_keeps_it(sc: Context, kept: bool, operation: Any) -> None:
    rdd = sc.parallelize(list(in_pairs(range(10))), 4).partitionBy(3)
    made = operation(rdd)
    assert made.partitioner == (rdd.partitioner if kept else None)
    assert rdd.partitioner is not None
    made.count()  # and the operation works


def test_a_union_of_rdds_partitioned_alike_keeps_equal_keys_together(sc: Context) -> None:
    rdd = sc.parallelize(list(in_pairs(range(20))), 4).partitionBy(3)
    both = rdd.union(rdd.mapValues(lambda v: -v))
    assert both.getNumPartitions() == 3
    assert sorted(both.collect()) == sorted([(x, s) for x in range(20) for s in (1, -1)])
    partitioner = both.partitioner
    assert partitioner is not None
    assert all(partitioner(key) == i for i, part in enumerate(both.glom().collect()) for key, _ in part)


# --- where things run -------------------------------------------------------------------------------------------------


def test_executors_are_processes_of_their_own(sc: Context, ranks: int, executors: int) -> None:
    pids = set(on_every_executor(sc, os.getpid))
    assert len(pids) == executors
    assert (os.getpid() in pids) == (ranks == 1)


def test_many_more_partitions_than_executors_all_run(sc: Context) -> None:
    assert sc.parallelize(range(500), 500).mapPartitionsWithIndex(lambda i, records: [i]).sum() == sum(range(500))

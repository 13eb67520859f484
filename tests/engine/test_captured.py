"""Functions are taken when something is put on top of them, data when they are given: changes that come later change nothing."""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from pathlib import Path
from typing import Any

import numpy
import pytest

from mpirdd import RDD, Context, StorageLevel, UsageError

ON_TOP: dict[str, Callable[[RDD], RDD]] = {
    "union": lambda rdd: rdd.union(rdd),
    "union of one": lambda rdd: rdd.context.union([rdd]),
    "zip": lambda rdd: rdd.zip(rdd),
    "cartesian": lambda rdd: rdd.cartesian(rdd),
    "coalesce": lambda rdd: rdd.coalesce(1),
    "repartition": lambda rdd: rdd.repartition(3),
    "partitionBy": lambda rdd: rdd.partitionBy(3),
    "reduceByKey": lambda rdd: rdd.reduceByKey(add),
    "reduceByKey where they are": lambda rdd: rdd.partitionBy(2).mapValues(abs).reduceByKey(add, 2),
    "groupByKey": lambda rdd: rdd.groupByKey().mapValues(sorted),
    "distinct": lambda rdd: rdd.distinct(),
    "join": lambda rdd: rdd.join(rdd),
    "cogroup": lambda rdd: rdd.cogroup(rdd).mapValues(lambda both: [sorted(values) for values in both]),
    "subtract": lambda rdd: rdd.subtract(rdd.context.parallelize([(0, 0)])),
    "intersection": lambda rdd: rdd.intersection(rdd),
    "sortBy": lambda rdd: rdd.sortBy(lambda pair: pair[1], numPartitions=2),
    "sortBy to one": lambda rdd: rdd.sortBy(lambda pair: pair[1], numPartitions=1),
    "repartitionAndSort": lambda rdd: rdd.repartitionAndSortWithinPartitions(2),
    "cache": lambda rdd: rdd.cache(),
    "persist": lambda rdd: rdd.persist(StorageLevel.DISK_ONLY),
    "zipWithIndex of a cached one": lambda rdd: rdd.cache().zipWithIndex(),
}


def multiplied(sc: Context, factor: list[int]) -> RDD:
    return sc.parallelize([(1, 1), (2, 2), (1, 3), (3, 4)], 2).mapValues(lambda value: value * factor[0])


@pytest.mark.parametrize("name", ON_TOP)
def test_what_is_put_on_top_takes_the_functions_below(sc: Context, name: str) -> None:
    factor = [1]
    made = ON_TOP[name](multiplied(sc, factor))
    factor[0] = 1000
    assert sorted(made.collect()) == sorted(ON_TOP[name](multiplied(sc, [1])).collect())


def test_a_chain_takes_its_functions_when_a_job_runs_it(sc: Context) -> None:
    factor = [1]
    made = multiplied(sc, factor).map(lambda pair: pair[1]).filter(bool)
    factor[0] = 10
    assert made.sum() == 100


def test_a_wide_operation_takes_its_own_function(sc: Context) -> None:
    factor = [1]
    pairs = sc.parallelize([(1, 1), (1, 2)], 2)
    summed = pairs.reduceByKey(lambda a, b: (a + b) * factor[0])
    ordered = pairs.values().sortBy(lambda value: value * factor[0], numPartitions=2)
    factor[0] = -1
    assert summed.collect() == [(1, 3)]
    assert ordered.collect() == [1, 2]


@pytest.mark.parametrize("how", ["checkpoint", "localCheckpoint"])
def test_checkpoints_take_the_functions(sc: Context, tmp_path: Path, how: str) -> None:
    sc.setCheckpointDir(tmp_path)
    factor = [1]
    rdd = multiplied(sc, factor)
    getattr(rdd, how)()
    factor[0] = 1000
    assert rdd.values().sum() == 10


def test_each_turn_of_a_loop_keeps_its_variable(sc: Context) -> None:
    base = sc.parallelize(range(6), 3)
    seen = sc.emptyRDD()
    for k in (1, 2, 3):
        seen = seen.union(base.filter(lambda v: v == k).map(lambda v: (k, v)))  # noqa: B023
    assert seen.collect() == [(1, 1), (2, 2), (3, 3)]


def test_to_local_iterator_takes_the_functions_when_it_is_called(sc: Context) -> None:
    factor = [1]
    values = multiplied(sc, factor).values().toLocalIterator()
    factor[0] = 1000
    assert sum(values) == 10


def test_the_key_of_a_sort_may_use_a_broadcast_variable(sc: Context) -> None:
    ordered = (lambda sign: sc.parallelize(range(8), 3).sortBy(lambda x: sign.value * x))(sc.broadcast(-1))
    sc.parallelize([1]).count()
    assert ordered.collect() == [*range(7, -1, -1)]


def test_what_cannot_be_taken_is_told_where_it_is_put_on_top_and_again_by_a_job(sc: Context) -> None:
    import threading

    lock = threading.Lock()
    rdd = sc.parallelize([1], 1).map(lambda x: lock and x).map(lambda x: x)
    with pytest.raises(UsageError, match=r"map at test_captured.py.*lock"):
        rdd.union(rdd)
    with pytest.raises(UsageError, match=r"map at test_captured.py.*lock"):
        rdd.collect()


# --- data -------------------------------------------------------------------------------------------------------------


def test_records_are_taken_as_they_are(sc: Context) -> None:
    records: list[Any] = [[0], {"a": 1}, ({2}, [3]), bytearray(b"x")]
    made = sc.parallelize(records, 2)
    records[0][0], records[1]["a"], records[3][0] = 100, 100, 0
    records[2][1].append(100)
    records.append("more")
    assert made.collect() == [[0], {"a": 1}, ({2}, [3]), bytearray(b"x")]
    assert made.collect() == [[0], {"a": 1}, ({2}, [3]), bytearray(b"x")]


@pytest.mark.parametrize("records", [[[0], [1]], [numpy.zeros(3), numpy.ones(3)], [numpy.zeros(3_000), numpy.ones(3_000)]])
def test_functions_may_change_the_records_that_they_are_given(sc: Context, records: list[Any]) -> None:
    def change(record: Any) -> Any:
        record[0] = 7
        return record[0]

    made = sc.parallelize(records, 2)
    assert made.map(change).collect() == [7, 7]
    assert made.map(lambda record: record[0]).collect() == [0, 1]


@pytest.mark.parametrize("length", [10, 20_000])
def test_arrays_and_views_of_them_are_taken_as_they_are(sc: Context, length: int) -> None:
    array = numpy.arange(length)
    flat, views = sc.parallelize(array, 3), sc.parallelize([array[:5], array[5:]], 2)
    array[:] = -1
    assert flat.map(int).sum() == sum(range(length))
    assert views.map(lambda view: int(view[0])).collect() == [0, 5]


def test_an_array_that_nobody_can_write_is_not_copied(sc: Context) -> None:
    array = numpy.arange(1000)
    array.flags.writeable = False
    made = sc.parallelize(array, 2)
    assert all(numpy.shares_memory(array, split) for split in made._node.splits)  # type: ignore[attr-defined]
    assert made.count() == 1000


def test_records_that_cannot_change_are_not_copied(sc: Context) -> None:
    records = [("a", (1, 2.5)), ("b", (None, b"x"))]
    made = sc.parallelize(records, 1)
    assert made._node.splits[0][0] is records[0]  # type: ignore[attr-defined]
    assert made.collect() == records


@pytest.mark.parametrize("size", [3, 20_000])
def test_a_broadcast_value_is_taken_as_it_is(sc: Context, size: int) -> None:
    table = {str(number): [number] for number in range(size)}
    variable = sc.broadcast(table)
    table["0"][0], table["1"] = 100, [100]
    assert (variable.value["0"], variable.value["1"]) == ([0], [1])
    assert sc.parallelize([0], 1).map(lambda _: (variable.value["0"], variable.value["1"])).collect() == [([0], [1])]


@pytest.mark.parametrize("length", [10, 100_000])
def test_a_broadcast_array_is_taken_as_it_is(sc: Context, length: int) -> None:
    array = numpy.arange(length)
    variable = sc.broadcast(array)
    array[:] = -1
    assert int(variable.value.sum()) == sum(range(length))
    assert sc.parallelize([0], 1).map(lambda _: int(variable.value.sum())).collect() == [sum(range(length))]

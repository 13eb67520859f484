"""Actions against plain Python."""

from __future__ import annotations

import gzip
import heapq
import os
from collections import Counter
from functools import reduce
from operator import add, mul
from pathlib import Path
from typing import Any

import pytest
from beside import Calls, Plain, blocks_held, first, second
from hypothesis import given
from hypothesis import strategies as st

from mpirdd import Context

INTS = st.lists(st.integers(-9, 9), max_size=40)
PARTITIONS = st.integers(1, 9)


@given(data=INTS, count=PARTITIONS, n=st.integers(0, 45))
def test_actions_agree_with_python(sc: Context, data: list[int], count: int, n: int) -> None:
    rdd = sc.parallelize(data, count)
    assert rdd.collect() == data
    assert rdd.count() == len(data)
    assert rdd.take(n) == data[:n]
    assert rdd.isEmpty() == (not data)
    assert rdd.sum() == sum(data)
    assert rdd.fold(0, add) == sum(data)
    assert rdd.aggregate((0, 0), lambda a, x: (a[0] + x, a[1] + 1), lambda a, b: (a[0] + b[0], a[1] + b[1])) == (
        sum(data), len(data))
    assert dict(rdd.countByValue()) == Counter(data)
    assert rdd.top(n) == heapq.nlargest(n, data)
    assert rdd.takeOrdered(n) == heapq.nsmallest(n, data)
    numbered = sc.parallelize(list(enumerate(data)), count)
    assert numbered.top(n, key=second) == heapq.nlargest(n, enumerate(data), key=second)
    assert numbered.takeOrdered(n, key=second) == heapq.nsmallest(n, enumerate(data), key=second)


@given(data=INTS.filter(bool), count=PARTITIONS)
def test_actions_that_need_a_record_agree_with_python(sc: Context, data: list[int], count: int) -> None:
    rdd = sc.parallelize(data, count)
    assert rdd.first() == data[0]
    assert (rdd.max(), rdd.min()) == (max(data), min(data))
    assert (rdd.max(key=abs), rdd.min(key=abs)) == (max(data, key=abs), min(data, key=abs))
    assert rdd.reduce(add) == sum(data)
    assert rdd.reduce(lambda a, b: a if a < b else b) == min(data)


def test_reduce_and_fold_follow_the_order_of_the_records(sc: Context) -> None:
    letters = sc.parallelize("abcdefghij", 4)
    assert letters.reduce(add) == "abcdefghij"
    assert letters.fold("", add) == "abcdefghij"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_folds_zero_is_used_once_a_partition_and_once_at_the_driver(sc: Context, count: int) -> None:
    assert sc.parallelize([1, 1], count).fold(100, add) == 2 + 100 * (count + 1)
    assert sc.parallelize([1, 1], count).aggregate(2, mul, mul) == 2 ** (count + 1)


def test_folding_into_a_mutable_zero_leaves_it_alone(sc: Context) -> None:
    def append(into: list[int], x: int) -> list[int]:
        into.append(x)
        return into

    def extend(into: list[int], more: list[int]) -> list[int]:
        into.extend(more)
        return into

    zero: list[int] = []
    rdd = sc.parallelize(range(10), 4)
    assert rdd.aggregate(zero, append, extend) == rdd.aggregate(zero, append, extend) == list(range(10))
    assert zero == []


@pytest.mark.parametrize("action", [
    lambda rdd: rdd.first(), lambda rdd: rdd.reduce(add), lambda rdd: rdd.max(), lambda rdd: rdd.min(),
])
def test_nothing_has_no_first_sum_or_extreme(sc: Context, action: Any) -> None:
    filtered = sc.parallelize([1], 3).filter(lambda x: False)
    for empty in (sc.emptyRDD(), sc.parallelize([], 1), sc.parallelize([], 5), filtered):
        with pytest.raises(ValueError, match=r"(?i)empty"):
            action(empty)


def test_nothing_counts_and_sums_to_zero(sc: Context) -> None:
    for empty in (sc.emptyRDD(), sc.parallelize([], 1), sc.parallelize([], 5)):
        assert (empty.count(), empty.sum(), empty.fold(0, add)) == (0, 0, 0)
        assert (empty.collect(), empty.take(5), empty.top(3), empty.takeOrdered(3)) == ([], [], [], [])
        assert empty.isEmpty()
        assert dict(empty.countByValue()) == {}
        empty.foreach(print)


def test_none_is_a_record_like_any_other(sc: Context) -> None:
    rdd = sc.parallelize([None, None, 1], 3)
    assert (rdd.count(), rdd.first(), rdd.take(2), rdd.isEmpty()) == (3, None, [None, None], False)
    assert dict(rdd.countByValue()) == {None: 2, 1: 1}
    assert sc.parallelize([None], 1).reduce(add) is None
    assert rdd.filter(lambda x: x is None).distinct().collect() == [None]


def test_one_record_is_reduced_without_calling_the_function(sc: Context) -> None:
    assert sc.parallelize([5], 4).reduce(lambda a, b: 1 / 0) == 5


@pytest.mark.parametrize("data", [[0.1] * 10, [1, 2.5, True], [1 + 2j, 1]])
def test_sum_adds_any_numbers(sc: Context, data: list[Any]) -> None:
    assert sc.parallelize(data, 3).sum() == pytest.approx(sum(data))


def test_extremes_of_objects_that_only_know_less_than(sc: Context) -> None:
    rdd = sc.parallelize([Plain(i * 7 % 10) for i in range(10)], 3)
    assert rdd.min() == Plain(0)
    assert [p.value for p in rdd.takeOrdered(3)] == [0, 1, 2]
    assert [p.value for p in rdd.top(3)] == [9, 8, 7]


def test_take_finds_records_behind_empty_partitions(sc: Context) -> None:
    rdd = sc.parallelize(range(100), 50).filter(lambda x: x > 90)
    assert rdd.take(3) == [91, 92, 93]
    assert rdd.first() == 91
    assert rdd.take(1000) == list(range(91, 100))
    assert not rdd.isEmpty()


def test_foreach_and_foreach_partition_reach_every_record_once(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(range(20), 6)
    rdd.foreach(calls)
    assert Counter(calls.seen()) == Counter(map(repr, range(20)))
    rdd.foreachPartition(lambda records: calls(sum(records)))
    assert sum(map(int, calls.seen())) == sum(range(20))


def test_foreach_partition_runs_generators_too(sc: Context, calls: Calls) -> None:
    def visit(records: Any) -> Any:
        for record in records:
            yield calls(record)

    sc.parallelize(range(5), 2).foreachPartition(visit)
    assert calls.count() == 5


def test_run_job_runs_chosen_partitions_in_the_order_given(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(range(8), 4).map(calls)
    assert sc.runJob(rdd, lambda records: [list(records)], [2, 0]) == [[4, 5], [0, 1]]
    assert calls.count() == 4
    assert sc.runJob(rdd, lambda records: [sum(records)]) == [1, 5, 9, 13]


def test_counting_and_collecting_leave_nothing_on_executors(sc: Context) -> None:
    before = blocks_held(sc)
    rdd = sc.parallelize(range(100), 5)
    assert (rdd.count(), rdd.sum(), rdd.take(3), len(rdd.collect())) == (100, 4950, [0, 1, 2], 100)
    assert blocks_held(sc) == before


# --- saveAsTextFile ---------------------------------------------------------------------------------------------------


LINES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))


@given(data=st.lists(st.one_of(st.none(), st.integers(), LINES)), count=st.integers(1, 4))
def test_saved_text_reads_back_as_the_strings_of_the_records(
    sc: Context, tmp_path_factory: pytest.TempPathFactory, data: list[Any], count: int
) -> None:
    folder = tmp_path_factory.mktemp("saved") / "out"
    sc.parallelize(data, count).saveAsTextFile(str(folder))
    assert sorted(os.listdir(folder)) == ["_SUCCESS", *(f"part-{i:05}" for i in range(count))]
    assert sc.textFile(str(folder)).collect() == list(map(str, data))


def test_saved_text_has_a_line_for_each_record_in_a_file_for_each_partition(sc: Context, tmp_path: Path) -> None:
    sc.parallelize(["ä", "b", (1, None), b"raw"], 3).saveAsTextFile(str(tmp_path / "new" / "out"))
    parts = [(tmp_path / "new" / "out" / f"part-0000{i}").read_bytes() for i in range(3)]
    assert parts == ["ä\n".encode(), b"b\n", b"(1, None)\nraw\n"]


@pytest.mark.parametrize("codec", ["gz", "org.apache.hadoop.io.compress.GzipCodec"])
def test_saved_text_can_be_compressed(sc: Context, tmp_path: Path, codec: str) -> None:
    sc.parallelize(["x", "y"], 1).saveAsTextFile(str(tmp_path / "out"), codec)
    assert gzip.decompress((tmp_path / "out" / "part-00000.gz").read_bytes()) == b"x\ny\n"
    assert sc.textFile(str(tmp_path / "out")).collect() == ["x", "y"]


def test_an_empty_rdd_saves_an_empty_success(sc: Context, tmp_path: Path) -> None:
    sc.emptyRDD().saveAsTextFile(str(tmp_path / "none"))
    sc.parallelize([], 2).saveAsTextFile(str(tmp_path / "two"))
    assert os.listdir(tmp_path / "none") == ["_SUCCESS"]
    assert sc.textFile(str(tmp_path / "two")).collect() == []


def test_results_of_several_actions_agree(sc: Context) -> None:
    rdd = sc.parallelize(range(1000), 7).map(lambda x: (x % 10, x)).reduceByKey(add)
    whole = rdd.collect()
    assert rdd.take(4) == whole[:4]
    assert reduce(add, rdd.values().collect()) == rdd.values().sum() == sum(range(1000))
    assert rdd.keys().collect() == list(map(first, whole))

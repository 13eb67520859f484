"""zip, indexes, cartesian product, pipe and the sort within partitions."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from beside import Calls, double
from hypothesis import given
from hypothesis import strategies as st

from mpirdd import Context, TaskError, UsageError

DATA = st.lists(st.integers(-9, 9), max_size=30)
PARTITIONS = st.integers(1, 6)


@given(data=DATA, count=PARTITIONS)
def test_records_are_numbered_in_the_order_of_collect(sc: Context, data: list[int], count: int) -> None:
    rdd = sc.parallelize(data, count)
    assert rdd.zipWithIndex().collect() == list(zip(data, range(len(data)), strict=True))
    assert rdd.zip(rdd.map(double)).collect() == [(x, 2 * x) for x in data]
    unique = rdd.zipWithUniqueId()
    assert unique.keys().collect() == data
    expected = [i * count + k for k, part in enumerate(rdd.glom().collect()) for i in range(len(part))]
    assert unique.values().collect() == expected
    assert len(set(expected)) == len(data)


@given(left=DATA, right=DATA, counts=st.tuples(PARTITIONS, PARTITIONS))
def test_cartesian_agrees_with_product(sc: Context, left: list[int], right: list[int], counts: tuple[int, int]) -> None:
    x, y = sc.parallelize(left, counts[0]), sc.parallelize(right, counts[1])
    made = x.cartesian(y)
    assert made.getNumPartitions() == counts[0] * counts[1]
    assert sorted(made.collect()) == sorted(itertools.product(left, right))
    assert made.glom().collect() == [
        list(itertools.product(a, b)) for a in x.glom().collect() for b in y.glom().collect()]


def test_what_works_by_place_loses_the_partitioner(sc: Context) -> None:
    x = sc.parallelize([(1, 2)]).partitionBy(2)
    for made in (x.zip(x), x.zipWithIndex(), x.zipWithUniqueId(), x.cartesian(x), x.pipe("cat")):
        assert made.partitioner is None


def test_zip_with_index_counts_when_an_action_needs_it_and_only_once(sc: Context, calls: Calls) -> None:
    indexed = sc.parallelize("abcdef", 3).map(calls).zipWithIndex()
    later = indexed.map(lambda pair: pair[1])
    assert calls.count() == 0
    assert later.collect() == list(range(6))
    assert calls.count() == 4 + 6  # the last partition is not counted
    assert indexed.take(1) == [("a", 0)]
    assert calls.count() <= 2


def test_zip_with_index_of_one_partition_runs_no_job_of_its_own(sc: Context, calls: Calls) -> None:
    assert sc.parallelize("ab", 1).map(calls).zipWithIndex().collect() == [("a", 0), ("b", 1)]
    assert calls.count() == 2
    assert sc.emptyRDD().zipWithIndex().collect() == sc.emptyRDD().zipWithUniqueId().collect() == []


def test_indexes_of_shuffled_and_sorted_data(sc: Context) -> None:
    words = sc.parallelize(["d", "a", "c", "b"], 3).sortBy(str)
    assert words.zipWithIndex().zipWithIndex().collect() == [((word, i), i) for i, word in enumerate("abcd")]


def test_zip_needs_as_many_partitions_at_once_and_as_many_records_in_the_job(sc: Context) -> None:
    x = sc.parallelize(range(6), 3)
    with pytest.raises(ValueError, match="3 and 2"):
        x.zip(sc.parallelize(range(6), 2))
    for other in (range(5), range(7)):
        with pytest.raises(TaskError, match=r"same number of records.*partition \d") as caught:
            x.zip(sc.parallelize(other, 3)).collect()
        assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(TypeError, match="zip needs another RDD"):
        x.zip([1])
    with pytest.raises(TypeError, match="cartesian needs another RDD"):
        x.cartesian([1])


def test_zip_passes_errors_of_the_records_on(sc: Context) -> None:
    with pytest.raises(TaskError, match="invalid literal"):
        sc.parallelize(["1", "x"], 1).map(int).zip(sc.parallelize([1, 2], 1)).collect()


def test_cartesian_with_itself_and_with_nothing(sc: Context) -> None:
    x = sc.parallelize([1, 2], 2)
    assert sorted(x.cartesian(x).collect()) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert x.cartesian(sc.emptyRDD()).getNumPartitions() == 0
    assert x.cartesian(sc.parallelize([], 2)).collect() == []


def test_cartesian_reads_one_shot_iterators_again_for_each_record(sc: Context) -> None:
    generated = sc.parallelize([0], 1).flatMap(lambda _: (i for i in range(3)))
    assert generated.cartesian(generated).count() == 9


# --- pipe -------------------------------------------------------------------------------------------------------------


def test_pipe_starts_the_command_once_a_partition(sc: Context) -> None:
    rdd = sc.parallelize(["b", "", "a", 5, None], 2)
    assert rdd.pipe("cat").collect() == ["b", "", "a", "5", "None"]
    assert rdd.pipe("sort").glom().collect() == [["", "b"], ["5", "None", "a"]]
    assert rdd.pipe("sh -c 'cat; echo end'").filter(lambda line: line == "end").count() == 2


def test_pipe_hands_on_the_given_environment_only(sc: Context) -> None:
    one = sc.parallelize([1], 1)
    assert one.pipe("env").collect() == []
    assert one.pipe("env", {"COLOR": "red"}).collect() == ["COLOR=red"]


def test_pipe_fails_on_exit_codes_only_if_asked_to(sc: Context) -> None:
    rdd = sc.parallelize(range(4), 2)
    assert rdd.pipe("sh -c 'exit 7'").collect() == []
    with pytest.raises(TaskError, match="exit status 7"):
        rdd.pipe("sh -c 'exit 7'", checkCode=True).collect()
    with pytest.raises(TaskError, match="no-such-command"):
        rdd.pipe("no-such-command").collect()
    with pytest.raises(TypeError, match="command"):
        rdd.pipe(["cat"])  # type: ignore[arg-type]


def test_pipe_of_large_partitions_does_not_jam(sc: Context) -> None:
    lines = sc.range(0, 60_000, numSlices=2).map("{:0100}".format)
    assert lines.pipe("sort -rn").map(len).sum() == 60_000 * 100
    assert lines.pipe("cat").pipe("tr 0 x").take(1) == ["x" * 100]


def test_functions_before_pipe_run_inside_the_task(sc: Context) -> None:
    seen = sc.accumulator(0)

    def note(x: Any) -> Any:
        seen.add(1)
        return 1 // x

    assert sc.parallelize([1, 1], 2).map(note).pipe("cat").collect() == ["1", "1"]
    assert seen.value == 2
    with pytest.raises(TaskError, match=r"ZeroDivisionError(?s:.*)in note"):
        sc.parallelize([1, 0], 1).map(note).pipe("cat").collect()


# --- repartitionAndSortWithinPartitions -------------------------------------------------------------------------------


@given(keys=st.lists(st.integers(0, 40), max_size=40), count=PARTITIONS, ascending=st.booleans())
def test_partitions_are_sorted_within(sc: Context, keys: list[int], count: int, ascending: bool) -> None:
    pairs = [(key, place) for place, key in enumerate(keys)]
    made = sc.parallelize(pairs, 3).repartitionAndSortWithinPartitions(count, ascending=ascending)
    assert made.partitioner == sc.parallelize(pairs).partitionBy(count).partitioner
    assert made.glom().collect() == [
        sorted((pair for pair in pairs if pair[0] % count == place), key=lambda pair: pair[0], reverse=not ascending)
        for place in range(count)]


def test_sort_within_partitions_by_functions_of_the_key(sc: Context) -> None:
    pairs = sc.parallelize([(5, 1), (3, 2), (8, 3), (0, 4), (3, 5), (2, 6), (7, 7)], 3)
    made = pairs.repartitionAndSortWithinPartitions(2, lambda key: key // 4, False)
    assert made.glom().collect() == [[(8, 3), (3, 2), (3, 5), (2, 6), (0, 4)], [(7, 7), (5, 1)]]
    made = pairs.repartitionAndSortWithinPartitions(keyfunc=lambda key: -key)
    assert made.glom().collect() == [[(3, 2), (3, 5), (0, 4)], [(7, 7)], [(8, 3), (5, 1), (2, 6)]]


def test_sort_within_partitions_does_not_move_what_is_there_already(sc: Context) -> None:
    there = sc.parallelize([(3, 1), (1, 1), (2, 1)], 2).partitionBy(2)
    made = there.repartitionAndSortWithinPartitions(2)
    assert made.glom().collect() == [[(2, 1)], [(1, 1), (3, 1)]]
    assert made.toDebugString().count(b"+-") == 1
    with pytest.raises(ValueError, match="numPartitions"):
        there.repartitionAndSortWithinPartitions(0)
    with pytest.raises(UsageError, match="function"):
        there.repartitionAndSortWithinPartitions(2, keyfunc=1)  # type: ignore[arg-type]

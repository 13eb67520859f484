"""Accumulators: sums over tasks, exactly once for each partition."""

from __future__ import annotations

import contextvars
from collections import Counter
from operator import add
from threading import Thread
from typing import Any

import numpy as np
import pytest
from beside import about_keeping

from mpirdd import AccumulatorParam, Context, TaskError
from mpirdd.api.accumulators import AddingAccumulatorParam


class Vector(AccumulatorParam):
    """Arrays, added in place."""

    def zero(self, value: Any) -> Any:
        return np.zeros_like(value)

    def addInPlace(self, value1: Any, value2: Any) -> Any:
        value1 += value2
        return value1


class Counts(AccumulatorParam):
    def zero(self, value: Any) -> Any:
        return Counter()

    def addInPlace(self, value1: Any, value2: Any) -> Any:
        value1.update(value2)
        return value1


class Largest(AccumulatorParam):
    """Not in place, and with a zero that is not a number."""

    def zero(self, value: Any) -> Any:
        return None

    def addInPlace(self, value1: Any, value2: Any) -> Any:
        return max((value for value in (value1, value2) if value is not None), default=None)


def test_numbers(sc: Context) -> None:
    whole, real, both = sc.accumulator(10), sc.accumulator(0.5), sc.accumulator(1j)

    def see(x: int) -> None:
        nonlocal whole
        whole += x
        real.add(x / 2)
        both.add(x)

    sc.parallelize(range(100), 9).foreach(see)
    assert (whole.value, real.value, both.value) == (10 + 4950, 0.5 + 2475.0, 4950 + 1j)


@pytest.mark.parametrize("length", [3, 50_000])
def test_arrays_added_in_place(sc: Context, length: int) -> None:
    total = sc.accumulator(np.ones(length), Vector())
    sc.parallelize(range(20), 7).foreach(lambda x: total.add(np.full(length, x)))
    assert (total.value == 1 + sum(range(20))).all()
    total.value[0] = 7  # it is the program's own array
    sc.parallelize(range(20), 7).foreach(lambda x: total.add(np.full(length, x)))
    assert (total.value[0], total.value[1]) == (7 + 190, 1 + 380)


def test_a_zero_that_is_the_same_object_each_time(sc: Context) -> None:
    """One task's sum, made in place, must not become the zero of the next."""
    total = sc.accumulator(np.zeros(2), AddingAccumulatorParam(np.zeros(2)))
    sc.parallelize(range(30), 10).foreach(lambda x: total.add(np.array([1, x])))
    assert total.value.tolist() == [30, sum(range(30))]


def test_counters_and_values_that_are_no_sums(sc: Context) -> None:
    words = ["a", "b", "a", "c", "a", "b"] * 10
    counts, largest = sc.accumulator(Counter(z=1), Counts()), sc.accumulator(None, Largest())

    def see(word: str) -> None:
        counts.add([word])
        largest.add(word)

    sc.parallelize(words, 8).foreach(see)
    assert counts.value == Counter(words) + Counter(z=1)
    assert largest.value == "c"


def test_several_in_one_function_and_one_in_several_functions(sc: Context) -> None:
    seen, odd, after = (sc.accumulator(0) for _ in range(3))

    def look(x: int) -> int:
        seen.add(1)
        if x % 2:
            odd.add(1)
        return x

    def look_again(x: int) -> int:
        seen.add(1)
        after.add(x)
        return x

    assert sc.parallelize(range(50), 6).map(look).map(look_again).sum() == sum(range(50))
    assert (seen.value, odd.value, after.value) == (100, 25, sum(range(50)))


def test_each_partition_of_a_shuffle_counts_once_whatever_uses_it(sc: Context) -> None:
    mapped, merged = sc.accumulator(0), sc.accumulator(0)

    def pair(x: int) -> tuple[int, int]:
        mapped.add(1)
        return x % 5, x

    def merge(a: int, b: int) -> int:
        merged.add(1)
        return a + b

    sums = sc.parallelize(range(100), 6).map(pair).reduceByKey(merge, 4)
    expected = {key: sum(range(key, 100, 5)) for key in range(5)}
    assert sums.collectAsMap() == expected
    assert (mapped.value, merged.value) == (100, 95)
    assert sums.collectAsMap() == expected
    assert mapped.value == 100  # the map side is not run again


@about_keeping
def test_kept_partitions_count_once(sc: Context) -> None:
    seen = sc.accumulator(0)

    def look(x: int) -> int:
        seen.add(1)
        return x

    kept = sc.parallelize(range(40), 5).map(look).cache()
    assert [kept.count(), kept.sum()] == [40, sum(range(40))]
    assert seen.value == 40


def test_take_counts_the_partitions_it_ran(sc: Context) -> None:
    seen = sc.accumulator(0)

    def look(x: int) -> int:
        seen.add(1)
        return x

    assert sc.parallelize(range(100), 100).map(look).take(1) == [0]
    assert seen.value == 1


def test_tasks_that_fail_add_nothing(sc: Context) -> None:
    seen = sc.accumulator(0)

    def look(x: int) -> None:
        seen.add(1)
        raise LookupError(x)

    with pytest.raises(TaskError):
        sc.parallelize(range(10), 10).foreach(look)
    assert seen.value == 0


def test_the_program_may_add_and_set(sc: Context) -> None:
    total = sc.accumulator(1)
    total += 5
    total.add(4)
    assert total.value == 10
    total.value = 3
    sc.parallelize([1, 2]).foreach(total.add)
    assert total.value == 6


def test_a_sum_is_not_to_be_read_in_a_task(sc: Context) -> None:
    total = sc.accumulator(0)
    with pytest.raises(TaskError, match="cannot be read inside a task"):
        sc.parallelize([1]).map(lambda x: total.value).collect()


def test_threads_of_a_task_add_with_its_context_and_are_told_without(sc: Context) -> None:
    total = sc.accumulator(0)

    def in_threads(records: Any, *, with_context: bool) -> list[str]:
        said = []

        def look(x: int) -> None:
            try:
                total.add(x)
            except Exception as error:
                said.append(str(error))

        for x in records:
            run = contextvars.copy_context().run if with_context else (lambda function, x: function(x))
            thread = Thread(target=run, args=(look, x))
            thread.start()
            thread.join()
        return said

    numbers = sc.parallelize(range(10), 2)
    assert numbers.mapPartitions(lambda records: in_threads(records, with_context=True)).collect() == []
    assert total.value == 45
    said = numbers.mapPartitions(lambda records: in_threads(records, with_context=False)).collect()
    assert len(said) == 10
    assert all("copy_context" in text for text in said)
    assert total.value == 45


def test_in_a_tree(sc: Context) -> None:
    seen = sc.accumulator(0)

    def plus(a: int, b: int) -> int:
        seen.add(1)
        return add(a, b)

    assert sc.parallelize(range(32), 8).treeReduce(plus) == sum(range(32))
    assert seen.value == 31

"""Combining by key, against plain dicts; and the errors for records that cannot be combined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from operator import add
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd.ops.combine import Combiner, combine, merge
from mpirdd.ops.partitioners import HashPartitioner
from mpirdd.ops.shuffle import read, write
from mpirdd.protocol.errors import RecordError
from mpirdd.store.task_memory import TaskMemory

PAIRS = st.lists(st.tuples(st.integers(0, 9) | st.text(max_size=2), st.integers()), max_size=40)
QUICK = settings(deadline=None, max_examples=60)

SPACE = TaskMemory.unbounded()
SUM = Combiner(None, add, add, "reduceByKey")
PLUS = Combiner(None, lambda a, b: a + b, add, "reduceByKey")
LISTS = Combiner(lambda value: [value], lambda values, value: [*values, value], add, "groupByKey")


def sums(records: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    totals: dict[Any, int] = defaultdict(int)
    for key, value in records:
        totals[key] += value
    return dict(totals)


def groups(records: Iterable[tuple[Any, int]]) -> dict[Any, list[int]]:
    grouped: dict[Any, list[int]] = defaultdict(list)
    for key, value in records:
        grouped[key].append(value)
    return dict(grouped)


def through_a_shuffle(maps: list[list[Any]], partitions: int, combiner: Combiner | None) -> list[list[Any]]:
    """The records of each reduce partition."""
    outputs = [buckets for index, records in enumerate(maps)
               for buckets in write(HashPartitioner(partitions), combiner, index, records, SPACE)]
    assert all(buckets and sorted(buckets) == list(buckets) and max(buckets) < partitions for buckets in outputs)
    columns = ([buckets[part] for buckets in outputs if part in buckets] for part in range(partitions))
    return [list(read(combiner, column, SPACE)) for column in columns]


@QUICK
@given(PAIRS, st.booleans())
def test_combine_agrees_with_a_dict(records: list[tuple[Any, int]], mostly_known: bool) -> None:
    assert list(combine(SUM, records, mostly_known=mostly_known).items()) == list(sums(records).items())
    assert list(combine(PLUS, records, mostly_known=mostly_known).items()) == list(sums(records).items())
    assert list(combine(LISTS, records, mostly_known=mostly_known).items()) == list(groups(records).items())


@QUICK
@given(PAIRS)
def test_merge_combines_combiners(records: list[tuple[Any, int]]) -> None:
    assert merge(LISTS, [(key, [value]) for key, value in records]) == groups(records)


@QUICK
@given(st.lists(PAIRS, max_size=5), st.integers(1, 4))
def test_a_shuffle_combines_over_all_map_tasks(maps: list[list[Any]], partitions: int) -> None:
    everything = [record for records in maps for record in records]
    parts = through_a_shuffle(maps, partitions, SUM)
    assert sum(map(len, parts)) == len(sums(everything))
    assert dict(record for part in parts for record in part) == sums(everything)
    assert dict(record for part in through_a_shuffle(maps, partitions, LISTS) for record in part) == groups(everything)


@QUICK
@given(st.lists(PAIRS, max_size=5), st.integers(1, 4))
def test_without_a_combiner_records_keep_the_order_of_their_map_tasks(maps: list[list[Any]], partitions: int) -> None:
    partitioner = HashPartitioner(partitions)
    everything = [record for records in maps for record in records]
    assert through_a_shuffle(maps, partitions, None) == [
        [record for record in everything if partitioner(record[0]) == part] for part in range(partitions)]


def test_a_map_task_with_nothing_for_a_partition_writes_nothing() -> None:
    assert list(write(HashPartitioner(3), None, 0, [], SPACE)) == []


def test_empty_buckets_are_no_part_of_a_pack() -> None:
    for combiner in (None, SUM, LISTS):
        (pack,) = write(HashPartitioner(1_000), combiner, 0, [(7, 1), (993, 2)], SPACE)
        assert list(pack) == [7, 993]


def test_gathering_twice_gives_fresh_records() -> None:
    (pack,) = write(HashPartitioner(1), None, 0, [("a", [1])], SPACE)
    for _ in range(2):
        ((_, values),) = read(None, [pack[0]], SPACE)
        values.append(2)
        assert values == [1, 2]


@pytest.mark.parametrize("mostly_known", [False, True])
@pytest.mark.parametrize("combiner", [SUM, LISTS])
@pytest.mark.parametrize("record", [5, None, (1,), (1, 2, 3), []])
def test_a_record_that_is_no_pair_is_named(combiner: Combiner, record: Any, mostly_known: bool) -> None:
    with pytest.raises(RecordError, match="pairs") as raised:
        combine(combiner, [("a", 1), record], mostly_known=mostly_known)
    assert combiner.operation in str(raised.value)
    assert repr(record) in str(raised.value)


@pytest.mark.parametrize("mostly_known", [False, True])
@pytest.mark.parametrize("combiner", [SUM, LISTS])
def test_a_key_that_cannot_be_hashed_is_named(combiner: Combiner, mostly_known: bool) -> None:
    with pytest.raises(RecordError, match=r"hashed; got \[1\]"):
        combine(combiner, [([1], 1)], mostly_known=mostly_known)


@pytest.mark.parametrize("mostly_known", [False, True])
def test_a_key_error_of_the_user_s_function_is_no_new_key(mostly_known: bool) -> None:
    def fail(*values: int) -> int:
        raise KeyError(values)

    with pytest.raises(KeyError, match=r"1, 2") as raised:
        combine(Combiner(None, fail, fail, "reduceByKey"), [("a", 1), ("a", 2)], mostly_known=mostly_known)
    assert raised.value.__context__ is None
    with pytest.raises(KeyError, match=r"1,") as raised:
        combine(Combiner(fail, fail, fail, "combineByKey"), [("a", 1)], mostly_known=mostly_known)
    assert raised.value.__context__ is None


def test_errors_of_the_user_s_function_pass_through() -> None:
    with pytest.raises(TypeError, match="unsupported operand") as raised:
        combine(SUM, [("a", 1), ("a", None)])
    assert not isinstance(raised.value, RecordError)


def test_errors_of_what_makes_the_records_pass_through() -> None:
    def records() -> Iterable[Any]:
        raise ValueError("from upstream")
        yield

    with pytest.raises(ValueError, match="from upstream"):
        combine(SUM, records())

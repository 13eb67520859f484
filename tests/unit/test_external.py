"""Combining, grouping and sorting with next to no memory, at random refusals, against plain Python."""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from itertools import accumulate, chain, product
from operator import add, itemgetter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tight import tight

from mpirdd.ops import combine
from mpirdd.ops.combine import Combiner, aggregated, aggregated_pairs
from mpirdd.ops.group import cogroup, group_lists, group_pairs
from mpirdd.ops.join import combinations, join, select
from mpirdd.ops.partitioners import HashPartitioner
from mpirdd.ops.range_bounds import Bound
from mpirdd.ops.range_partitioner import RangePartitioner
from mpirdd.ops.shuffle import read, write
from mpirdd.ops.sort import sort
from mpirdd.protocol.errors import RecordError
from mpirdd.store.codec import decode
from mpirdd.store.pieces import slices, slices_of_columns
from mpirdd.store.spilled_list import SpilledList, keep
from mpirdd.store.task_memory import TaskMemory

pytestmark = pytest.mark.timeout(120)
QUICK = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])

KEYS = (
    st.integers(-3, 3) | st.text(max_size=1) | st.none() | st.booleans() | st.sampled_from([1.0, -2.5, float("inf")])
    | st.binary(max_size=1) | st.tuples(st.integers(0, 2), st.text(max_size=1)) | st.just(Decimal(2))
    | st.frozensets(st.integers(0, 2), max_size=2) | st.sampled_from([date(2026, 1, 1), timedelta(1)])
)
PAIRS = st.lists(st.tuples(KEYS, st.integers()), max_size=120)
UNIQUE_PAIRS = st.dictionaries(KEYS, st.integers(), max_size=120).map(lambda pairs: list(pairs.items()))
ANSWERS = st.lists(st.booleans(), min_size=1, max_size=8)
LIMITS = st.sampled_from([1, 600, 5_000, 100_000])

SUM = Combiner(None, add, add, "reduceByKey")


def in_place(values: list[Any], more: list[Any]) -> list[Any]:
    values.extend(more)
    return values


def with_value(values: list[Any], value: Any) -> list[Any]:
    values.append(value)
    return values


LISTS = Combiner(lambda value: [value], with_value, in_place, "combineByKey")
GROUPS = Combiner(lambda value: [value], with_value, in_place, "groupByKey", groups=True)


def groups_of(records: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    grouped: dict[Any, list[Any]] = defaultdict(list)
    for key, value in records:
        grouped[key].append(value)
    return dict(grouped)


def as_dict(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    listed = list(pairs)
    assert len({key for key, _ in listed}) == len(listed), "a key came twice"
    return dict(listed)


def chunks(records: list[Any], size: int = 7) -> list[list[Any]]:
    return [records[begin : begin + size] for begin in range(0, len(records), size)]


@QUICK
@given(PAIRS, LIMITS, ANSWERS)
def test_aggregating_with_little_memory_agrees_with_a_dict(
    records: list[tuple[Any, int]], limit: int, answers: list[bool]
) -> None:
    memory, lender = tight(limit, answers)
    expected = {key: sum(values) for key, values in groups_of(records).items()}
    assert as_dict(aggregated(SUM, chunks(records), memory)) == expected
    assert as_dict(aggregated_pairs(SUM, iter(records), memory)) == expected
    assert lender.lent == 0


def test_records_that_merging_makes_no_fewer_are_merged_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first refusal on the combine spreads them as they come."""
    merged = 0
    merge = combine.merge

    def counting(combiner: Combiner, records: Any, held: Any) -> Any:
        nonlocal merged
        merged += len(records)
        return merge(combiner, records, held)

    monkeypatch.setattr(combine, "merge", counting)
    memory, lender = tight(1_000_000)
    records = [(place, place) for place in range(60_000)]
    assert as_dict(aggregated(SUM, chunks(records, 500), memory)) == dict(records)
    assert lender.refused
    assert 60_000 <= merged <= 1.4 * 60_000


def test_pairs_in_columns_read_back_as_pairs() -> None:
    file = SpilledList(TaskMemory.unbounded().spill_file())
    keys, values = [f"key {number}" for number in range(1_000)], [[number] for number in range(1_000)]
    cut = partial(slices_of_columns, step=7)
    file.write_pairs(keys, values, cut)
    file.write_pairs([], [], cut)
    pairs = list(zip(keys, values, strict=True))
    assert list(file) == [pair for columns in file.columns() for pair in columns] == pairs
    assert [columns[-1] for columns in file.columns()] == [piece[-1] for piece in file.pieces()]
    assert len(file) == 1_000


@QUICK
@given(PAIRS, LIMITS, ANSWERS)
def test_combiners_that_change_their_argument_combine_every_value_once(
    records: list[tuple[Any, int]], limit: int, answers: list[bool]
) -> None:
    memory, _ = tight(limit, answers)
    assert as_dict(aggregated_pairs(LISTS, iter(records), memory)) == groups_of(records)


@QUICK
@given(PAIRS, LIMITS, ANSWERS)
def test_groups_have_all_values_in_order(records: list[tuple[Any, int]], limit: int, answers: list[bool]) -> None:
    memory, lender = tight(limit, answers)
    lists = [[(key, [value]) for key, value in piece] for piece in chunks(records)]
    for groups in (group_pairs("groupByKey", iter(records), memory), group_lists(lists, memory)):
        assert {key: list(values) for key, values in as_dict(groups).items()} == groups_of(records)
    assert lender.lent == 0


@QUICK
@given(st.lists(PAIRS, min_size=2, max_size=3), LIMITS, ANSWERS)
def test_cogroups_have_the_values_of_each_part_in_order(
    parts: list[list[tuple[Any, int]]], limit: int, answers: list[bool]
) -> None:
    memory, lender = tight(limit, answers)
    expected = {key: tuple(groups_of(part).get(key, []) for part in parts) for part in parts for key, _ in part}
    found = as_dict(cogroup("cogroup", parts, memory))
    assert {key: tuple(map(list, groups)) for key, groups in found.items()} == expected
    assert all(len(values) == len(list(values)) for groups in found.values() for values in groups)
    assert lender.lent == 0


@pytest.mark.parametrize("group", [group_pairs, cogroup])
def test_in_memory_keys_come_in_the_order_of_their_first_record(group: Callable[..., Any]) -> None:
    records = [(key % 7, key) for key in range(50, 0, -1)]
    given = [records] if group is cogroup else iter(records)
    assert [key for key, _ in group("groupByKey", given, TaskMemory.unbounded())] == list(groups_of(records))


def joined_by_hand(
    left: list[tuple[Any, int]], right: list[tuple[Any, int]], all_of_left: bool, all_of_right: bool
) -> Counter[Any]:
    """Every combination of the values of each key, and how often it comes."""
    mine, others = groups_of(left), groups_of(right)
    return Counter(
        (key, both) for key in {**mine, **others}
        for both in product(mine.get(key) or [None] * all_of_right, others.get(key) or [None] * all_of_left))


@QUICK
@given(PAIRS, PAIRS | UNIQUE_PAIRS, LIMITS, ANSWERS, st.booleans(), st.booleans())
def test_joining_with_little_memory_gives_every_combination(
    left: list[tuple[Any, int]], right: list[tuple[Any, int]], limit: int, answers: list[bool],
    all_of_left: bool, all_of_right: bool,
) -> None:
    expected = joined_by_hand(left, right, all_of_left, all_of_right)
    memory, lender = tight(limit, answers)
    joined = join("join", iter(left), iter(right), memory, all_of_left=all_of_left, all_of_right=all_of_right)
    assert Counter(joined) == expected
    flipped = join("join", iter(right), iter(left), memory, all_of_left=all_of_right, all_of_right=all_of_left)
    assert Counter((key, (mine, other)) for key, (other, mine) in flipped) == expected
    assert lender.lent == 0


@QUICK
@given(PAIRS, UNIQUE_PAIRS, LIMITS, ANSWERS, st.booleans(), st.booleans())
def test_joining_takes_the_dictionaries_of_a_combine(
    left: list[tuple[Any, int]], right: list[tuple[Any, int]], limit: int, answers: list[bool],
    all_of_left: bool, all_of_right: bool,
) -> None:
    expected = joined_by_hand(left, right, all_of_left, all_of_right)
    memory, lender = tight(limit, answers)
    merged = aggregated(SUM, chunks(right, 7), memory)
    joined = join("join", iter(left), merged, memory, all_of_left=all_of_left, all_of_right=all_of_right)
    assert Counter(joined) == expected
    assert lender.lent == 0


@QUICK
@given(PAIRS, PAIRS, LIMITS, ANSWERS, st.booleans(), st.sampled_from([list, iter]))
def test_selecting_by_the_keys_of_others_agrees_with_a_set(
    records: list[tuple[Any, int]], others: list[tuple[Any, int]], limit: int, answers: list[bool], wanted: bool,
    given_as: Callable[[Any], Any],
) -> None:
    memory, lender = tight(limit, answers)
    keys = {key for key, _ in others}
    expected = [record for record in records if (record[0] in keys) is wanted]
    found = list(select(wanted, "subtractByKey", given_as(records), others, memory))
    assert Counter(map(repr, found)) == Counter(map(repr, expected))  # 1 and 1.0 are one key, but not one record
    assert lender.lent == 0


class Ordered:
    """Knows only ``<``, and ties with all of its rank."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def __lt__(self, other: Ordered) -> bool:
        return self.rank < other.rank


@QUICK
@given(st.lists(st.integers(0, 20), max_size=300), LIMITS, ANSWERS, st.booleans(), st.booleans())
def test_sorting_with_little_memory_is_as_sorted(
    ranks: list[int], limit: int, answers: list[bool], reverse: bool, only_less: bool
) -> None:
    memory, lender = tight(limit, answers)
    records = list(zip(ranks, range(len(ranks)), strict=True))
    key: Callable[[Any], Any] = (lambda record: Ordered(record[0])) if only_less else itemgetter(0)
    assert list(sort(iter(records), key, reverse, memory)) == sorted(records, key=key, reverse=reverse)
    assert lender.lent == 0


@pytest.mark.parametrize("reverse", [False, True])
def test_hundreds_of_runs_are_merged_in_several_passes_and_stay_stable(reverse: bool) -> None:
    memory, lender = tight(1 << 16, [True, False])
    records = [(place * 7919 % 10, place) for place in range(20_000)]
    assert list(sort(iter(records), itemgetter(0), reverse, memory)) == sorted(records, key=itemgetter(0), reverse=reverse)
    assert lender.refused > 100, "there were not many runs"


@pytest.mark.parametrize("lists", [False, True])
def test_values_that_grouping_makes_no_fewer_keep_their_order(lists: bool) -> None:
    """40,000 keys come evenly: from the first refusal on the grouping spreads records as they
    come."""
    memory, lender = tight(1_000_000)
    records = [(place % 40_000, place) for place in range(120_000)]
    found = (group_lists(([(key, [value]) for key, value in piece] for piece in chunks(records, 500)), memory) if lists
             else group_pairs("groupByKey", iter(records), memory))
    assert as_dict(found) == groups_of(records)
    assert lender.refused
    assert memory.spilled_bytes < 3_000_000, "each record is spread once"


@pytest.mark.parametrize("bad", [3, ([], 1)])
def test_a_record_that_is_no_pair_is_told_where_records_are_spread_as_they_come(bad: Any) -> None:
    memory, lender = tight(100_000)
    with pytest.raises(RecordError, match="groupByKey needs"):
        list(group_pairs("groupByKey", chain(((place, place) for place in range(10_000)), [bad]), memory))
    assert lender.refused
    assert lender.lent == 0


def test_a_skewed_key_s_values_are_on_disk_and_can_be_read_again_and_at_the_same_time() -> None:
    memory, _ = tight(200_000)
    records = [(("skewed" if place % 3 else place % 11), place) for place in range(60_000)]
    groups = as_dict(group_pairs("groupByKey", iter(records), memory))
    skewed, expected = groups["skewed"], groups_of(records)
    assert isinstance(skewed, SpilledList)
    assert len(skewed) == len(expected["skewed"]) == 40_000
    assert [list(skewed), list(skewed)] == [expected["skewed"]] * 2
    assert list(zip(skewed, skewed, strict=True)) == [(value, value) for value in expected["skewed"]]
    assert pickle.loads(pickle.dumps(skewed)) == expected["skewed"]
    assert {key: list(values) for key, values in groups.items()} == expected


def test_a_key_that_becomes_skewed_late_and_at_several_depths_keeps_the_order_of_its_values() -> None:
    """First the key comes once a batch among others, and is spread; then it is alone. The lender
    always refuses."""
    memory, _ = tight(1, [False])
    records = [("late" if place % 6 == 0 or place > 600 else place, place) for place in range(700)]
    groups = as_dict(group_pairs("groupByKey", iter(records), memory))
    assert isinstance(groups["late"], SpilledList)
    assert {key: list(values) for key, values in groups.items()} == groups_of(records)


def test_a_skewed_group_outlives_its_task() -> None:
    memory, _ = tight(100_000)
    ((_, group),) = group_pairs("groupByKey", (("k", place) for place in range(50_000)), memory)
    assert isinstance(group, SpilledList)
    memory.close()
    assert list(group) == list(range(50_000))


def test_a_small_group_stays_a_list_beside_a_skewed_key() -> None:
    memory, _ = tight(200_000)
    records = [("skewed", 0)] * 50_000 + [(place, place) for place in range(300)]
    groups = as_dict(group_pairs("groupByKey", iter(records), memory))
    assert all(type(groups[place]) is list for place in range(300))


@pytest.mark.parametrize("spilled", [(False, False), (True, False), (False, True), (True, True)])
def test_all_combinations_come_out_wherever_the_groups_are(spilled: tuple[bool, bool]) -> None:
    memory = TaskMemory.unbounded()

    def placed(values: list[Any], on_disk: bool) -> Any:
        if not on_disk:
            return values
        group = SpilledList(memory.spill_file())
        group.write_all(slices(values, 3))
        return group

    left, right = list(range(10)), list("abcdefgh")
    found = list(combinations(placed(left, spilled[0]), placed(right, spilled[1])))
    assert sorted(found) == sorted(product(left, right))
    if not spilled[1]:
        assert found == list(product(left, right))


@QUICK
@given(st.lists(st.integers(), max_size=200), LIMITS, ANSWERS)
def test_what_is_kept_reads_the_same_twice(records: list[int], limit: int, answers: list[bool]) -> None:
    memory, _ = tight(limit, answers)
    kept = keep(iter(records), memory)
    assert list(kept) == list(kept) == records
    assert len(kept) == len(records)


# --- both ends of a shuffle -------------------------------------------------------------------------------------------


@QUICK
@given(st.lists(PAIRS, max_size=3), st.integers(1, 4), LIMITS, ANSWERS)
def test_a_shuffle_with_many_flushes_agrees_with_a_dict(
    maps: list[list[Any]], partitions: int, limit: int, answers: list[bool]
) -> None:
    everything = [record for records in maps for record in records]
    for combiner in (None, SUM, GROUPS):
        memory, lender = tight(limit, answers)
        packs = [pack for index, records in enumerate(maps)
                 for pack in write(HashPartitioner(partitions), combiner, index, records, memory)]
        parts = [list(read(combiner, [pack[part] for pack in packs if part in pack], memory))
                 for part in range(partitions)]
        if combiner is None:
            place = HashPartitioner(partitions)
            assert parts == [[record for record in everything if place(record[0]) == part] for part in range(partitions)]
        else:
            found = as_dict(pair for part in parts for pair in part)
            expected = groups_of(everything)
            assert {key: list(value) if combiner.groups else value for key, value in found.items()} == {
                key: values if combiner.groups else sum(values) for key, values in expected.items()}
        assert lender.lent == 0


@pytest.mark.parametrize("combiner", [None, GROUPS, LISTS, SUM])
def test_a_map_task_holds_no_more_than_its_working_memory(combiner: Combiner | None) -> None:
    limit = 300_000
    memory, lender = tight(limit)
    records = ((place % 5_000 if combiner else place, "x" * 50) for place in range(40_000))
    packs = list(write(HashPartitioner(3), combiner, 0, records, memory))
    assert len(packs) > 1
    assert 0 < lender.most <= limit
    assert lender.refused


def test_one_skewed_group_is_cut_so_that_no_bucket_is_huge() -> None:
    memory, _ = tight(16 << 20)
    records = (("skewed" if place % 100 else place, place) for place in range(300_000))
    packs = list(write(HashPartitioner(1), GROUPS, 0, records, memory))
    buckets = [decode(pack[0]) for pack in packs]
    sizes = [len(values) for _, _, values in buckets]
    assert sum(sizes) == 300_000
    assert max(sizes) < 20_000
    joined = []
    for keys, counts, values in buckets:
        ends = list(accumulate([1] * len(keys) if counts is None else counts, initial=0))
        for key, begin, end in zip(keys, ends, ends[1:], strict=False):
            joined += values[begin:end] if key == "skewed" else []
    assert joined == [place for place in range(300_000) if place % 100]


def test_equal_sort_keys_that_are_dealt_out_keep_their_order_over_flushes() -> None:
    """Half of the records have one key; the partitions end within it, and map tasks flush many times."""
    maps = [[(place % 2 * 5, (source, place)) for place in range(3_000)] for source in range(3)]
    bounds = (Bound(0), Bound(5, 0.7), Bound(5, 1.4), Bound(5, 2.2))
    partitioner = RangePartitioner(5, bounds, counts=(3_000, 3_000, 3_000))
    packs = []
    for source, records in enumerate(maps):
        memory, lender = tight(60_000)
        packs += list(write(partitioner, None, source, records, memory))
        assert lender.refused
    parts = [list(read(None, [pack[part] for pack in packs if part in pack], TaskMemory.unbounded()))
             for part in range(5)]
    in_order = [record for part in parts for record in sort(part, itemgetter(0), False, TaskMemory.unbounded())]
    assert in_order == sorted((record for records in maps for record in records), key=itemgetter(0))
    assert all(500 < len(part) < 2_000 for part in parts[1:]), [len(part) for part in parts]


@pytest.mark.parametrize("operation", [
    partial(group_pairs, "groupByKey"), lambda records, memory: cogroup("cogroup", [records], memory),
    lambda records, memory: join("join", records, [(1, 1)], memory),
    lambda records, memory: join("join", [(1, 1)], records, memory),
    lambda records, memory: aggregated_pairs(SUM, records, memory),
    lambda records, memory: sort(records, itemgetter(0), False, memory),
    lambda records, memory: write(HashPartitioner(2), None, 0, records, memory),
])
def test_errors_of_what_makes_the_records_pass_through(operation: Callable[..., Any]) -> None:
    def records() -> Iterable[Any]:
        for place in range(500):
            yield place, place
        raise ValueError("from upstream")

    memory, lender = tight(10_000)
    with pytest.raises(ValueError, match="from upstream"):
        list(operation(records(), memory))
    assert lender.lent == 0


@QUICK
@given(st.lists(KEYS, max_size=120), LIMITS, ANSWERS)
def test_distinct_keys_with_little_memory_are_those_of_a_dict(
    keys: list[Any], limit: int, answers: list[bool]
) -> None:
    memory, lender = tight(limit, answers)
    distinct = Combiner(None, add, add, "distinct", keys_only=True)
    buckets = [pack[0] for pack in write(HashPartitioner(1), distinct, 0, keys, memory)]
    found = list(read(distinct, buckets, memory))
    assert dict.fromkeys(found) == dict.fromkeys(keys)
    assert len(found) == len(set(keys))
    if not lender.refused:
        assert list(map(repr, found)) == list(map(repr, dict.fromkeys(keys)))
    assert lender.lent == 0


def test_a_key_that_distinct_cannot_take_is_named() -> None:
    distinct = Combiner(None, add, add, "distinct", keys_only=True)
    with pytest.raises(RecordError, match=r"distinct needs keys that can be hashed; got \[2\]"):
        list(write(HashPartitioner(1), distinct, 0, [1, [2], 3], TaskMemory.unbounded()))

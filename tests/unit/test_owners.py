"""Owners of reduce partitions as stretches, and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd.protocol.ids import Rank
from mpirdd.protocol.owners import NOBODY, Owners, Stretch, owners_of, tables_of
from mpirdd.store.codec import encode


def told(owners: Owners, executors: list[Rank]) -> dict[Rank, set[int]]:
    """The partitions of each executor that a plan names."""
    found: dict[Rank, set[int]] = defaultdict(set)
    for table in tables_of(owners, len(executors)):
        for partition, owner in enumerate(table):
            if owner != NOBODY:
                assert partition not in found[executors[owner]]
                found[executors[owner]].add(partition)
    return dict(found)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from([2, 3, 5, 7]), st.sets(st.integers(0, 40), min_size=1)))
def test_any_plan_comes_back(plan: dict[Rank, set[int]]) -> None:
    """Also one that sends a partition to several executors."""
    executors = [2, 3, 5, 7]
    assert told(owners_of(plan, executors), executors) == plan


def size(plan: Mapping[Rank, list[int]], executors: list[Rank]) -> int:
    """Bytes in a message."""
    return sum(map(len, encode(owners_of(plan, executors))))


@pytest.mark.parametrize("partitions", [10, 100_000])
def test_the_rule_of_placement_costs_the_same_for_any_number_of_partitions(partitions: int) -> None:
    executors = list(range(1, 1_001))
    plan = {rank: list(range(rank - 1, partitions, 1_000)) for rank in executors}
    assert owners_of(plan, executors) == ((Stretch(0, 1, partitions, 0, True),),)
    assert size(plan, executors) < 200


def test_what_a_lost_executor_had_is_short_too() -> None:
    left = [rank for rank in range(1, 101) if rank != 40]
    lost = range(39, 10_000, 100)
    plan = {rank: [part for part in lost if left[part % 99] == rank] for rank in left}
    assert size(plan, left) < 200


def test_neighbours_of_one_owner_are_a_stretch() -> None:
    assert owners_of({4: [0, 1, 2], 9: [3, 4, 5]}, [4, 9]) == ((Stretch(0, 1, 3, 0, False), Stretch(3, 1, 3, 1, False)),)


def test_partitions_for_everybody_take_a_layer_for_each() -> None:
    assert owners_of({1: range(50), 2: range(50)}, [1, 2]) == ((Stretch(0, 1, 50, 0, False),), (Stretch(0, 1, 50, 1, False),))


def test_owners_without_a_rule_take_four_bytes_a_partition() -> None:
    executors, random = list(range(1, 101)), Random(3)
    plan: dict[Rank, set[int]] = defaultdict(set)
    for partition in range(10_000):
        plan[random.choice(executors)].add(partition)
    owners = owners_of(plan, executors)
    assert sum(map(len, encode(owners))) < 40_500
    assert told(owners, executors) == plan


def test_a_plan_of_nothing_is_nothing() -> None:
    assert owners_of({}, [1, 2]) == ()
    assert list(tables_of((), 2)) == []

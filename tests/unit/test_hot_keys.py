"""Counting the keys of a shuffle: all of few, the hot ones of many, and no harm where there are none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mpirdd.ops import hot_keys


def counted(records: Iterable[Any], most: int) -> tuple[list[Any], hot_keys.Found]:
    """What a shuffle write gets, and what is told."""
    told: list[hot_keys.Found] = []
    passed = list(hot_keys.write(lambda partition, records, memory: records, told.append, most, 0, records, None))
    return passed, told[0]


def test_records_pass_in_order_and_keys_are_counted() -> None:
    records = [(number % 3, number) for number in range(10_000)]
    assert counted(iter(records), 2) == (records, (10_000, {"0": 3334, "1": 3333}))


def test_a_hot_key_among_very_many_stays() -> None:
    records = [("hot" if number % 10 == 0 else number, None) for number in range(300_000)]
    _, (total, keys) = counted(records, 1)
    assert (total, keys) == (300_000, {"'hot'": 30_000})


def test_records_count_as_far_as_their_keys_do() -> None:
    for faulty in (5, ([], None)):
        records = [*[("a", None)] * 5_000, faulty, *[("a", None)] * 5_000]
        _, (total, keys) = counted(records, 1)
        assert keys == {"'a'": total}
        assert total >= 5_000


def test_what_has_no_keys_passes_all_the_same() -> None:
    for records in ([1, 2, 3], [([1], 2), ([1], 3)], [(), ()], []):
        assert counted(records, 5) == (records, (0, {}))


def test_records_before_one_without_a_key_are_counted_as_their_keys_are() -> None:
    records = [*[("a", 1)] * 3, ("b", 1), ([], 1), ("b", 1)]
    assert counted(records, 5) == (records, (4, {"'a'": 3, "'b'": 1}))

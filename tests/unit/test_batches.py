"""Batches are bounded by bytes, however uneven the records are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tight import Lender

from mpirdd.store.batches import batches
from mpirdd.store.scratch import Scratch
from mpirdd.store.task_memory import TaskMemory

MOST = 100_000


class Grown(TaskMemory):
    """Notices at once when the process has grown by more than was foreseen. The process is what was made and not let go."""

    def __init__(self) -> None:
        super().__init__(Lender(1 << 40), Scratch())
        self.bytes = 1 << 30
        self._limit = sys.maxsize

    def watch(self, growth_bytes: int) -> int:
        self._limit = self.bytes + growth_bytes
        return self.bytes

    def make(self, nbytes: int) -> bytes:
        self.bytes += nbytes
        if self.bytes > self._limit:
            self.full.append(None)
        return bytes(nbytes)


@given(st.lists(st.sampled_from([1, 50, 3_000, 200_000]), max_size=300), st.booleans())
@settings(deadline=None, max_examples=60)
def test_every_record_comes_once_and_in_order(sizes: list[int], watched: bool) -> None:
    grown = Grown()
    made = (grown.make(size) for size in sizes)
    assert [len(record) for batch, _ in batches(made, MOST, grown if watched else None) for record in batch] == sizes


@pytest.mark.parametrize(("size", "most"), [(10, 1_800), (1_000, 100), (1_000_000, 1)])
def test_batches_of_even_records_come_to_be_as_large_as_asked(size: int, most: int) -> None:
    counts = [len(batch) for batch, _ in batches((bytes(size) for _ in range(20_000 if size < 10_000 else 20)), MOST)]
    assert counts[0] == 1
    assert most // 3 <= max(counts) <= most


def test_large_records_behind_many_tiny_ones_are_noticed() -> None:
    """They were one batch: 60 of 6 MB, foreseen from the tiny ones."""
    grown = Grown()
    sizes: Iterator[int] = chain(repeat(10, 20_000), repeat(60_000, 60))
    most = 0
    for batch, _ in batches(map(grown.make, sizes), MOST, grown):
        most = max(most, sum(map(len, batch)))
    assert most <= 2 * MOST + 16 * 60_000, "16 records are taken between two checks"


def test_what_cannot_be_measured_counts_as_the_process_has_grown() -> None:
    grown = Grown()

    def hidden(number: int) -> object:
        held = grown.make(60_000)
        return lambda: held

    sizes = [nbytes for _, nbytes in batches(map(hidden, range(50)), MOST, grown)]
    assert max(sizes) > MOST

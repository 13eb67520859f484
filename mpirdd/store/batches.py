"""Cuts records into batches bounded by bytes, however uneven the records are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from mpirdd.store.measure import size_of
from mpirdd.store.task_memory import TaskMemory

_MOST_GROWTH = 64
"""How many times as many records a batch has as the one before, at most."""


def batches(records: Iterator[Any], most_bytes: int, memory: TaskMemory | None = None) -> Iterator[tuple[list[Any], int]]:
    """The records in lists of about ``most_bytes``, with the bytes of each: small lists first, until it is known how large a
    record is.

    How many records make a list is foreseen from those before. So only ``memory``, which watches the process, notices records
    that are much larger than these, and ends the list early; it notices what cannot be measured, too, such as the data of
    closures.
    """
    count = 1
    while True:
        if memory is None:
            batch, nbytes = list(islice(records, count)), 0
        else:
            before = memory.watch(most_bytes)
            batch, nbytes = memory.batch(records, count), 0
            if memory.full:
                nbytes = memory.watch(0) - before
                memory.full.clear()
                count = 0  # records are not what they were
        if not batch:
            return
        nbytes = max(nbytes, size_of(batch), 1)
        yield batch, nbytes
        count = max(1, min(_MOST_GROWTH * count, most_bytes * len(batch) // nbytes))


"""Cuts records into batches of bounded bytes, however uneven the records are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from mpirdd.store.measure import size_of
from mpirdd.store.task_memory import TaskMemory

_MOST_GROWTH = 64
"""A batch has at most this many times as many records as the one before."""


def batches(records: Iterator[Any], most_bytes: int, memory: TaskMemory | None = None) -> Iterator[tuple[list[Any], int]]:
    """(records, their bytes) in lists of about ``most_bytes``: small lists first, until the size of a record is known.

    The length of a list is estimated from the lists before it. Only ``memory``, which watches the process, notices records that
    are much larger than these, and ends the list early. It also notices data that cannot be measured, such as that of closures.
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
                count = 0  # the estimate no longer holds: begin with one record again
        if not batch:
            return
        nbytes = max(nbytes, size_of(batch), 1)
        yield batch, nbytes
        count = max(1, min(_MOST_GROWTH * count, most_bytes * len(batch) // nbytes))


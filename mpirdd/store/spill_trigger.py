"""How a task stays within its working memory while it gathers records.

A step that gathers records takes them in *batches*. After each batch it measures its data, and its ``SpillTrigger`` asks the
task's memory for the bytes used and for those that the next batch will need. If the answer is no, the holder writes its data to
disk, or passes them on, and begins anew. The batch grows with the data: the next one is expected to add a half, or a sixteenth
when memory gets short. So measuring costs 2 to 10 ns a record; a test for each record would cost 20. If records become larger
than estimated, the task's memory becomes *full* (``store/memory_watch.py``), and the batch ends early.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from mpirdd.store.pieces import (
    Cut,
    CutColumns,
    measured_columns,
    measured_pieces,
    per_piece,
    piece_bytes,
    slices,
    slices_of_columns,
)
from mpirdd.store.task_memory import TaskMemory

_FIRST = 4
"""Records in the first batch: each may be an array of 100 MB."""
_MOST = 1 << 16
"""The most records in a batch: measuring takes up to 0.3 ms."""
_FREE_BYTES = 2 << 20
"""Memory that one holder takes without asking, unless the limit itself is small. A holder refused its first few records would
write files of a few records each."""
_UNEVEN = 4
"""Records this many times as large as those before count as much larger."""


class SpillTrigger:
    """Watches the size of one growing collection of records."""

    def __init__(self, memory: TaskMemory) -> None:
        self.batch = _FIRST
        """The number of records to take until the next measurement."""
        self._memory = memory
        self._free = min(_FREE_BYTES, memory.limit_bytes // 8)
        self.full = memory.full
        """If not empty: take no more records, measure, and ask."""
        self.uneven = False
        """Have records become much larger since the holder was empty?"""
        self.size = 0
        """Bytes held: as measured, or the growth of the process if measuring had missed the largest records."""
        self._records = 0
        self._claimed = 0
        self._process_bytes = 0
        """The resident size of the process when the holder was nearly empty."""

    def take(self, records: Iterator[Any], most: int = _MOST) -> list[Any]:
        """The next batch of records, in a list; empty at their end."""
        return self._memory.batch(records, min(self.batch, most))

    def may_grow(self, size: int, records: int) -> bool:
        """May the holder, which has reached ``size`` bytes by ``records`` more records, keep growing? ``records`` is at least 1.

        False: the holder must write its data to disk, or pass them on, and call ``emptied``.
        """
        if self.full:
            process_bytes = self._memory.watch(0)
            if self._process_bytes:
                size = max(size, process_bytes - self._process_bytes)  # not all can be measured
            self.batch = 1
            self.uneven = True
            self.full.clear()
        growth = max(size - self.size, 1)
        if growth * self._records > _UNEVEN * self.size * records:
            self.uneven = True
        self.size = size
        self._records += records
        for share in (2, 16):  # large batches while there is plenty of memory, then small ones to use the rest
            ahead = max(self._free, size // share, 1)
            self.batch = max(1, min(4 * self.batch, _MOST, ahead * records // growth))
            wanted = size + growth * self.batch // records
            if wanted <= max(self._free, self._claimed):
                break
            if self._memory.grow(wanted - self._claimed):
                self._claimed = wanted
                break
        else:
            return False
        process_bytes = self._memory.watch(wanted - size)
        self._process_bytes = self._process_bytes or process_bytes
        return True

    def cut(self, count: int, size: int) -> Cut:
        """How to cut the gathered data: ``count`` records of ``size`` bytes together."""
        if self.uneven:
            return partial(measured_pieces, most=piece_bytes(self._memory))
        return partial(slices, step=per_piece(count, size, self._memory))

    def cut_columns(self, count: int, size: int) -> CutColumns:
        """The same for pairs with keys and values apart."""
        if self.uneven:
            return partial(measured_columns, memory=self._memory)
        return partial(slices_of_columns, step=per_piece(count, size, self._memory))

    def handed_on(self) -> None:
        """The data were passed on, and more of the same will come: the claimed memory and the batch length stay."""
        self.uneven = False
        self.size = self._records = 0

    def emptied(self) -> None:
        """The data are gone: their memory is given back, and batches start small again."""
        if self._claimed:
            self._memory.give_back(self._claimed)
        self.batch, self.uneven = _FIRST, False
        self.size = self._records = self._claimed = self._process_bytes = 0

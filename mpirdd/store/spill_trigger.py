"""How a task stays within its working memory while it gathers records.

Whoever gathers records takes them in *batches*. After each batch it measures what it holds, and its
``SpillTrigger`` asks the task's memory for what has been used and for what the next batch will use. When
that is refused, the holder writes what it has to disk, or hands it on, and begins anew. The batch grows
with what is held: the next one is expected to add a half to it, or a sixteenth when memory gets short.
So measuring costs a record 2 to 10 ns; a test for each record would cost 20. Where records become larger
than foreseen, the task's memory becomes *full* (``store/memory_watch.py``), and the batch ends early.
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
    slices,
    slices_of_columns,
)
from mpirdd.store.task_memory import TaskMemory

_FIRST = 4
"""Records in the first batch: they may be arrays of 100 MB."""
_MOST = 1 << 16
"""Records in any batch: measuring takes up to 0.3 ms."""
_FREE_BYTES = 2 << 20
"""Memory that one holder takes without asking, where the limit is not small itself. Were it refused the first few
records, it would write files of a few records each."""
_UNEVEN = 4
"""Records that are so many times as large as those before are much larger."""


class SpillTrigger:
    """Watches over the size of one thing that grows."""

    def __init__(self, memory: TaskMemory) -> None:
        self.batch = _FIRST
        """Records to take until the next look."""
        self._memory = memory
        self._free = min(_FREE_BYTES, memory.limit_bytes // 8)
        self.full = memory.full
        """Not empty: take no more records, but measure, and ask."""
        self.uneven = False
        """Records have become much larger since the holder was empty."""
        self.size = 0
        """Bytes of what is held: as measured, or as the process grew where measuring had missed the largest records."""
        self._records = 0
        self._claimed = 0
        self._process_bytes = 0
        """The resident size of the process when the holder had next to nothing."""

    def take(self, records: Iterator[Any], most: int = _MOST) -> list[Any]:
        """The next batch of records, in a list; empty at their end."""
        return self._memory.batch(records, min(self.batch, most))

    def may_grow(self, size: int, records: int) -> bool:
        """May the holder, which has reached ``size`` bytes by ``records`` more records, keep growing?

        False: it is to write what it has to disk, and to call ``emptied``.
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
        for share in (2, 16):  # large batches while there is plenty, then small ones to use what is left
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
        """How to cut what was gathered, ``count`` records of ``size`` bytes together."""
        if self.uneven:
            return partial(measured_pieces, memory=self._memory)
        return partial(slices, step=per_piece(count, size, self._memory))

    def cut_columns(self, count: int, size: int) -> CutColumns:
        """The same for pairs whose keys and values are apart."""
        if self.uneven:
            return partial(measured_columns, memory=self._memory)
        return partial(slices_of_columns, step=per_piece(count, size, self._memory))

    def handed_on(self) -> None:
        """What was held is gone, and more of the same comes: the memory stays claimed, and batches as large."""
        self.uneven = False
        self.size = self._records = 0

    def emptied(self) -> None:
        """What was held is gone; its memory goes back, and all begins anew."""
        if self._claimed:
            self._memory.give_back(self._claimed)
        self.batch, self.uneven = _FIRST, False
        self.size = self._records = self._claimed = self._process_bytes = 0

"""How a task stays within its working memory while it gathers records.

Whoever gathers takes records in *batches*. Between two batches it measures what it holds, and a ``Gauge`` asks the
workspace for the memory that has come to be used and for that of the next batch. When that is refused, the holder
writes what it has to disk, or hands it on, and begins anew. The batch grows with the holder: the next one is expected
to add a half to what is there, or a sixteenth when memory gets short. Measuring then costs a record 2 to 10 ns, as against
a test for each, which would cost 20.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from mpirdd.storage.measure import size_of
from mpirdd.storage.workspace import Workspace

_FIRST = 4
"""Records in the first batch: they may be arrays of 100 MB."""
_MOST = 1 << 16
"""Records in any batch: measuring takes up to 0.3 ms."""
_FREE_BYTES = 2 << 20
"""Memory that one holder takes without asking, where the limit is not small itself. Were it refused the first few
records, it would write files of a few records each."""
_MOST_PIECE_BYTES = 4 << 20


def piece_bytes(workspace: Workspace) -> int:
    """Size in memory of what is encoded, written and read back at once: small beside the limit, as merging holds one
    piece of each run."""
    return max(1 << 14, min(_MOST_PIECE_BYTES, workspace.limit_bytes // 64))


def per_piece(count: int, size_bytes: int, workspace: Workspace) -> int:
    """How many of ``count`` things that take ``size_bytes`` together make one piece; at least one."""
    return max(1, count * piece_bytes(workspace) // max(1, size_bytes))


class Gauge:
    """Watches over the size of one thing that grows."""

    def __init__(self, workspace: Workspace) -> None:
        self.batch = _FIRST
        """Records to take until the next look."""
        self._workspace = workspace
        self._free = min(_FREE_BYTES, workspace.limit_bytes // 8)
        self._size = 0
        self._claimed = 0

    def look(self, size: int, records: int) -> bool:
        """Whether what has reached ``size`` bytes by ``records`` more records may go on to grow.

        False: write it to disk, and call ``emptied``.
        """
        growth = max(size - self._size, 1)
        self._size = size
        for share in (2, 16):  # large batches while there is plenty, then small ones to use what is left
            ahead = max(self._free, size // share, 1)
            self.batch = max(1, min(4 * self.batch, _MOST, ahead * records // growth))
            wanted = size + growth * self.batch // records
            if wanted <= max(self._free, self._claimed):
                return True
            if self._workspace.grow(wanted - self._claimed):
                self._claimed = wanted
                return True
        return False

    def emptied(self) -> None:
        """What was held is gone; its memory goes back, and all begins anew."""
        if self._claimed:
            self._workspace.give_back(self._claimed)
        self.batch, self._size, self._claimed = _FIRST, 0, 0


def fill(records: Iterator[Any], workspace: Workspace) -> Iterator[tuple[list[Any], int, bool]]:
    """Lists of records as long as working memory allows: (list, its bytes, whether it is the last).

    A list is the caller's until it asks for the next one, and must be given up then. The last may be empty.
    """
    gauge = Gauge(workspace)
    held: list[Any] = []
    size = 0
    try:
        while batch := list(islice(records, gauge.batch)):
            size += size_of(batch)
            held += batch
            if not gauge.look(size, len(batch)):
                del batch
                yield held, size, False
                held, size = [], 0
                gauge.emptied()
        yield held, size, True
    finally:
        gauge.emptied()

"""Spreading pairs over files by a hash of their key, when combining or grouping runs out of memory.

Each file then holds all pairs of its keys. It is combined or grouped on its own, by the same method with another hash (*depth*
counts these levels). This is the hash aggregation of G. Graefe, "Query Evaluation Techniques for Large Databases", ACM Computing
Surveys 25(2), 1993, section 4.

Python's own hash chooses the file: it never leaves this process, and agrees with dictionaries on which keys are equal. The
product of the hash and an odd 64-bit number is taken; the highest 4 of its lowest 64 bits name the file (Fibonacci hashing,
D. E. Knuth, The Art of Computer Programming, vol. 3, 6.4). That takes 100 ns, where mixing by XXH3 takes 300 ns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Protocol

from xxhash import xxh3_64_intdigest

from mpirdd.protocol.pairs import Pair
from mpirdd.store.measure import size_of
from mpirdd.store.pieces import CutColumns
from mpirdd.store.spill_trigger import SpillTrigger
from mpirdd.store.spilled_list import SpilledList
from mpirdd.store.task_memory import TaskMemory

FILES = 16
"""Sub-partitions at each depth; ``_Parts.add`` takes 4 bits of a hash."""
DEEPEST = 8
"""Pairs at this depth are not spread again: keys that meet in one of 16**8 sub-partitions have the same hash."""

_FACTORS = [xxh3_64_intdigest(b"factor", depth) | 1 for depth in range(DEEPEST + 1)]

WritePairs = Callable[[SpilledList, list[Any], list[Any], CutColumns], None]
"""``(file, keys, values, how to cut them into pieces)``: writes pairs."""


class Pairs(Sized, Iterable[Pair], Protocol):
    """Several pairs: a list of them, a dictionary's items, or ``Columns``."""


def new_files(memory: TaskMemory) -> list[SpilledList]:
    file = memory.spill_file()
    return [SpilledList(file) for _ in range(FILES)]


def spread(
    pairs: Pairs, size: int, depth: int, files: list[SpilledList], trigger: SpillTrigger,
    write: WritePairs = SpilledList.write_pairs,
) -> None:
    """Append the pairs, which take ``size`` bytes, to the files of their keys. ``trigger`` has watched the pairs grow."""
    parts = _Parts()
    parts.add(pairs, depth)
    parts.write(files, size, trigger, write)


def spread_all(
    pieces: Iterator[Pairs], depth: int, files: list[SpilledList], trigger: SpillTrigger,
    write: WritePairs = SpilledList.write_pairs,
) -> None:
    """Append all pairs of the pieces to the files of their keys, as many at a time as working memory holds."""
    parts = _Parts()
    added = 0
    for piece in pieces:
        parts.add(piece, depth)
        added += len(piece)
        if added < trigger.batch and not trigger.full:
            continue
        size = size_of(parts.columns)
        if not trigger.may_grow(size, added):
            parts.write(files, size, trigger, write)
            parts = _Parts()
            trigger.emptied()
        added = 0
    parts.write(files, size_of(parts.columns), trigger, write)
    trigger.emptied()


class _Parts:
    """Pairs in memory, by file: keys and values in lists of their own."""

    def __init__(self) -> None:
        self.columns: list[tuple[list[Any], list[Any]]] = [([], []) for _ in range(FILES)]
        self._count = 0

    def add(self, pairs: Pairs, depth: int) -> None:
        # Two appends take less than half of the time of one append of a new pair.
        keys, values = zip(*self.columns, strict=True)
        factor = _FACTORS[depth]
        for key, value in pairs:
            at = hash(key) * factor >> 60 & 15
            keys[at].append(key)
            values[at].append(value)
        self._count += len(pairs)

    def write(self, files: list[SpilledList], size: int, trigger: SpillTrigger, write: WritePairs) -> None:
        cut = trigger.cut_columns(self._count, size)
        for file, (keys, values) in zip(files, self.columns, strict=True):
            write(file, keys, values, cut)

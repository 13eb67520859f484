"""Sorting more than memory holds: sorted runs on disk, merged block by block.

The sort writes sorted runs as large as working memory. Merging holds one piece of each run. The last keys of the pieces tell
which piece ends first in the order (*forecasting*: D. E. Knuth, The Art of Computer Programming, vol. 3, 5.4.6). All records of
the pieces up to that key can go out: ``list.sort`` finds the sorted stretches and merges them in C. It uses only ``<`` of the
keys, as ``sorted`` does, and takes a third of the time of ``heapq.merge``.

Equal keys keep their order, in ascending and descending sorts alike: runs are in the order of the input, and runs after the one
that ends first give only records that sort before its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from mpirdd.store.chunks import fill
from mpirdd.store.pieces import piece_bytes
from mpirdd.store.spilled_list import SpilledList
from mpirdd.store.task_memory import TaskMemory

SortKey = Callable[[Any], Any]
"""Record -> sort key."""

_MOST_RUNS = 32
"""Runs merged at a time, if memory for a piece of each is granted. Usually a piece is at most 1/64 of the limit."""
_LEAST_RUNS = 4
"""The same without a grant."""
_LEAST_LARGE_RUNS = 2
"""The same if a piece is larger than usual, because one record is."""


def sort(records: Iterable[Any], key: SortKey, reverse: bool, memory: TaskMemory) -> Iterator[Any]:
    """The records in the order of ``sorted(records, key=key, reverse=reverse)``."""
    return chain.from_iterable(_sorted_pieces(records, key, reverse, memory))


def _sorted_pieces(records: Iterable[Any], key: SortKey, reverse: bool, memory: TaskMemory) -> Iterator[list[Any]]:
    runs: list[SpilledList] = []
    file = None
    for held, cut, is_last in fill(records, memory):
        held.sort(key=key, reverse=reverse)
        if is_last and not runs:
            yield held
            return
        file = file or memory.spill_file()
        run = SpilledList(file)
        run.write_all(cut(held))
        runs.append(run)
        del held
    yield from merged_pieces(runs, key, reverse, memory)


def merged_pieces(runs: list[SpilledList], key: SortKey, reverse: bool, memory: TaskMemory) -> Iterator[list[Any]]:
    """All records of the sorted runs, in order, in lists; equal records are in the order of the runs."""
    usual = piece_bytes(memory)
    piece = max([usual, *(run.largest_piece_bytes for run in runs)])
    least = _LEAST_RUNS if piece <= 2 * usual else _LEAST_LARGE_RUNS
    fan_in = _MOST_RUNS
    while not (granted := memory.grow(fan_in * piece)) and fan_in > least:
        fan_in //= 2
    try:
        while len(runs) > fan_in:
            file = memory.spill_file()
            runs = [_one_run(runs[begin : begin + fan_in], key, reverse, SpilledList(file))
                    for begin in range(0, len(runs), fan_in)]
        yield from _merge(runs, key, reverse)
    finally:
        if granted:
            memory.give_back(fan_in * piece)


def _one_run(runs: list[SpilledList], key: SortKey, reverse: bool, merged: SpilledList) -> SpilledList:
    merged.write_all(_merge(runs, key, reverse))
    return merged


def _merge(runs: list[SpilledList], key: SortKey, reverse: bool) -> Iterator[list[Any]]:
    """All records of the runs, in order, in lists about as long as the pieces."""
    sources = [_RunCursor(run.pieces(), key) for run in runs]
    while sources := [source for source in sources if source.advance()]:
        first = 0
        for place, source in enumerate(sources):
            if _before(source.last, sources[first].last, reverse):
                first = place
        block: list[Any] = []
        end = sources[first].last
        for place, source in enumerate(sources):
            block += source.take_all() if place == first else source.take(end, place < first, reverse)
        block.sort(key=key, reverse=reverse)
        yield block


class _RunCursor:
    """The rest of one run's piece that is in memory."""

    def __init__(self, pieces: Iterator[list[Any]], key: SortKey) -> None:
        self._pieces, self._key = pieces, key
        self._piece: list[Any] = []
        self._at = 0
        self.last: Any = None
        """The key of the piece's last record."""

    def advance(self) -> bool:
        """Read the next piece if this one is used up; False at the end of the run."""
        while self._at == len(self._piece):
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._piece, self._at = piece, 0
            self.last = self._key(piece[-1])
        return True

    def take_all(self) -> list[Any]:
        return self._take_to(len(self._piece))

    def take(self, end: Any, with_equal: bool, reverse: bool) -> list[Any]:
        """The records whose keys come before ``end``; ``with_equal``: or equal it."""
        low, high = self._at, len(self._piece)
        while low < high:
            middle = (low + high) // 2
            key = self._key(self._piece[middle])
            goes_out = not _before(end, key, reverse) if with_equal else _before(key, end, reverse)
            if goes_out:
                low = middle + 1
            else:
                high = middle
        return self._take_to(low)

    def _take_to(self, end: int) -> list[Any]:
        taken = self._piece[self._at : end]
        self._at = end
        if end == len(self._piece):
            self._piece, self._at = [], 0
        return taken


def _before(key: Any, other: Any, reverse: bool) -> bool:
    return bool(other < key if reverse else key < other)

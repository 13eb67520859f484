"""Grouping by key, of one side or several. Even the values of one key may exceed memory.

In memory a group is a list of values, or one list for each side (``cogroup``). When memory runs out, the groups are spread over
files by a hash of the key (``ops/spread.py``). Skewed keys are the exception: their values go to files of their own
(``ops/skewed_keys.py``). ``ops/group_inputs.py`` has the loops.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from operator import add, itemgetter
from typing import Any

from mpirdd.ops.group_inputs import (
    GroupInput,
    GroupPiece,
    Groups,
    OneSide,
    Pieces,
    Records,
    SidePieces,
    SideRecords,
    gather_records,
    write_lists,
    write_singly,
)
from mpirdd.ops.skewed_keys import SkewedKeys, Values
from mpirdd.ops.spread import DEEPEST, new_files, spread, spread_all
from mpirdd.protocol.pairs import Pair
from mpirdd.store.measure import size_of
from mpirdd.store.spill_trigger import SpillTrigger
from mpirdd.store.spilled_list import SpilledList
from mpirdd.store.task_memory import TaskMemory

_GROUPS_LOOKED_AT, _FAR_MORE, _FEW_KEYS = 1_000, 16, 10
"""Keys are skewed if at most 10 of the first 1,000 groups have more than 16 times the median number of values."""
_POINTER_BYTES = 8
_LOOK = 1 << 14
"""After this many records the map side checks whether grouping pays."""

# --- results ----------------------------------------------------------------------------------------------------------


def grouped(
    operation: str, records: Iterator[Pair], memory: TaskMemory, *, where_it_pays: bool = False
) -> Iterator[tuple[Groups, int, bool]]:
    """Map side: key -> its values, as many as working memory holds: (dictionary, its bytes, is it the last?). Several may hold
    the same key. The caller owns each one until it asks for the next.

    Args:
        where_it_pays: stop taking records once there are nearly as many keys as records. A list for each key then costs more
            than repeating the key for each value. No dictionary is then the last.

    Raises:
        RecordError: a record is no pair, or its key cannot be hashed.
    """
    trigger = SpillTrigger(memory)
    held: Groups = defaultdict(list)
    count = size = taken = 0
    try:
        for key, added in gather_records(operation, records, held, trigger):
            count += added
            taken += added
            size = _weigh(held, held[key], count)
            if where_it_pays and taken >= _LOOK and 2 * len(held) > count:
                yield held, size, False
                return
            if not trigger.may_grow(size, added):
                yield held, size, False
                count = size = 0
                held.clear()
                trigger.emptied()
        yield held, size or size_of(held), True
    finally:
        trigger.emptied()


def group_lists(pieces: Iterable[list[Pair]], memory: TaskMemory) -> Iterator[tuple[Any, Values]]:
    """(key, its values) from pairs of a key and a list of values. Here and in the functions below, keys are in the order of
    their first records if everything fits into memory."""
    return _Grouping(1, memory).run(Pieces((False, piece) for piece in pieces))


def group_columns(pieces: Iterable[GroupPiece], memory: TaskMemory) -> Iterator[tuple[Any, Values]]:
    """The same, from pieces as ``flat`` makes them."""
    return _Grouping(1, memory).run(Pieces.of(pieces))


def group_pairs(operation: str, records: Iterator[Pair], memory: TaskMemory) -> Iterator[tuple[Any, Values]]:
    """(key, its values) from (key, value) records. ``operation`` is for messages."""
    return _Grouping(1, memory).run(Records(operation, records))


def cogroup(
    operation: str, sides: Sequence[Iterable[Pair]], memory: TaskMemory
) -> Iterator[tuple[Any, tuple[Values, ...]]]:
    """(key, (its values on the first side, its values on the second, ...)). ``operation`` is for messages."""
    return _Grouping(len(sides), memory).run(SideRecords(operation, sides))


# --- external grouping ------------------------------------------------------------------------------------------------


class _Grouping:
    """One grouping of ``sides`` sides."""

    def __init__(self, sides: int, memory: TaskMemory) -> None:
        self._sides, self._memory = sides, memory
        self._trigger = SpillTrigger(memory)
        self._skewed = SkewedKeys(sides, memory)
        self._held: Groups = defaultdict(list) if sides == 1 else {}

    def run(self, source: GroupInput) -> Iterator[tuple[Any, Any]]:
        return chain.from_iterable(self._run(source))

    def _run(self, source: GroupInput) -> Iterator[Iterable[tuple[Any, Any]]]:
        held, trigger = self._held, self._trigger
        left: list[tuple[GroupInput, int]] = [(source, 0)]
        try:
            while left:
                source, depth = left.pop()
                files = self._gather(source, depth)
                if files:
                    self._spill(size_of(held), depth, files)
                    left += [(self._read(file), depth + 1) for file in reversed(files) if len(file)]
                else:
                    yield self._skewed.completed(held) if self._skewed else held.items()
                held.clear()
                trigger.emptied()
            yield self._skewed.only_written()
        finally:
            trigger.emptied()

    def _gather(self, source: GroupInput, depth: int) -> list[SpilledList]:
        """Gather the whole source. Return the files that received a part of it; none if memory sufficed."""
        files: list[SpilledList] = []
        values = 0
        for key, added in source.gather(self._held, self._trigger):
            values += added
            size = self._weigh(key, values)
            if self._trigger.may_grow(size, added):
                continue
            files = files or new_files(self._memory)
            groups = len(self._held)
            self._spill(size, depth, files)
            self._trigger.emptied()
            values = 0
            if isinstance(source, OneSide):
                grouping_pays = 2 * groups <= source.pairs
                if not (grouping_pays or self._skewed.at(depth) or depth == DEEPEST):
                    self._spread_rest(source, depth, files)
                source.pairs = 0
        return files

    def _weigh(self, key: Any, values: int) -> int:
        entry = self._held[key]
        return _weigh(self._held, entry if self._sides == 1 else max(entry, key=len), values, self._sides)

    def _spill(self, size: int, depth: int, files: list[SpilledList]) -> None:
        """Write all groups held, ``size`` bytes together."""
        held = self._held
        size = self._skewed.take_out(held, _counts(held.values(), self._sides), size, depth)
        write = write_lists if self._sides == 1 else SpilledList.write_pairs
        spread(held.items(), size, depth, files, self._trigger, write)
        held.clear()

    def _spread_rest(self, source: OneSide, depth: int, files: list[SpilledList]) -> None:
        """Append the remaining input to the files, ungrouped, because grouping hardly makes it smaller."""
        for is_single, pieces in groupby(source.rest(self._trigger), itemgetter(0)):
            write = write_singly if is_single else write_lists
            try:
                spread_all(map(itemgetter(1), pieces), depth, files, self._trigger, write)
            except (TypeError, ValueError) as error:
                source.blame(error)
                raise

    def _read(self, file: SpilledList) -> GroupInput:
        return Pieces.of(file.decoded()) if self._sides == 1 else SidePieces(file.pieces())


def _weigh(held: Groups, values: list[Any], count: int, sides: int = 1) -> int:
    """Bytes of a dictionary of groups that hold ``count`` values in all; ``values`` are some of them. A sample of the groups may
    miss the skewed key that has most of the values; the count covers it."""
    of_values = size_of(values) - sys.getsizeof(values)
    return max(_groups_size(held, sides), (of_values // max(1, len(values)) + _POINTER_BYTES) * count)


def _groups_size(held: Groups, sides: int) -> int:
    """``size_of(held)``, except that a few keys with far more values than the others count once each.

    Such keys come early, so they are among the first groups. In a sample of 48 groups one such key would stand for thousands
    (360,000 values of one key beside 10,000 keys: 8.6 GB instead of 39 MB).
    """
    first = list(islice(held.values(), _GROUPS_LOOKED_AT))
    counts = _counts(first, sides)
    usual = sorted(counts)[len(counts) // 2] if counts else 0
    long = [values for values, count in zip(first, counts, strict=True) if count > _FAR_MORE * usual]
    if not long or len(long) > _FEW_KEYS:
        return size_of(held)
    others = [values for values, count in zip(first, counts, strict=True) if count <= _FAR_MORE * usual]
    share = (len(held) - len(long)) / max(1, len(others))
    keys = size_of(list(islice(held, _GROUPS_LOOKED_AT))) * len(held) // len(first)
    return sys.getsizeof(held) + keys + sum(map(size_of, long)) + int(size_of(others) * share)


def _counts(entries: Iterable[Any], sides: int) -> list[int]:
    """The number of values of each group."""
    lengths = list(map(len, entries if sides == 1 else chain.from_iterable(entries)))
    counts = lengths[::sides]
    for side in range(1, sides):
        counts = list(map(add, counts, lengths[side::sides]))
    return counts

"""What a grouping takes its records from: the user's functions, or pieces read back from a file.

An input adds records to a dictionary of groups, batch by batch, and says after each batch which key
came last and how many values came. The loops are plain functions, as in ``ops/combine.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice, pairwise, starmap
from typing import Any

from mpirdd.ops.combine import Piece
from mpirdd.protocol.pairs import NOTHING, Pair, blame
from mpirdd.store.pieces import CutColumns
from mpirdd.store.spill_trigger import SpillTrigger
from mpirdd.store.spilled_list import Columns, SpilledList

Groups = dict[Any, Any]
"""key -> its values; or, where several sides are grouped together, a tuple of lists, one for each side.

Groups of one side are a ``defaultdict``: one look-up a record, where a test and an ``append`` are two, takes 80 ns of
550 less in a dictionary that the processor's cache does not hold."""

_RECORDS = 1_000
"""Records that are spread at once."""


class GroupInput(ABC):
    """Records to group."""

    @abstractmethod
    def gather(self, groups: Groups, trigger: SpillTrigger) -> Iterator[tuple[Any, int]]:
        """Add all records, batch by batch; after each: (the key that came last, how many values came)."""


class OneSide(GroupInput):
    """An input of one side, which can give what is left of it ungrouped."""

    def __init__(self) -> None:
        self.pairs = 0
        """So many were gathered since somebody set it to 0."""

    @abstractmethod
    def rest(self, trigger: SpillTrigger) -> Iterator[tuple[bool, Piece]]:
        """What is left, in pieces: True and (key, value) pairs, or False and (key, values)."""

    def blame(self, error: Exception) -> None:
        """Raise RecordError from ``error`` if a record of the latest piece explains it."""


class Records(OneSide):
    """(key, value) records from the user's functions."""

    def __init__(self, operation: str, records: Iterator[Pair]) -> None:
        super().__init__()
        self._operation, self._records = operation, records
        self._piece: list[Pair] = []

    def gather(self, groups: Groups, trigger: SpillTrigger) -> Iterator[tuple[Any, int]]:
        for key, added in gather_records(self._operation, self._records, groups, trigger):
            self.pairs += added
            yield key, added

    def rest(self, trigger: SpillTrigger) -> Iterator[tuple[bool, Piece]]:
        while piece := trigger.take(self._records, _RECORDS):
            self._piece = piece
            yield True, piece

    def blame(self, error: Exception) -> None:
        for record in self._piece:
            blame(record, self._operation, error)


GroupPiece = tuple[list[Any], list[int] | None, list[Any]]
"""Keys, how many values each of them has (None: one), and all values in one list. So a piece is encoded and decoded
without an object for each pair and each list: 450 ns a value less, for pairs of a number and a float with 4 values
a key."""


class Pieces(OneSide):
    """Pieces of (key, values), or of (key, value) where a piece comes with True."""

    def __init__(self, pieces: Iterator[tuple[bool, Piece]]) -> None:
        super().__init__()
        self._pieces = pieces

    @classmethod
    def of(cls, pieces: Iterable[GroupPiece]) -> Pieces:
        return cls(map(_opened, pieces))

    def gather(self, groups: Groups, trigger: SpillTrigger) -> Iterator[tuple[Any, int]]:
        added = 0
        for is_single, piece in self._pieces:
            self.pairs += len(piece)
            added += _add_single(piece, groups) if is_single else _add_lists(piece, groups)
            if added >= trigger.batch or trigger.full:
                yield piece[-1][0], added
                added = 0

    def rest(self, trigger: SpillTrigger) -> Iterator[tuple[bool, Piece]]:
        return self._pieces


class SideRecords(GroupInput):
    """(key, value) records of several sides, one side after the other."""

    def __init__(self, operation: str, sides: Sequence[Iterable[Pair]]) -> None:
        self._operation, self._sides = operation, sides

    def gather(self, groups: Groups, trigger: SpillTrigger) -> Iterator[tuple[Any, int]]:
        for side, part in enumerate(self._sides):
            records = iter(part)
            while True:
                batch = trigger.batch
                _add_to_side(self._operation, islice(records, batch), groups, side, len(self._sides), trigger.full)
                record = next(records, NOTHING)
                if record is NOTHING:
                    break
                _add_to_side(self._operation, (record,), groups, side, len(self._sides))
                yield record[0], batch + 1


class SidePieces(GroupInput):
    """Pieces of (key, its values by side)."""

    def __init__(self, pieces: Iterator[list[Pair]]) -> None:
        self._pieces = pieces

    def gather(self, groups: Groups, trigger: SpillTrigger) -> Iterator[tuple[Any, int]]:
        added = 0
        for piece in self._pieces:
            for key, lists in piece:
                added += sum(map(len, lists))
                if key in groups:
                    for mine, more in zip(groups[key], lists, strict=True):
                        mine += more
                else:
                    groups[key] = lists
            if added >= trigger.batch or trigger.full:
                yield piece[-1][0], added
                added = 0


# --- hot loops --------------------------------------------------------------------------------------------------------


def gather_records(
    operation: str, records: Iterator[Pair], groups: Groups, trigger: SpillTrigger
) -> Iterator[tuple[Any, int]]:
    """As ``GroupInput.gather``; the last batch goes without saying."""
    while True:
        batch = trigger.batch
        _add_records(operation, islice(records, batch), groups, trigger.full)
        record = next(records, NOTHING)
        if record is NOTHING:
            return
        _add_records(operation, (record,), groups)
        yield record[0], batch + 1


def _add_records(operation: str, records: Iterable[Pair], groups: Groups, full: Sequence[None] = ()) -> None:
    """Ends before its time once ``full`` is not empty; so does ``_add_to_side``."""
    record = NOTHING
    try:
        for record in records:
            key, value = record
            groups[key].append(value)
            if full:
                break
    except (TypeError, ValueError) as error:
        blame(record, operation, error)
        raise


def _add_to_side(
    operation: str, records: Iterable[Pair], groups: Groups, side: int, sides: int, full: Sequence[None] = ()
) -> None:
    record = NOTHING
    try:
        for record in records:
            key, value = record
            if key in groups:
                groups[key][side].append(value)
            else:
                entry: tuple[list[Any], ...] = ([], []) if sides == 2 else tuple([] for _ in range(sides))
                groups[key] = entry
                entry[side].append(value)
            if full:
                break
    except (TypeError, ValueError) as error:
        blame(record, operation, error)
        raise


def _add_single(piece: Piece, groups: Groups) -> int:
    """Returns how many values came; so does ``_add_lists``."""
    for key, value in piece:
        groups[key].append(value)
    return len(piece)


def _add_lists(piece: Piece, groups: Groups) -> int:
    added = 0
    for key, values in piece:
        if key in groups:
            groups[key] += values
        else:
            groups[key] = values
        added += len(values)
    return added


# --- pieces and files of groups --------------------------------------------------------------------------------------------


def write_singly(file: SpilledList, keys: list[Any], values: list[Any], cut: CutColumns) -> None:
    """Append (key, value) pairs."""
    file.write_columns(((some_keys, None, some_values) for some_keys, some_values in cut(keys, values)), len(keys))


def write_lists(file: SpilledList, keys: list[Any], lists: list[list[Any]], cut: CutColumns) -> None:
    """Append (key, values) pairs: the values of a piece in one list, with their numbers by key where a key has
    several."""
    file.write_columns(starmap(flat, cut(keys, lists)), len(keys))


def flat(keys: list[Any], lists: list[list[Any]]) -> GroupPiece:
    counts = list(map(len, lists))
    values = list(chain.from_iterable(lists))
    one_each = len(values) == len(keys) and min(counts) == 1
    return keys, (None if one_each else counts), values


def _opened(piece: GroupPiece) -> tuple[bool, Piece]:
    keys, counts, values = piece
    if counts is None:
        return True, Columns(keys, values)
    ends = list(accumulate(counts, initial=0))
    return False, Columns(keys, [values[begin:end] for begin, end in pairwise(ends)])

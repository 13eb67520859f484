"""The inputs of a grouping: records of the user's functions, or pieces read back from a file.

An input adds its records to a dictionary of groups, batch by batch. After each batch it yields the latest key and the number of
values added. The loops are plain functions, as in ``ops/combine.py``.
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
"""key -> its values; with several sides, a tuple of lists, one for each side.

Groups of one side are a ``defaultdict``: it takes one look-up a record, where a test and an ``append`` take two. In a dictionary
larger than the processor's cache that saves 80 of 550 ns."""

_RECORDS = 1_000
"""Records spread at a time."""


class GroupInput(ABC):
    """Records to group."""

    @abstractmethod
    def gather(self, groups: Groups, trigger: SpillTrigger) -> Iterator[tuple[Any, int]]:
        """Add all records, batch by batch; after each batch yield (latest key, number of values added)."""


class OneSide(GroupInput):
    """An input of one side. It can give its remaining records ungrouped."""

    def __init__(self) -> None:
        self.pairs = 0
        """Pairs gathered since the grouping last set this to 0."""

    @abstractmethod
    def rest(self, trigger: SpillTrigger) -> Iterator[tuple[bool, Piece]]:
        """The remaining records in pieces: True and (key, value) pairs, or False and (key, values)."""

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
"""Keys, the number of values of each key (None: one each), and all values in one list. Encoding and decoding such a piece makes
no object for each pair and each list: 450 ns a value less, for pairs of a number and a float with 4 values a key."""


class Pieces(OneSide):
    """Pieces of (key, values); of (key, value) if the piece comes with True."""

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
    """As ``GroupInput.gather``, but nothing is yielded for the last batch."""
    while True:
        batch = trigger.batch
        _add_records(operation, islice(records, batch), groups, trigger.full)
        record = next(records, NOTHING)
        if record is NOTHING:
            return
        _add_records(operation, (record,), groups)
        yield record[0], batch + 1


def _add_records(operation: str, records: Iterable[Pair], groups: Groups, full: Sequence[None] = ()) -> None:
    """Ends early once ``full`` is not empty; so does ``_add_to_side``."""
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
    """Returns the number of values added; so does ``_add_lists``."""
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
    """Append (key, values) pairs: the values of a piece in one list, and the number of values of each key unless all have one."""
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

"""A list on disk: as long as one likes, written once, read as a stream as often as one likes.

Sorted runs, sub-partitions of a combine and the values of giant keys are such lists. In memory is only where the
pieces are, some 100 bytes each. The file belongs to the lists on it: it lives as long as one of them is referred to,
beyond the task that wrote it if a user keeps such a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice, starmap
from typing import Any

from mpirdd.storage.gauge import Gauge, fill, per_piece
from mpirdd.storage.measure import size_of
from mpirdd.storage.spill import Segment, SpillFile
from mpirdd.storage.workspace import Workspace

_TOGETHER = 8
"""Pieces that are written by one system call: they are in memory beside what they were made from."""


class Columns:
    """The keys of some pairs, and their values. Iterating gives the pairs, and makes none that are not kept."""

    __slots__ = ("keys", "values")

    def __init__(self, keys: list[Any], values: list[Any]) -> None:
        self.keys, self.values = keys, values

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return zip(self.keys, self.values, strict=True)

    def __getitem__(self, at: int) -> tuple[Any, Any]:
        return self.keys[at], self.values[at]


class SpilledList(Iterable[Any]):
    """Iterating decodes one piece at a time; each iterator is independent of the others. Pickled it is a plain list,
    and as large as that."""

    def __init__(self, file: SpillFile) -> None:
        self._file = file
        self._pieces: list[Segment] = []
        self._length = 0

    def write(self, piece: list[Any]) -> None:
        """Append the records of ``piece``, which are read back together."""
        self._pieces.append(self._file.write(self._file.costs.encode(piece)))
        self._length += len(piece)

    def write_all(self, pieces: Iterable[list[Any]]) -> None:
        for piece in pieces:
            self.write(piece)

    def write_pairs(self, keys: list[Any], values: list[Any], step: int) -> None:
        """Append pairs, ``step`` in a piece. Two lists are pickled and made anew in half of the time of a list of pairs, as
        these are objects of their own, and nothing gathers that the garbage collector would look through."""
        self.write_columns(zip(slices(keys, step), slices(values, step), strict=True), len(keys))

    def write_columns(self, pieces: Iterable[tuple[Any, ...]], count: int) -> None:
        """Append ``count`` records as lists of what they consist of; only for those who know how to read them."""
        encoded = map(self._file.costs.encode, pieces)
        while some := list(islice(encoded, _TOGETHER)):
            self._pieces += self._file.write_all(some)
        self._length += count

    def append(self, other: SpilledList) -> None:
        """Append what is in another list on the same file; nothing is copied."""
        assert other._file is self._file
        self._pieces += other._pieces
        self._length += other._length

    def pieces(self) -> Iterator[list[Any]]:
        """The records in the lists in which they were written, each read when its turn comes."""
        return (piece if type(piece) is list else list(zip(*piece, strict=True)) for piece in self.decoded())

    def columns(self) -> Iterator[Columns]:
        """The same, of pairs that ``write_pairs`` has written."""
        return starmap(Columns, self.decoded())

    def decoded(self) -> Iterator[Any]:
        """The pieces as they were written."""
        return map(self._file.costs.decode, map(self._file.read, self._pieces))

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self.pieces())

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"<{self._length} values on disk>"

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]:
        return list, (list(self),)


def slices(records: list[Any], step: int) -> Iterator[list[Any]]:
    """A list cut into lists of ``step`` records; nothing for an empty one."""
    if len(records) <= step:
        return iter((records,) if records else ())
    return (records[begin : begin + step] for begin in range(0, len(records), step))


def keep(records: Iterable[Any], workspace: Workspace) -> list[Any] | SpilledList:
    """The records to be read again and again: a list if working memory allows, else on disk. The memory stays claimed
    until the task ends."""
    gauge = Gauge(workspace)
    source = iter(records)
    held: list[Any] = []
    size = 0
    while batch := list(islice(source, gauge.batch)):
        size += size_of(batch)
        held += batch
        if not gauge.look(size, len(batch)):
            break
    else:
        return held
    spilled = SpilledList(workspace.spill_file())
    spilled.write_all(slices(held, per_piece(len(held), size, workspace)))
    del held
    gauge.emptied()
    for more, more_size, _ in fill(source, workspace):
        spilled.write_all(slices(more, per_piece(len(more), more_size, workspace)))
    return spilled

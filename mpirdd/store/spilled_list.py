"""A list on disk: of any length, written once, read as a stream any number of times.

Sorted runs, sub-partitions of a combine and the values of skewed keys are such lists. Memory holds only the places of the pieces,
some 100 bytes each. The file lives as long as anything refers to one of the lists on it. If a user keeps such a group, that is
beyond the task that wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, starmap
from typing import Any

from mpirdd.protocol.frames import Frames
from mpirdd.store.chunks import batched, fill
from mpirdd.store.measure import size_of
from mpirdd.store.pieces import CutColumns
from mpirdd.store.spill import Segment, SpillFile
from mpirdd.store.spill_trigger import SpillTrigger
from mpirdd.store.task_memory import TaskMemory

_TOGETHER, _TOGETHER_BYTES = 8, 4 << 20
"""This many pieces, or fewer with this many bytes, are written by one system call: they are in memory beside the data that they
were made from."""


class Columns:
    """Pairs as a list of keys and a list of values. Iteration makes the pairs, and keeps none."""

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
    """Iteration decodes one piece at a time; iterators are independent of each other. It pickles as a plain list, and as large as
    that."""

    def __init__(self, file: SpillFile) -> None:
        self._file = file
        self._pieces: list[Segment] = []
        self._length = 0

    def write(self, piece: list[Any]) -> None:
        """Append the records of ``piece``, which will be read back together."""
        self._pieces.append(self._file.write(self._file.costs.encode(piece)))
        self._length += len(piece)

    def write_all(self, pieces: Iterable[list[Any]]) -> None:
        for piece in pieces:
            self.write(piece)

    def write_pairs(self, keys: list[Any], values: list[Any], cut: CutColumns) -> None:
        """Append pairs. Two lists are pickled and made anew in half of the time of a list of pairs: pairs are objects of their
        own, which the garbage collector would walk."""
        self.write_columns(cut(keys, values), len(keys))

    def write_columns(self, pieces: Iterable[tuple[Any, ...]], count: int) -> None:
        """Append ``count`` records in columns: only for callers that know how to read them back."""
        together: list[Frames] = []
        size = 0
        for piece in pieces:
            together.append(frames := self._file.costs.encode(piece))
            size += sum(map(len, frames))
            if len(together) == _TOGETHER or size >= _TOGETHER_BYTES:
                self._pieces += self._file.write_all(together)
                together, size = [], 0
        if together:
            self._pieces += self._file.write_all(together)
        self._length += count

    def append(self, other: SpilledList) -> None:
        """Append the records of another list on the same file; nothing is copied."""
        assert other._file is self._file
        self._pieces += other._pieces
        self._length += other._length

    @property
    def largest_piece_bytes(self) -> int:
        """The bytes of the largest piece, once it is read; 0 if there is none."""
        return max([piece.nbytes for piece in self._pieces], default=0)

    def pieces(self) -> Iterator[list[Any]]:
        """The records in the lists in which they were written, each read when its turn comes."""
        return (piece if type(piece) is list else list(zip(*piece, strict=True)) for piece in self.decoded())

    def columns(self) -> Iterator[Columns]:
        """The same as columns, for pairs that ``write_pairs`` has written."""
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


def keep(records: Iterable[Any], memory: TaskMemory) -> list[Any] | SpilledList:
    """The records, to be read again and again: a list if working memory allows, otherwise on disk. The memory stays claimed until
    the task ends."""
    trigger = SpillTrigger(memory)
    batches, rest = batched(records, trigger)
    held: list[Any] = []
    size = 0
    for batch in batches:
        size += size_of(batch)
        held += batch
        if not trigger.may_grow(size, len(batch)):
            break
    else:
        return held
    spilled = SpilledList(memory.spill_file())
    spilled.write_all(trigger.cut(len(held), size)(held))
    del held, batch
    trigger.emptied()
    for more, cut, _ in fill(rest, memory):
        spilled.write_all(cut(more))
    return spilled

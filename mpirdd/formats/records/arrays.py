"""What files of arrays have in common: rows along the first axis, read a block at a time.

A record is an item of the first axis: a Python number, text or bytes where the array has one axis, a row (named tuple)
where its items are structures, a numpy array where it has more axes. Or, with ``batches``, a record is a block of
consecutive items as one numpy array. An array without axes is one record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Any

from mpirdd.formats.counted import Run, SizedRun
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.library import library
from mpirdd.formats.records.pieces import END, Piece, whole
from mpirdd.formats.records.rows import row_maker
from mpirdd.protocol.errors import InputError

BLOCK_BYTES = 4 << 20
"""Of a block that is read at once, unless a chunk of the file is larger."""


class Rows(ABC):
    """An open array."""

    shape: tuple[int, ...]
    dtype: Any
    chunk_rows: int = 1
    """Rows that are best read together, since the file stores and packs them together."""

    @abstractmethod
    def block(self, start: int, end: int) -> Any:
        """The items from ``start`` up to ``end``, as a numpy array that nobody else holds, or that cannot be written."""

    def all(self) -> Any:
        """The array, where it has no axes."""
        return self.block(0, 0)

    @property
    def row_bytes(self) -> int:
        return max(1, prod(self.shape[1:]) * int(self.dtype.itemsize))

    @property
    def block_rows(self) -> int:
        """Rows of a block: whole chunks of about ``BLOCK_BYTES``."""
        chunk = max(1, self.chunk_rows)
        return max(1, BLOCK_BYTES // self.row_bytes // chunk) * chunk


@dataclass(frozen=True)
class ArrayFormat(ABC):
    """A format whose files hold arrays."""

    batches: bool = False
    """Records are blocks of many items, not single ones."""
    first: tuple[str, tuple[int, ...], Any] | None = None
    """(path, shape of an item, dtype) of the first file; None before ``known``."""

    @property
    @abstractmethod
    def name(self) -> str:
        """With its article."""

    @abstractmethod
    def opened(self, file: InputFile) -> AbstractContextManager[Rows]:
        """The array in a file."""

    def known(self, first: InputFile) -> Any:
        with self.opened(first) as rows:
            # Nothing is known from a part that a task wrote without any record.
            return self if rows.shape[:1] == (0,) else replace(self, first=(first.path, rows.shape[1:], rows.dtype))

    def cut(self, file: InputFile, goal_bytes: int) -> list[Piece]:
        with self.opened(file) as rows:
            if not rows.shape or not rows.shape[0]:
                return [whole(file)]
            count, chunk = rows.shape[0], max(1, rows.chunk_rows)
            stored = min(file.size, count * rows.row_bytes)
        step = ceil(count / ceil(stored / goal_bytes) / chunk) * chunk
        return [
            Piece(file, start, min(start + step, count), stored * min(step, count - start) // count)
            for start in range(0, count, step)
        ]

    def read(self, piece: Piece) -> Iterator[SizedRun]:
        with self.opened(piece.file) as rows:
            if not rows.shape:
                yield [rows.all()] if self.batches else list(_items(rows.all().reshape(1)))
                return
            end = rows.shape[0] if piece.end == END else piece.end
            if piece.start < end:
                self._check(piece.file, rows)
            for start in range(piece.start, end, rows.block_rows):
                block = rows.block(start, min(start + rows.block_rows, end))
                try:
                    yield [block] if self.batches else _items(block)
                except OverflowError as error:
                    raise InputError(
                        f"{piece.file.path}: {error}, in the items {start} to {start + len(block) - 1}; batches=True gives "
                        "numpy's arrays, which hold it") from error

    def count(self, piece: Piece) -> int:
        if self.batches:
            return sum(1 for _ in self.read(piece))
        with self.opened(piece.file) as rows:
            if not rows.shape:
                return 1
            end = rows.shape[0] if piece.end == END else piece.end
            if piece.start < end:
                self._check(piece.file, rows)
            return int(end - piece.start)

    def _check(self, file: InputFile, rows: Rows) -> None:
        """The items must be like those of the first file."""
        if self.first is None:
            return
        path, shape, dtype = self.first
        found, expected = (rows.shape[1:], rows.dtype.names), (shape, dtype.names)
        if found != expected or (rows.dtype.kind in "SUO") != (dtype.kind in "SUO"):
            raise InputError(
                f"{file.path}: items are of shape {rows.shape[1:]} and type {rows.dtype}, but of shape {shape} and type "
                f"{dtype} in {path}; read files of one kind together, and others by calls of their own"
            )


def _items(block: Any) -> SizedRun:
    """The items of a block, as Python values where they are single ones."""
    if block.ndim > 1:
        return list(block if block.flags.writeable else block.copy())
    block = _with_pythons_times(block)
    if block.dtype.names is not None:
        return Run(len(block), map(row_maker(block.dtype.names), block.tolist()))
    listed: list[Any] = block.tolist()
    return listed


def _with_pythons_times(block: Any) -> Any:
    """The block, with times in microseconds where they are finer, also in the fields of structures.

    Raises:
        OverflowError: a date or time is beyond the years 1 to 9999, for which numpy would give Python an int.
    """
    if block.dtype.names is not None:
        fields = [(name, block.dtype.fields[name][0]) for name in block.dtype.names]
        if not any(_is_fine(kind) for _, kind in fields):
            return block
        return block.astype([(name, f"{kind.kind}8[us]" if _is_fine(kind) else kind) for name, kind in fields])
    if _is_fine(block.dtype):
        return block.astype(f"{block.dtype.kind}8[us]")
    if block.dtype.kind == "M":
        numpy = library("numpy", "an array")
        years = block[~numpy.isnat(block)].astype("M8[Y]").astype("i8") + 1970
        if years.size and not 1 <= years.min() <= years.max() <= 9999:
            raise OverflowError("a date or time is none of Python's, which go from year 1 to 9999")
    return block


def _is_fine(dtype: Any) -> bool:
    """Are these times finer than Python's?"""
    return dtype.kind in "mM" and library("numpy", "an array").datetime_data(dtype)[0] in ("ns", "ps", "fs", "as")

"""What Parquet, ORC and Arrow files have in common: columns with a schema, read by pyarrow, in batches.

The first file's schema is the schema of all. The driver reads it, so the call reports a missing column. In every other
file a column is found by its name; its type must be the same, or convert without loss. Columns that the first file
does not have are not read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mpirdd.formats.counted import Run, SizedRun
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.columns import cast_exactly, rows_of
from mpirdd.formats.records.filters import Conditions, check_comparable, chosen_rows, columns_in
from mpirdd.formats.records.library import library
from mpirdd.formats.records.opening import is_packed, opened_for_arrow
from mpirdd.formats.records.pieces import END, Piece, cut_units, whole
from mpirdd.formats.records.rows import row_maker
from mpirdd.protocol.errors import InputError
from mpirdd.store.costs import counting

BATCH_ROWS = 16 << 10
"""Rows that are made at once."""


@dataclass(frozen=True)
class Schema:
    """A schema on its way to the executors, in Arrow's own encoding."""

    data: bytes
    path: str
    """The file that it is from, for messages."""

    def decoded(self) -> Any:
        arrow = library("pyarrow", "this file")
        return arrow.ipc.read_schema(arrow.py_buffer(self.data))


@dataclass(frozen=True)
class ArrowFormat(ABC):
    """A format that pyarrow reads in units: row groups, stripes, record batches."""

    columns: tuple[str, ...] | None = None
    """To read, in this order; None: all, in the order of the file."""
    batches: bool = False
    """Records are ``pyarrow.RecordBatch``, not rows."""
    schema: Schema | None = None
    """Of the columns to read; None before ``known``."""
    filters: Conditions = ()
    """The rows to read. A format may pass over units that hold none of them."""

    # --- what each format says ------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def name(self) -> str:
        """With its article."""

    @abstractmethod
    def reader(self, source: Any) -> Any:
        """The library's reader of an open file."""

    @abstractmethod
    def schema_of(self, reader: Any) -> Any:
        """The whole schema of the file."""

    @abstractmethod
    def unit_bytes(self, reader: Any, file: InputFile) -> list[int]:
        """The size of each unit."""

    @abstractmethod
    def batches_of(self, reader: Any, units: range, columns: Sequence[str] | None) -> Iterator[Any]:
        """The record batches of some units, with at least these columns (None: all)."""

    def read_bytes(self, reader: Any, file: InputFile, units: range, columns: Sequence[str] | None) -> int:
        """Of the file, to read some columns of some units; here as if all columns were read."""
        return sum(self.unit_bytes(reader, file)[units.start : units.stop])

    def unit_count(self, reader: Any) -> int:
        """How many units the file has."""
        return len(self.unit_bytes(reader, InputFile("", 0)))

    # --- the format -----------------------------------------------------------------------------------------------

    def known(self, first: InputFile) -> Any:
        with opened_for_arrow(first) as source:
            found = self.schema_of(self.reader(source))
        needed = columns_in(self.filters)
        check_columns(first.path, found.names, (*(self.columns or ()), *needed))
        for name in needed:
            check_comparable(found.field(name), self.filters)
        wanted = found if self.columns is None else _arrow().schema([found.field(name) for name in self.columns])
        return replace(self, schema=Schema(wanted.remove_metadata().serialize().to_pybytes(), first.path))

    def cut(self, file: InputFile, goal_bytes: int) -> list[Piece]:
        if is_packed(file):
            return [whole(file)]
        with opened_for_arrow(file) as source:
            return cut_units(file, self.unit_bytes(self.reader(source), file), goal_bytes)

    def read(self, piece: Piece) -> Iterator[SizedRun]:
        make = None
        for batch in self._batches(piece):
            make = make or row_maker(batch.schema.names)
            try:
                yield [batch] if self.batches else Run(batch.num_rows, rows_of(batch, make))
            except OverflowError as error:
                raise InputError(
                    f"{piece.file.path}: a date or time is none of Python's, which go from year 1 to 9999 ({error}); "
                    "batches=True gives record batches, which hold it, columns= leaves it out") from error

    def count(self, piece: Piece) -> int:
        return sum(1 if self.batches else batch.num_rows for batch in self._batches(piece))

    def _batches(self, piece: Piece) -> Iterator[Any]:
        """The record batches of a piece, with the columns and types that are wanted; none is empty."""
        assert self.schema is not None
        expected = self.schema.decoded()
        with opened_for_arrow(piece.file) as source:
            reader = self.reader(source)
            names = self.schema_of(reader).names
            as_is, needed = names == expected.names, columns_in(self.filters)
            if not as_is or needed:
                check_columns(piece.file.path, names, needed if as_is else (*expected.names, *needed), self.schema.path)
            end = self.unit_count(reader) if piece.end == END else piece.end
            wanted = None if as_is else list(dict.fromkeys((*expected.names, *needed)))
            units = range(piece.start, end)
            if isinstance(source, _arrow().OSFile):  # the library reads it itself
                counting().note("input_bytes", self.read_bytes(reader, piece.file, units, wanted))
            for batch in self.batches_of(reader, units, wanted):
                found = chosen_rows(batch, self.filters)
                if not as_is:
                    found = found.select(expected.names)
                if found.schema != expected:
                    found = self._converted(piece.file.path, found, expected)
                if found.num_rows:
                    yield found

    def _converted(self, path: str, batch: Any, expected: Any) -> Any:
        """``batch`` with the types of the first file."""
        assert self.schema is not None
        arrow, columns = _arrow(), []
        for field, column in zip(expected, batch.columns, strict=True):
            try:
                columns.append(cast_exactly(column, field.type))
            except arrow.ArrowException as error:
                raise InputError(
                    f"{path}: column {field.name!r} is {column.type}, but {field.type} in {self.schema.path}, and does "
                    f"not convert: {error}. Read the files apart, and bring their rows together with map and union"
                ) from error
        return arrow.RecordBatch.from_arrays(columns, schema=expected)


def _arrow() -> Any:
    return library("pyarrow", "this file")


def check_columns(path: str, names: Sequence[str], wanted: Iterable[str], first: str | None = None) -> None:
    """
    Raises:
        InputError: a file lacks a column that is wanted, or has two of that name.
    """
    for name in wanted:
        count = names.count(name)
        if count == 1:
            continue
        if not count:
            also = f" (which {first} has)" if first is not None and first != path else ""
            shown = ", ".join(map(repr, names[:30])) + (", ..." if len(names) > 30 else "")
            folder = (
                f"; the {name}=... of its folder is a column where path is a folder above it, and without recursive=True"
                if f"/{name}=" in path else "")
            raise InputError(f"{path} has no column {name!r}{also}; its columns are {shown or 'none'}{folder}")
        raise InputError(
            f"{path} has {count} columns of the name {name!r}, so a name does not tell which; read it alone, without columns="
        )

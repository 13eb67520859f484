"""Columns in the names of folders, as Hive and Spark write tables: ``sales/year=2024/month=5/part.parquet``.

``InputFile`` brings the text of each folder's name; here the texts of all files become values of one type a column, and those
of a file are added to each of its records, behind its own columns. As in Spark: whole numbers, other numbers, dates, times,
else text; ``__HIVE_DEFAULT_PARTITION__`` is None; a column of the same name within the files does not count. Conditions on
these columns, in ``filters``, leave out whole files, which then are not even opened.

Whole numbers are exact: of up to 38 digits ints, in record batches decimals beyond 64 bits; where they are longer, or a float
in the same column would round one, the column is text. So are times of which some have an offset from UTC and some have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from math import isfinite
from operator import itemgetter
from typing import Any

from mpirdd.formats.counted import Run, SizedRun
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.filters import COMPARE, Condition, Conditions
from mpirdd.formats.records.library import library
from mpirdd.formats.records.pieces import Piece
from mpirdd.formats.records.rows import columns_of, row_maker
from mpirdd.protocol.errors import InputError, InvalidValue
from mpirdd.protocol.shown import short_repr

_NULL = "__HIVE_DEFAULT_PARTITION__"
_DECIMAL, _UTC = "decimal128(38, 0)", "timestamp[us, UTC]"


def _is_exact(text: str, value: float) -> bool:
    try:
        return int(text) == value
    except ValueError:
        return isfinite(value)


_KINDS: tuple[tuple[Callable[[str], Any], str, Callable[[str, Any], bool]], ...] = (
    (int, "int64", lambda text, value: -(1 << 63) <= value < 1 << 63),
    (int, _DECIMAL, lambda text, value: abs(value) < 10**38),
    (float, "float64", _is_exact),
    (date.fromisoformat, "date32", lambda text, value: True),
    (datetime.fromisoformat, "timestamp[us]", lambda text, value: value.tzinfo is None),
    (datetime.fromisoformat, _UTC, lambda text, value: value.tzinfo is not None),
    (str, "string", lambda text, value: True))
"""What makes a value of a text, Arrow's name of its type, and does it hold the value? The first that takes all texts of a
column."""
_LEAST = {"int64": 0, _DECIMAL: 0, "float64": 0.0, "date32": date.min, "timestamp[us]": datetime.min,
          _UTC: datetime.min.replace(tzinfo=timezone.utc)}
"""A value of each type, to compare with a filter's."""
_DIGITS = frozenset("0123456789+-.:eE T")
"""Other texts are text: "nan", "1_000"."""
_WITHOUT = "recursive=True reads all files without such columns"


@dataclass(frozen=True)
class Column:
    """A column in the names of folders."""

    name: str
    make: Callable[[str], Any]
    """A value of a text."""
    arrow_type: str

    def value(self, file: InputFile) -> Any:
        text = dict(file.folders)[self.name]
        try:
            return None if text == _NULL else self.make(text)
        except Exception as error:  # of a function that the program gives
            raise InputError(
                f"{file.path}: {getattr(self.make, '__name__', self.make)}({text!r}), of {self.name}= in the name of a folder, "
                f"raised {type(error).__name__}: {error}; {_WITHOUT}") from error

    def arrow_value(self, arrow: Any, value: Any) -> Any:
        """The same for record batches."""
        special = {"timestamp[us]": arrow.timestamp("us"), _UTC: arrow.timestamp("us", "UTC"), _DECIMAL: arrow.decimal128(38, 0)}
        return arrow.scalar(value, special.get(self.arrow_type) or arrow.type_for_alias(self.arrow_type))


def with_folders(form: Any, files: Sequence[InputFile]) -> tuple[Any, list[InputFile]]:
    """The format with the columns that the folders name, and the files that its filters leave; as it is where no folder has
    such a name.

    Raises:
        InputError: the files lie in folders of different names.
        InvalidValue: a filter does not compare with the values.
    """
    if not any(file.folders for file in files):
        return form, list(files)
    columns = _columns_of(files, dict(getattr(form, "types", ())))
    names = frozenset(column.name for column in columns)
    made = InFolders(form, columns, getattr(form, "columns", None), getattr(form, "filters", ()))
    conditions = [each for some in made.filters for each in some if each[0] in names]
    for column in columns:
        for condition in conditions:
            if condition[0] == column.name:
                _check_comparable(column, condition)
    return made._without(names), [file for file in files if made.leaves(file)]


def _columns_of(files: Sequence[InputFile], given: dict[str, Callable[[str], Any]]) -> tuple[Column, ...]:
    first = files[0]
    names = tuple(name for name, _ in first.folders)
    for file in files:
        if tuple(name for name, _ in file.folders) != names:
            raise InputError(
                f"{file.path} and {first.path} lie in folders of different columns ({_shown(file)}; {_shown(first)}); read "
                f"them apart, or {_WITHOUT}")
    if len(set(names)) < len(names):
        raise InputError(f"{first.path} lies in two folders of the same column ({_shown(first)}); {_WITHOUT}")
    columns = []
    for place, name in enumerate(names):
        texts = {file.folders[place][1] for file in files} - {_NULL}
        make, arrow_type = (given[name], "string") if name in given else _kind_of(texts)
        columns.append(Column(name, make, arrow_type))
    return tuple(columns)


def _shown(file: InputFile) -> str:
    return "/".join(f"{name}=" for name, _ in file.folders) or "none"


def _kind_of(texts: set[str]) -> tuple[Callable[[str], Any], str]:
    plain = all(text and _DIGITS.issuperset(text) for text in texts)
    for make, arrow_type, holds in _KINDS if plain and texts else _KINDS[-1:]:
        try:
            if all(holds(text, make(text)) for text in texts):
                return make, arrow_type
        except ValueError:
            continue
    raise AssertionError("str takes every text")


# --- filters ----------------------------------------------------------------------------------------------------------


def _check_comparable(column: Column, condition: Condition) -> None:
    _, how, value = condition
    example = _LEAST.get(column.arrow_type, "")
    for each in value if how in ("in", "not in") else [value]:
        try:
            if each is not None:
                example < each  # noqa: B015 (does it compare at all?)
        except TypeError as error:
            raise InvalidValue(
                f"the filter {condition!r} does not compare: the values of {column.name!r}, in the names of folders, are "
                f"{column.arrow_type}, and the filter's is {type(each).__name__}") from error


def _holds(found: Any, how: str, value: Any) -> bool:
    if how == "in":
        return found in value
    if found is None:
        return False
    if how == "not in":
        return found not in value
    if value is None:  # as with columns of files: nothing compares with a null
        return False
    return bool(COMPARE[how](found, value))


# --- the format -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InFolders:
    """Files of a format in such folders."""

    form: Any
    """That of the files, without the columns of folders."""
    columns: tuple[Column, ...]
    """In the order of the folders."""
    wanted: tuple[str, ...] | None
    """The columns that the call asks for, of both kinds; None: all."""
    filters: Conditions = ()

    @property
    def name(self) -> str:
        return str(self.form.name)

    def known(self, first: InputFile) -> InFolders:
        form = self.form.known(first)
        if form is self.form:
            return self
        twice = {column.name for column in self.columns} & set(_names_in(form))
        if twice and self.wanted is None:  # what a folder says counts
            form = replace(self.form, columns=tuple(name for name in _names_in(form) if name not in twice)).known(first)
        return replace(self, form=form)

    def cut(self, file: InputFile, goal_bytes: int) -> list[Piece]:
        pieces: list[Piece] = self.form.cut(file, goal_bytes)
        return pieces

    def read(self, piece: Piece) -> Iterator[SizedRun]:
        values = tuple(column.value(piece.file) for column in self.columns)
        for run in self._for(piece.file).read(piece):
            yield Run(len(run), self._added(run, values, piece.file))

    def count(self, piece: Piece) -> int:
        return int(self._for(piece.file).count(piece))

    def leaves(self, file: InputFile) -> bool:
        """May any row of this file meet the filters?"""
        return not self.filters or any(self._may_meet(each, file) for each in self.filters)

    def _may_meet(self, conditions: Sequence[Condition], file: InputFile) -> bool:
        values = {column.name: column.value(file) for column in self.columns}
        return all(_holds(values[name], how, value) for name, how, value in conditions if name in values)

    def _without(self, names: frozenset[str]) -> InFolders:
        """With a format that knows nothing of the columns of folders."""
        changes: dict[str, Any] = {}
        if self.wanted is not None:
            # Without any column a reader would not know how many rows there are.
            changes["columns"] = tuple(name for name in self.wanted if name not in names) or None
        if self.filters:
            changes["filters"] = self._own_filters(self.filters)
        if getattr(self.form, "types", ()):
            changes["types"] = tuple(each for each in self.form.types if each[0] not in names)
        return replace(self, form=replace(self.form, **changes) if changes else self.form)

    def _own_filters(self, filters: Sequence[Sequence[Condition]]) -> Conditions:
        """Those on columns of the files."""
        names = {column.name for column in self.columns}
        own = (tuple(each for each in some if each[0] not in names) for some in filters)
        return tuple(some for some in own if some)

    def _for(self, file: InputFile) -> Any:
        """The format for the rows of this file: without the alternatives that its folders exclude."""
        if not self.filters:
            return self.form
        left = [each for each in self.filters if self._may_meet(each, file)]
        own = self._own_filters(left)
        return replace(self.form, filters=own if len(own) == len(left) else ())  # one of folders alone: all rows meet it

    # --- records --------------------------------------------------------------------------------------------------

    def _added(self, run: SizedRun, values: tuple[Any, ...], file: InputFile) -> Iterator[Any]:
        add: Callable[[Any], Any] | None = None
        for record in run:
            if add is None:
                add = self._adding(record, values, file)
            yield add(record)

    def _adding(self, example: Any, values: tuple[Any, ...], file: InputFile) -> Callable[[Any], Any]:
        """What adds the values to a record."""
        names = tuple(column.name for column in self.columns)
        if hasattr(example, "schema"):
            return lambda batch: self._batch(batch, values)
        own, wanted = columns_of(example), self.wanted
        if isinstance(example, dict) or own is None:  # of files of JSON, perhaps other values are among them
            more = dict(zip(names, values, strict=True))
            if wanted is None:
                return lambda record: {**record, **more} if isinstance(record, dict) else self._refuse(record, file)
            return lambda record: {name: more[name] if name in more else record[name] for name in wanted}
        every = (*own, *names)
        if wanted is None:
            make = row_maker(every)
            return lambda row: make(row + values)
        place_of = {name: place for place, name in enumerate(every)}  # what a folder says counts: it comes later
        places, make = [place_of[name] for name in wanted], row_maker(wanted)
        if len(places) < 2:
            return lambda row: make((row + values)[place] for place in places)
        chosen = itemgetter(*places)
        return lambda row: make(chosen(row + values))

    def _batch(self, batch: Any, values: tuple[Any, ...]) -> Any:
        if self.wanted == ():
            return batch.select([])  # a batch that is made of no columns would have no rows
        arrow = library("pyarrow", self.name)
        more = [arrow.repeat(column.arrow_value(arrow, value), batch.num_rows)
                for column, value in zip(self.columns, values, strict=True)]
        names, columns = [*batch.schema.names, *(column.name for column in self.columns)], [*batch.columns, *more]
        if self.wanted is not None:
            place_of = {name: place for place, name in enumerate(names)}
            names, columns = list(self.wanted), [columns[place_of[name]] for name in self.wanted]
        return arrow.RecordBatch.from_arrays(columns, names)

    def _refuse(self, record: Any, file: InputFile) -> Any:
        raise InputError(
            f"{file.path}: the record {short_repr(record)} has no columns, so that {_shown(file)} of its folder cannot be added "
            f"to it; {_WITHOUT}")


def _names_in(form: Any) -> tuple[str, ...]:
    """The columns of the files, where the format knows them before it reads records."""
    if getattr(form, "schema", None) is not None:
        return tuple(form.schema.decoded().names)
    return tuple(getattr(form, "names", None) or ())

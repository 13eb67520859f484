"""Parquet: columns in row groups, with the least and largest value of each column in each group.

A row group is the unit of a piece: one is never cut. ``filters`` passes over groups whose statistics exclude all rows,
then filters the rows of the others.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.arrowformat import BATCH_ROWS, ArrowFormat
from mpirdd.formats.records.columns import values_of
from mpirdd.formats.records.exact import all_kept, kept
from mpirdd.formats.records.library import library
from mpirdd.formats.records.opening import opened_for_arrow
from mpirdd.formats.records.tables import Sink, batches_from
from mpirdd.protocol.errors import InvalidType, InvalidValue
from mpirdd.protocol.shown import short_repr
from mpirdd.store.costs import counting

Condition = tuple[str, str, Any]
"""(column, operator, value)."""
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}
_SETS = ("in", "not in")
_PIECE_BYTES = 4 << 20


def conditions(filters: Any) -> tuple[tuple[Condition, ...], ...]:
    """What a user gives as ``filters``, checked: a list of conditions that all hold, or a list of such lists, of which
    one holds.

    Raises:
        InvalidType, InvalidValue: it is something else.
    """
    if filters is None:
        return ()
    if not isinstance(filters, list | tuple):
        raise InvalidType(f"filters must be a list of (column, operator, value), not {short_repr(filters)}")
    given = list(filters)
    either = given if given and all(isinstance(each, list) for each in given) else [given]
    return tuple(tuple(map(_condition, each)) for each in either if each)


def _condition(given: Any) -> Condition:
    if not isinstance(given, tuple | list) or len(given) != 3 or not isinstance(given[0], str):
        raise InvalidType(f"a filter is (column, operator, value), such as ('age', '>=', 18), not {short_repr(given)}")
    name, how, value = given
    if how not in COMPARE and how not in _SETS:
        raise InvalidValue(f"unknown operator {how!r} in a filter; known are {', '.join((*COMPARE, *_SETS))}")
    if how in _SETS:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise InvalidType(f"a filter with {how!r} needs a list of values, not {short_repr(value)}")
        value = tuple(value)
    return name, how, value


@dataclass(frozen=True)
class Parquet(ArrowFormat):
    """Parquet files."""

    filters: tuple[tuple[Condition, ...], ...] = ()
    """One of these must hold, that is all of its conditions; none: all rows."""

    @property
    def name(self) -> str:
        return "a Parquet file"

    @property
    def more_columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for each in self.filters for name, _, _ in each))

    def known(self, first: InputFile) -> Any:
        known = super().known(first)
        if self.filters:
            with opened_for_arrow(first) as source:
                schema = self.schema_of(self.reader(source))
            for column in self.more_columns:
                _check_comparable(schema.field(column), [each for some in self.filters for each in some if each[0] == column])
        return known

    def reader(self, source: Any) -> Any:
        return library("pyarrow.parquet", self.name).ParquetFile(source)

    def schema_of(self, reader: Any) -> Any:
        return reader.schema_arrow

    def unit_bytes(self, reader: Any, file: InputFile) -> list[int]:
        groups = [reader.metadata.row_group(place) for place in range(reader.metadata.num_row_groups)]
        return [sum(group.column(c).total_compressed_size for c in range(group.num_columns)) for group in groups]

    def read_bytes(self, reader: Any, file: InputFile, units: range, columns: Sequence[str] | None) -> int:
        wanted = None if columns is None else frozenset(columns)
        chunks = [group.column(place) for group in map(reader.metadata.row_group, self._to_read(reader, units))
                  for place in range(group.num_columns)]
        return sum(chunk.total_compressed_size for chunk in chunks
                   if wanted is None or chunk.path_in_schema.partition(".")[0] in wanted)

    def _to_read(self, reader: Any, units: range) -> list[int]:
        if not self.filters:
            return list(units)
        return [unit for unit in units if self._may_hold(reader.metadata.row_group(unit))]

    def unit_count(self, reader: Any) -> int:
        return int(reader.metadata.num_row_groups)

    def batches_of(self, reader: Any, units: range, columns: Sequence[str] | None) -> Iterator[Any]:
        wanted = self._to_read(reader, units)
        if wanted:
            # One thread: an executor has one core, and its neighbours use the others.
            rows = BATCH_ROWS if not self.batches else 4 * BATCH_ROWS
            yield from reader.iter_batches(rows, row_groups=wanted, columns=columns, use_threads=False)

    def chosen(self, batch: Any) -> Any:
        if not self.filters:
            return batch
        compute, mask = library("pyarrow.compute", self.name), None
        for each in self.filters:
            all_of = None
            for condition in each:
                one = _holds(compute, batch, condition)
                all_of = one if all_of is None else compute.and_kleene(all_of, one)
            mask = all_of if mask is None else compute.or_kleene(mask, all_of)
        return batch.filter(mask)

    def _may_hold(self, group: Any) -> bool:
        places = {group.column(place).path_in_schema: place for place in range(group.num_columns)}

        def excluded(condition: Condition) -> bool:
            place = places.get(condition[0])
            statistics = None if place is None else group.column(place).statistics
            if statistics is None or not statistics.has_min_max:
                return False
            return _excludes(statistics.min, statistics.max, condition)

        return any(not any(map(excluded, each)) for each in self.filters)


def _check_comparable(field: Any, given: Sequence[Condition]) -> None:
    arrow, compute = library("pyarrow", "a filter"), library("pyarrow.compute", "a filter")
    empty = arrow.RecordBatch.from_arrays([arrow.array([], field.type)], [field.name])
    for condition in given:
        try:
            _holds(compute, empty, condition)
        except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise InvalidValue(
                f"the filter {condition!r} does not compare: column {field.name!r} is {field.type}, and the value is "
                f"{type(condition[2]).__name__} ({error})"
            ) from error


def _holds(compute: Any, batch: Any, condition: Condition) -> Any:
    """True, false or null for each row."""
    name, how, value = condition
    column = batch.column(name)
    if library("pyarrow", "a filter").types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if how in _SETS:
        arrow = library("pyarrow", "a filter")
        among = arrow.array(value, column.type)
        if not all_kept(value, among):  # 2.5 is no int64, and arrow.array makes 2 of it
            among = among.filter(arrow.array([kept(*each, column.type) for each in zip(value, values_of(among), strict=True)]))
        found = compute.is_in(column, value_set=among)
        return found if how == "in" else compute.and_kleene(compute.invert(found), column.is_valid())
    function = {"=": "equal", "==": "equal", "!=": "not_equal", "<": "less", "<=": "less_equal", ">": "greater",
                ">=": "greater_equal"}[how]
    return getattr(compute, function)(column, value)


def _excludes(least: Any, largest: Any, condition: Condition) -> bool:
    """Does no value from ``least`` to ``largest`` meet the condition?"""
    _, how, value = condition
    try:
        if how in ("=", "=="):
            return bool(value < least or value > largest)
        if how == "in":
            return all(each < least or each > largest for each in value)
        if how in ("<", "<="):
            return not COMPARE[how](least, value)
        if how in (">", ">="):
            return not COMPARE[how](largest, value)
    except TypeError:  # the filter itself then says that the types do not compare
        return False
    return False


# --- write ------------------------------------------------------------------------------------------------------------


def write_parquet(
    schema_data: bytes, compression: str, group_rows: int, records: Iterable[Any]
) -> Iterator[bytes]:
    """A whole Parquet file, a good piece at a time. It holds one row group in memory.

    Raises:
        RecordError: a record does not have the schema's columns, or a value is of another type.
    """
    arrow, parquet = library("pyarrow", "a Parquet file"), library("pyarrow.parquet", "a Parquet file")
    schema = arrow.ipc.read_schema(arrow.py_buffer(schema_data))
    sink, costs = Sink(), counting()
    with parquet.ParquetWriter(sink, schema, compression=compression) as writer:
        for batch in batches_from("saveAsParquetFile", records, schema, group_rows):
            began, counted_s = perf_counter(), costs.counted_s
            writer.write_batch(batch, row_group_size=group_rows)
            costs.add_rest("encode_s", began, counted_s)
            costs.note("records_out", batch.num_rows)
            if sink.waiting >= _PIECE_BYTES:
                yield sink.take()
    yield sink.take()

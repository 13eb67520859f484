"""Parquet: columns in row groups, with the least and largest value of each column in each group.

A row group is the unit of a piece: one is never cut. ``filters`` passes over groups whose statistics exclude all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from time import perf_counter
from typing import Any

from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.arrowformat import BATCH_ROWS, ArrowFormat
from mpirdd.formats.records.filters import COMPARE, SETS, Condition
from mpirdd.formats.records.library import library
from mpirdd.formats.records.tables import Sink, batches_from
from mpirdd.store.costs import counting

_PIECE_BYTES = 4 << 20


@dataclass(frozen=True)
class Parquet(ArrowFormat):
    """Parquet files."""

    @property
    def name(self) -> str:
        return "a Parquet file"

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

    def _may_hold(self, group: Any) -> bool:
        places = {group.column(place).path_in_schema: place for place in range(group.num_columns)}

        def excluded(condition: Condition) -> bool:
            place = places.get(condition[0])
            statistics = None if place is None else group.column(place).statistics
            if statistics is None or not statistics.has_min_max:
                return False
            try:
                least, largest = statistics.min, statistics.max
            except (ValueError, OverflowError):  # nanoseconds, or years beyond 9999, which Python's times do not have
                return False
            return _excludes(least, largest, condition)

        return any(not any(map(excluded, each)) for each in self.filters)


def _excludes(least: Any, largest: Any, condition: Condition) -> bool:
    """Does no value from ``least`` to ``largest`` meet the condition?"""
    _, how, value = condition
    if isinstance(least, Decimal) and any(isinstance(each, float) for each in (value if how in SETS else [value])):
        return False  # Arrow compares them as floats: 0.1 is the decimal 0.10 there
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

"""Records to Arrow's columns, for writing: dicts, rows and other named tuples, plain tuples, record batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from time import perf_counter
from typing import Any

from mpirdd.formats.records.columns import cast_exactly, values_of
from mpirdd.formats.records.exact import all_kept, kept
from mpirdd.formats.records.library import library
from mpirdd.formats.records.rows import columns_of, ordering
from mpirdd.protocol.errors import RecordError, UsageError
from mpirdd.protocol.shown import short_repr
from mpirdd.store.costs import counting


class Sink:
    """A file in memory for a library that writes: it remembers how far the file has come, and gives what is new."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size, self.waiting = 0, 0

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._size += len(piece)
        self.waiting += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        """What has been written since the last call."""
        data, self._pieces, self.waiting = b"".join(self._pieces), [], 0
        return data


def schema_from(given: Any) -> bytes:
    """A schema that a user gives: a ``pyarrow.Schema``, or {column: type}, types being Arrow's or their names.

    Raises:
        UsageError: it is something else, or a type is not known.
    """
    arrow = library("pyarrow", "a schema")
    if isinstance(given, Mapping):
        try:
            given = arrow.schema([(name, _type_named(arrow, kind)) for name, kind in given.items()])
        except (ValueError, TypeError, arrow.ArrowException) as error:
            raise UsageError(
                f"schema {short_repr(given)}: {error}; types are Arrow's, such as 'int64' or pyarrow.int64()") from error
    if not isinstance(given, arrow.Schema):
        raise UsageError(f"schema must be a pyarrow.Schema or a dict of column and type, not {short_repr(given)}")
    data: bytes = given.serialize().to_pybytes()
    return data


_MOST_DIGITS = 38
"""Of a decimal of 128 bits."""
_PYTHON_TYPES = {int: "int64", float: "float64", str: "string", bytes: "binary", bool: "bool"}


def _type_named(arrow: Any, kind: Any) -> Any:
    if isinstance(kind, type):
        kind = _PYTHON_TYPES.get(kind, kind)
    return arrow.type_for_alias(kind) if isinstance(kind, str) else kind


def inferred_schema(operation: str, sample: Sequence[Any]) -> bytes:
    """The schema that holds the records of a sample.

    Raises:
        RecordError: a record has no names for its columns, or the values of a column are of several types.
        UsageError: a column is None in all records.
    """
    arrow = library("pyarrow", operation)
    first = sample[0]
    if isinstance(first, arrow.RecordBatch | arrow.Table):
        return bytes(first.schema.serialize().to_pybytes())
    names = list(dict.fromkeys(name for record in sample for name in _names(operation, record)))
    fields = []
    for name, values in zip(names, _columns(operation, sample, names), strict=True):
        if any(map(_holds_rows, values)):
            raise RecordError(
                f"{operation}: column {name!r} holds rows or named tuples, which would become lists without their names; make "
                "dicts of them with map and _asdict(), which become structs, or pass schema=")
        try:
            made = arrow.array(values)  # infer_type takes values that do not fit it
            kind = made.type
        except (arrow.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise RecordError(
                f"{operation}: no type holds all values of column {name!r} ({error}); make them alike with map, or pass schema="
            ) from error
        if not all_kept(values, made):
            value = next(v for v, back in zip(values, values_of(made), strict=True) if not kept(v, back, kind))
            raise RecordError(
                f"{operation}: no type holds all values of column {name!r}: as {kind}, {short_repr(value)} "
                f"({type(value).__name__}) would be another value; make them alike with map, or pass schema="
            )
        if arrow.types.is_null(kind):
            raise UsageError(
                f"{operation}: column {name!r} is None in the first {len(sample)} records, so nothing says its type; "
                f"pass schema={{{name!r}: 'string', ...}}"
            )
        fields.append((name, _wide(kind)))
    return bytes(arrow.schema(fields).serialize().to_pybytes())


def _wide(kind: Any) -> Any:
    """The type with all digits that a decimal may have: those of the sample are too few for larger numbers behind it."""
    arrow = library("pyarrow", "a schema")
    types = arrow.types
    if types.is_decimal128(kind):
        return arrow.decimal128(_MOST_DIGITS, kind.scale)
    if types.is_list(kind):
        return arrow.list_(_wide(kind.value_type))
    if types.is_struct(kind):
        return arrow.struct([(field.name, _wide(field.type)) for field in kind])
    return kind


def _holds_rows(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_rows, value.values()))
    return isinstance(value, list | tuple) and (columns_of(value) is not None or any(map(_holds_rows, value)))


def _names(operation: str, record: Any) -> tuple[str, ...]:
    names = columns_of(record)
    if names is None or not all(isinstance(name, str) for name in names):
        raise RecordError(
            f"{operation}: a record must be a dict with text for keys, a row or another named tuple, or a "
            f"pyarrow.RecordBatch, or a tuple with schema= given; {short_repr(record)} is {type(record).__name__}"
        )
    if len(set(names)) < len(names):
        raise RecordError(f"{operation}: a row has two columns of the same name ({', '.join(names)}); rename one with map")
    return names


def batches_from(operation: str, records: Iterable[Any], schema: Any, rows: int) -> Iterator[Any]:
    """The records as record batches of this schema, of ``rows`` rows each.

    Raises:
        RecordError: a record does not have these columns, or a value is of another type.
    """
    arrow, costs = library("pyarrow", operation), counting()
    iterator = iter(records)
    first = list(islice(iterator, 1))
    iterator = chain(first, iterator)
    if first and isinstance(first[0], arrow.RecordBatch | arrow.Table):
        for table in iterator:
            yield from _conformed(operation, table, schema)
        return
    while chunk := list(islice(iterator, rows)):
        began, counted_s = perf_counter(), costs.counted_s
        names = schema.names
        columns = _columns(operation, chunk, names)
        arrays = [
            _array(operation, values, field, chunk) for values, field in zip(columns, schema, strict=True)
        ]
        costs.add_rest("encode_s", began, counted_s)
        yield arrow.RecordBatch.from_arrays(arrays, schema=schema)


def _conformed(operation: str, table: Any, schema: Any) -> Iterator[Any]:
    arrow = library("pyarrow", operation)
    if not isinstance(table, arrow.RecordBatch | arrow.Table):
        raise RecordError(f"{operation}: records are record batches, but {short_repr(table)} is {type(table).__name__}")
    names = table.schema.names
    try:
        if unknown := [name for name in names if name not in schema.names]:
            raise KeyError(f"it has the column {unknown[0]!r}, too; pass schema= with all columns, or drop it with map")
        for batch in [table] if isinstance(table, arrow.RecordBatch) else table.to_batches():
            columns = batch.select(schema.names).columns
            made = [cast_exactly(column, field.type, may_round=True) for column, field in zip(columns, schema, strict=True)]
            yield arrow.RecordBatch.from_arrays(made, schema=schema)
    except (KeyError, arrow.ArrowException) as error:
        said = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise RecordError(f"{operation}: a record batch does not fit the schema {schema.to_string()!r}: {said}") from error


def _columns(operation: str, chunk: Sequence[Any], names: Sequence[str]) -> list[Sequence[Any]]:
    """The values of each column, of records of one kind or of several."""
    if not names:
        return []
    known, count = frozenset(names), len(names)
    tuples = []
    kind: Any = tuple
    order = None
    for record in chunk:
        if type(record) is not kind:
            kind = type(record)
            order = ordering(operation, kind, tuple(names))
        if order is not None:
            record = order(record)
        if isinstance(record, dict):
            if not record.keys() <= known:
                unknown = ", ".join(repr(name) for name in record if name not in known)
                raise RecordError(
                    f"{operation}: the record {short_repr(record)} has the key {unknown}, which is no column "
                    f"({', '.join(names)}); pass schema= with all columns, or drop it with map"
                )
            tuples.append(tuple(map(record.get, names)))
        elif isinstance(record, tuple) and len(record) == count:
            tuples.append(record)
        else:
            raise RecordError(
                f"{operation}: the record {short_repr(record)} does not fit the {count} columns {', '.join(names)}; "
                "it must be a dict, or a tuple with as many values"
            )
    return list(zip(*tuples, strict=True))


def _array(operation: str, values: Sequence[Any], field: Any, records: Sequence[Any]) -> Any:
    arrow = library("pyarrow", operation)
    wrong = (arrow.ArrowException, OverflowError, TypeError, ValueError)
    try:
        made = arrow.array(values, field.type)
    except wrong as error:
        for value, record in zip(values, records, strict=True):
            try:
                arrow.array([value], field.type)
            except wrong as found:
                raise RecordError(
                    f"{operation}: column {field.name!r} is {field.type}, and {short_repr(value)} ({type(value).__name__}) "
                    f"does not fit ({found}), in the record {short_repr(record)}; pass schema= with another type, or "
                    "convert with map"
                ) from error
        raise RecordError(f"{operation}: column {field.name!r} ({field.type}): {error}") from error
    if made.null_count and not field.nullable:
        raise RecordError(
            f"{operation}: column {field.name!r} takes no None (nullable=False), as in the record "
            f"{short_repr(records[made.is_null().index(True).as_py()])}; leave nullable away, or fill it with map")
    if not all_kept(values, made):
        for value, back, record in zip(values, values_of(made), records, strict=True):
            if not kept(value, back, field.type):
                raise RecordError(
                    f"{operation}: column {field.name!r} is {field.type}, and {short_repr(value)} ({type(value).__name__}) "
                    f"does not fit: it would become {short_repr(back)}, in the record {short_repr(record)}; pass schema= "
                    "with another type, or convert with map"
                )
    return made

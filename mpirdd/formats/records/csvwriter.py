"""CSV files that are written, by Python's own ``csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from itertools import islice
from time import perf_counter
from typing import Any

from mpirdd.formats.records.csvtext import Dialect, numbered
from mpirdd.formats.records.rows import columns_of, ordering
from mpirdd.protocol.errors import RecordError
from mpirdd.protocol.shown import short_repr
from mpirdd.store.costs import counting

_RUN = 1024
"""Records that are formatted together."""


def csv_text(dialect: Dialect, header: bool, columns: tuple[str, ...] | None, records: Iterable[Any]) -> Iterator[bytes]:
    """A CSV file, a good piece at a time: None is an empty field, anything else is its ``str``.

    Raises:
        RecordError: a record has other columns than the first one, or none; or a text holds half of a surrogate pair.
    """
    names = columns
    iterator, is_first, costs = iter(records), True, counting()
    kind: Any = None
    order = None
    while run := list(islice(iterator, _RUN)):
        began, counted_s = perf_counter(), costs.counted_s
        rows: list[Sequence[Any]] = []
        if is_first:
            names = names or made_columns(run[0])
            if header and names:
                rows.append(names)
            is_first = False
        for record in run:
            if type(record) is not kind:
                kind = type(record)
                order = ordering("saveAsCsvFile", kind, names or ())
            rows.append(_fields(record, names) if order is None else order(record))
        text = _written(dialect, rows, csv.QUOTE_MINIMAL)
        # Before Python 3.13 a lone \r is not quoted, and it would end the row.
        data = _utf8(text if "\r" not in text else _written(dialect, rows, csv.QUOTE_ALL))
        costs.add_rest("encode_s", began, counted_s)
        costs.note("records_out", len(run))
        yield data
    if is_first and header and names:
        yield _utf8(_written(dialect, [names], csv.QUOTE_MINIMAL))


def made_columns(record: Any) -> tuple[str, ...] | None:
    """The names of a record's columns, or, of a tuple or list without names, ``_c0``, ``_c1``, ..., as Spark's."""
    names = columns_of(record)
    if names is None and isinstance(record, tuple | list):
        names = tuple(map(numbered, range(len(record))))
    return names


def _written(dialect: Dialect, rows: Iterable[Sequence[Any]], quoting: Any) -> str:
    buffer = StringIO()
    csv.writer(
        buffer, delimiter=dialect.separator, quotechar=dialect.quote, lineterminator="\n", quoting=quoting,
    ).writerows(rows)
    return buffer.getvalue()


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 30) : error.start + 10]
        raise RecordError(
            f"saveAsCsvFile: {short_repr(around)} cannot be written as UTF-8, as it holds half of a surrogate pair; change such "
            "texts with map: text.encode('utf-8', 'replace').decode() puts question marks in their place") from error


def _fields(record: Any, names: tuple[str, ...] | None) -> Sequence[Any]:
    if isinstance(record, dict):
        if names is None or not record.keys() <= set(names):
            raise RecordError(
                f"saveAsCsvFile: the record {short_repr(record)} has other keys than the columns {', '.join(names or ())}; "
                "pass columns= with all of them, or drop some with map"
            )
        return [record.get(name) for name in names]
    if isinstance(record, tuple | list):
        if not names or len(record) != len(names):
            raise RecordError(
                f"saveAsCsvFile: the record {short_repr(record)} has {len(record)} fields, where there are {len(names or ())} "
                f"columns ({', '.join((names or ())[:20])}); make the records alike with map"
            )
        return record
    raise RecordError(
        f"saveAsCsvFile: a record must be a dict, a tuple or a list of fields; {short_repr(record)} is {type(record).__name__}")


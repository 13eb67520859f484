"""Writing files of records: JSON lines, CSV, Parquet, numpy. As ``sinks``, a new folder that appears whole or not at all.

Records with columns are dicts, rows (of the readers), other named tuples, or tuples where the call names the columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from mpirdd.api.sinks import Sinks
from mpirdd.formats.compression import check_library, codec_named
from mpirdd.formats.paths import OnePath
from mpirdd.ops import operators as steps
from mpirdd.protocol.errors import InvalidType, InvalidValue, UsageError
from mpirdd.protocol.shown import short_repr

Storage: TypeAlias = "Mapping[str, Any] | None"
"""How to reach the file system of a URL; see ``sinks``."""

_SAMPLE = 1000
_PARQUET_CODECS = ("none", "snappy", "gzip", "zstd", "lz4", "brotli")


class RecordSinks(Sinks):
    """Each runs a job; none changes the RDD. ``path``, ``overwrite`` and ``storage_options`` are those of ``Sinks``."""

    def saveAsJsonFile(
        self, path: OnePath, compressionCodecClass: str | None = None, *, overwrite: bool = False,
        storage_options: Storage = None,
    ) -> None:
        """Write each record as a line of JSON, which ``jsonFile`` reads; a ``part-NNNNN.json`` a partition. An action.

        Named tuples become objects; dates and times ISO text, decimals text, bytes base64, numpy's arrays lists. NaN and
        infinities are written as Python does (``NaN``), which is not strictly JSON.

        Args:
            compressionCodecClass: as for ``saveAsTextFile``.

        Raises:
            UsageError: the folder exists or cannot be written, or the codec is not known or not installed.
            TaskError: a record has no form in JSON, or keys that become one text there, such as 1 and "1".

        >>> import tempfile, os
        >>> folder = os.path.join(tempfile.mkdtemp(), "out")
        >>> sc.parallelize([{"a": 1}, {"a": [None, "x"]}], 2).saveAsJsonFile(folder, "gzip")
        >>> sc.jsonFile(folder).collect()
        [{'a': 1}, {'a': [None, 'x']}]
        """
        from mpirdd.formats.records.jsonlines import json_lines

        self._save_records("saveAsJsonFile", path, json_lines, ".json", overwrite, storage_options, compressionCodecClass)

    def saveAsCsvFile(
        self, path: OnePath, columns: Sequence[str] | None = None, *, header: bool = True, sep: str = ",",
        quote: str = '"', compressionCodecClass: str | None = None, overwrite: bool = False, storage_options: Storage = None,
    ) -> None:
        """Write each record as a row of CSV, which ``csvFile`` reads; a ``part-NNNNN.csv`` a partition. An action, and
        ``take(1)`` before it where ``columns`` is not given.

        None is an empty field, anything else its ``str``; fields are quoted where they must be. Rows and named tuples go by
        their names, as dicts do; by place where they know none of the names.

        Args:
            columns: the names, for dicts and for the header; None: those of the first record, or ``_c0``, ``_c1``, ...
                where it is a tuple or list without names.
            header: the first row of each file names the columns, as ``csvFile`` reads it; False: ``csvFile`` needs
                ``header=False`` then.

        Raises:
            UsageError: the folder exists or cannot be written, or the codec is not known or not installed.
            TaskError: a record has other columns, or another number of fields.

        >>> import tempfile, os
        >>> folder = os.path.join(tempfile.mkdtemp(), "out")
        >>> sc.parallelize([("Ada", 1815), ("Alan", None)], 2).saveAsCsvFile(folder, ["name", "born"])
        >>> sc.csvFile(folder, types={"born": int}).collect()
        [Row(name='Ada', born=1815), Row(name='Alan', born=None)]
        """
        from mpirdd.formats.records.csvtext import Dialect
        from mpirdd.formats.records.csvwriter import csv_text, made_columns

        for name, character in (("sep", sep), ("quote", quote)):
            if not isinstance(character, str) or len(character) != 1:
                raise InvalidValue(f"{name} must be one character, not {character!r}")
        names = None if columns is None else _names(columns)
        if names is None:
            first = self.take(1)
            names = made_columns(first[0]) if first else None
        write = partial(csv_text, Dialect(sep, quote), header, names)
        self._save_records("saveAsCsvFile", path, write, ".csv", overwrite, storage_options, compressionCodecClass)

    def saveAsParquetFile(
        self, path: OnePath, schema: Any = None, *, compression: str = "snappy", rowGroupRows: int = 128 << 10,
        overwrite: bool = False, storage_options: Storage = None,
    ) -> None:
        """Write a Parquet file of the records, a ``part-NNNNN.parquet`` a partition. An action, and ``take`` of the first
        1,000 records before it where ``schema`` is not given.

        Records are dicts, rows, other named tuples, ``pyarrow.RecordBatch``, or, with ``schema``, tuples. Without
        ``schema``, the first records say names and types, and the others must fit. Rows and named tuples go by their names, as
        dicts do; by place where they know none of the names.

        Args:
            schema: a ``pyarrow.Schema``, or a dict of column and type: ``{"name": "string", "born": "int64"}``.
            compression: ``none``, ``snappy``, ``gzip``, ``zstd``, ``lz4`` or ``brotli``.
            rowGroupRows: rows of a group; a task holds one in memory.

        Raises:
            UsageError: the folder exists or cannot be written; there is no record and no schema; a column is None in all
                of the first records.
            RecordError: a record has no columns, or no one type holds the values of a column (a date and a datetime).
            TaskError: a later record does not fit, or a value would be another one in its column's type (2.5 as int64, a
                datetime as a date, a key that a struct does not have). Floats may be rounded to float32.

        >>> import tempfile, os
        >>> folder = os.path.join(tempfile.mkdtemp(), "out")
        >>> sc.parallelize([("Ada", 1815), ("Alan", None)], 2).saveAsParquetFile(folder, {"name": str, "born": int})
        >>> sc.parquetFile(folder).collect()
        [Row(name='Ada', born=1815), Row(name='Alan', born=None)]
        """
        from mpirdd.formats.records import parquet, tables

        if compression not in _PARQUET_CODECS:
            raise InvalidValue(f"compression must be one of {', '.join(_PARQUET_CODECS)}, not {compression!r}")
        if isinstance(rowGroupRows, bool) or not isinstance(rowGroupRows, int) or rowGroupRows < 1:
            raise InvalidValue(f"rowGroupRows must be a number of rows, 1 or more, not {rowGroupRows!r}")
        if schema is not None:
            data = tables.schema_from(schema)
        else:
            sample = self.take(_SAMPLE)
            if not sample:
                raise UsageError(
                    "saveAsParquetFile: the RDD is empty, so nothing says its columns; pass schema={'name': 'string', ...}")
            data = tables.inferred_schema("saveAsParquetFile", sample)
        write = partial(parquet.write_parquet, data, compression, rowGroupRows)
        self._save_records("saveAsParquetFile", path, write, ".parquet", overwrite, storage_options)

    def saveAsNumpyFile(
        self, path: OnePath, dtype: Any = None, *, overwrite: bool = False, storage_options: Storage = None,
    ) -> None:
        """Write an array of the records, a ``part-NNNNN.npy`` a partition, which ``numpyFile`` reads. An action.

        Records are numbers, text, bytes, or arrays of one shape; a task holds its array in memory.

        Args:
            dtype: of the arrays, as numpy takes it; None: numpy chooses, for each partition by its own records.

        Raises:
            UsageError: the folder exists or cannot be written.
            TaskError: the records do not make an array, or one is another value there: 1.7 as i4, 300 as u1, 'abc' as U2, 1
                beside 'a'. Floats may be rounded to a dtype that the call names.

        >>> import tempfile, os
        >>> folder = os.path.join(tempfile.mkdtemp(), "out")
        >>> sc.parallelize([1, 2, 3], 2).saveAsNumpyFile(folder, "f4")
        >>> sc.numpyFile(folder).collect()
        [1.0, 2.0, 3.0]
        """
        import numpy

        from mpirdd.formats.records.npy import write_npy

        if dtype is not None:
            try:
                kind = numpy.dtype(dtype)
            except TypeError as error:
                raise InvalidType(f"dtype {dtype!r} is none of numpy's: {error}") from error
            dtype = kind.descr if kind.names else kind.str
        self._save_records("saveAsNumpyFile", path, partial(write_npy, dtype), ".npy", overwrite, storage_options)

    def _save_records(
        self, operation: str, path: OnePath, write: Callable[[Iterable[Any]], Iterable[bytes]], suffix: str,
        overwrite: bool, storage_options: Storage, codec: str | None = None,
    ) -> None:
        """A part file is what ``write`` makes of a partition's records, packed by ``codec``."""
        name = None if codec is None else check_library(codec_named(codec)).name
        self._save(operation, path, partial(steps.write_records, write, suffix, name), overwrite, storage_options)


def _names(given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(name, str) for name in given):
        raise InvalidType(f"columns must be a list of names, not {short_repr(given)}")
    return tuple(given)

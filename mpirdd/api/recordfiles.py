"""Reading files of records: JSON, CSV, Parquet, ORC, Arrow, Avro, WARC.

Paths are those of ``textFile``. Partitions, for all of these: about ``minPartitions`` (the default parallelism if not
given), of at most 32 MiB, and of at least 1 MiB unless ``minPartitions`` is given. Larger files are cut where their format
allows, at row groups, stripes, blocks, records; small files share a partition, in their order. The library of a format
(``pip install 'mpirdd[formats]'``) is imported when the first such file is read, and so is our own
module of that format: a rank starts without.

Columns in the names of folders, for JSON, CSV, Parquet, ORC, Arrow and Avro: of files in ``path/year=2024/month=05/`` each
record gets ``year`` and ``month``, behind its own columns. As in Spark, they are whole numbers, other numbers, dates or times
where all texts are such, else text, and None for ``__HIVE_DEFAULT_PARTITION__``. Whole numbers are exact: ints of up to 38
digits (in record batches decimals beyond 64 bits), text where they are longer or a float among them would round one. With
``recursive=True`` such folders are like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from mpirdd.api.rdd import RDD
from mpirdd.api.sources import Sources
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.lineends import TextOptions
from mpirdd.formats.paths import Paths, shown_paths
from mpirdd.protocol.errors import InvalidType, InvalidValue
from mpirdd.protocol.shown import short_repr

if TYPE_CHECKING:
    from mpirdd.formats.records.pieces import RecordFormat

Storage: TypeAlias = "Mapping[str, Any] | None"
"""How to reach the file system of a URL; see ``sources``."""


class RecordFiles(Sources):
    """The part of a Context that reads files of records. None of these runs a job."""

    def jsonFile(
        self, path: Paths, minPartitions: int | None = None, *, multiLine: bool = False, mode: str = "FAILFAST",
        encoding: str = "utf-8", errors: str = "strict", recursive: bool | None = None, storage_options: Storage = None,
    ) -> RDD:
        """The values of JSON lines: dicts, lists, text, numbers, booleans, None. Empty lines are passed over.

        Large files are cut into partitions by byte ranges, unless they are compressed (gz, bz2, xz, zst, lz4, ...).

        Args:
            multiLine: each file is one document, read whole; an array gives its elements.
            mode: what to do about a line (with ``multiLine``, a file) that is not JSON, in Spark's words: ``FAILFAST``
                fails, ``DROPMALFORMED`` leaves it out, ``PERMISSIVE`` gives ``{"_corrupt_record": text}``.

        Raises:
            InputError: at once, if a file is missing; from the job, if a line is not JSON (it names file and line).

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "people.json")
        >>> _ = open(path, "w").write('{"name": "Ada", "born": 1815}\\n{"name": "Alan", "born": 1912}\\n')
        >>> sc.jsonFile(path).map(lambda person: person["born"]).collect()
        [1815, 1912]
        """
        from mpirdd.formats.records import jsonlines

        options = TextOptions.of(encoding, errors, None)
        form = (jsonlines.JsonDocuments if multiLine else jsonlines.JsonLines)(options, _mode(mode))
        return self._records("jsonFile", path, form, minPartitions, recursive, storage_options, columns=True)

    def csvFile(
        self, path: Paths, minPartitions: int | None = None, *, header: bool | Sequence[str] = True,
        columns: Sequence[str] | None = None, types: Mapping[str, Callable[[str], Any]] | None = None,
        sep: str = ",", quote: str | None = '"', escape: str | None = None, nullValue: str | None = None,
        multiLine: bool = False, mode: str = "FAILFAST", encoding: str = "utf-8", errors: str = "strict",
        recursive: bool | None = None, storage_options: Storage = None,
    ) -> RDD:
        """The rows of CSV files, as named tuples of text. Fields may be quoted, and hold separators and line ends then.

        Large files are cut into partitions at rows, never within quotes; where the quotes do not tell for sure, the job
        fails and says so. Compressed files, and those with ``escape``, are one partition each.

        Args:
            header: True: the first row of each file names the columns, and as in Spark a name that it repeats gets the place
                behind it (``a,b,a``: ``a0``, ``b``, ``a2``), an empty one is ``_c`` and the place; False: they are ``_c0``,
                ``_c1``, ...; a list of names: the files have no header.
            columns: those to read, in this order; None: all.
            types: what makes the values of some columns of their text: ``{"born": int}``. An empty field is None then.
            sep, quote, escape: one character each. ``quote=None``: quotes are ordinary characters. With ``escape``, quotes
                within quotes are escaped by it, not doubled.
            nullValue: the text that stands for None; None: no text does.
            multiLine: read each file in one piece, whatever its quotes.
            mode: what to do about rows with too few or too many fields, or a value that ``types`` does not convert, in
                Spark's words: ``FAILFAST`` fails, ``DROPMALFORMED`` leaves the row out, ``PERMISSIVE`` fills up with None
                and cuts off, and gives None for the value.

        Raises:
            InputError: at once, if a file or a column is missing; from the job, if a row has another number of fields, a
                value does not convert, or a quote is never closed (it names file and line).

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "people.csv")
        >>> _ = open(path, "w").write('name,born\\n"Lovelace, Ada",1815\\nAlan,1912\\n')
        >>> sc.csvFile(path, types={"born": int}).collect()
        [Row(name='Lovelace, Ada', born=1815), Row(name='Alan', born=1912)]
        """
        from mpirdd.formats.records import csvtext

        dialect = csvtext.Dialect(
            _character("sep", sep), quote and _character("quote", quote), escape and _character("escape", escape))
        names = None if isinstance(header, bool) else _names("header", header)
        form = csvtext.Csv(
            dialect, TextOptions.of(encoding, errors, None), _mode(mode), header is True, names, _names("columns", columns),
            _types(types), nullValue, not multiLine)
        return self._records("csvFile", path, form, minPartitions, recursive, storage_options, columns=True)

    def parquetFile(
        self, path: Paths, minPartitions: int | None = None, *, columns: Sequence[str] | None = None,
        filters: Any = None, batches: bool = False, recursive: bool | None = None, storage_options: Storage = None,
    ) -> RDD:
        """The rows of Parquet files, as named tuples of Python values. Files are cut at row groups.

        Values are int, float, bool, str, bytes, date, datetime, time, timedelta, Decimal; lists; dicts for structs; lists
        of pairs for maps; None for null. Nanoseconds are cut to microseconds. The first file's columns count; other files
        must have them, with types that convert and keep each value. Folders named ``year=2024`` below ``path`` add a column,
        see above; filters on it leave out whole files.

        Args:
            columns: those to read, in this order; the others are not even read. None: all.
            filters: the rows to read: ``[("born", ">=", 1900), ("name", "in", ["Ada", "Alan"])]``, which all must hold; a
                list of such lists: one of them must. Operators: ``= == != < <= > >= in``, ``not in``. A null meets none
                but ``in`` a list with None. Row groups without any such row are not read.
            batches: records are ``pyarrow.RecordBatch`` of up to 65,536 rows.

        Raises:
            InputError: at once, if a file or column is missing; from the job, if one is damaged, or of other types.

        >>> import os, tempfile
        >>> folder = os.path.join(tempfile.mkdtemp(), "people")
        >>> people = [{"name": "Ada", "born": 1815}, {"name": "Alan", "born": 1912}]
        >>> sc.parallelize(people, 2).saveAsParquetFile(folder)
        >>> sc.parquetFile(folder, columns=["name"], filters=[("born", "<", 1900)]).collect()
        [Row(name='Ada')]
        """
        from mpirdd.formats.records.filters import conditions
        from mpirdd.formats.records.parquet import Parquet

        form = Parquet(_names("columns", columns), batches, filters=conditions(filters))
        return self._records("parquetFile", path, form, minPartitions, recursive, storage_options, columns=True)

    def orcFile(
        self, path: Paths, minPartitions: int | None = None, *, columns: Sequence[str] | None = None,
        filters: Any = None, batches: bool = False, recursive: bool | None = None, storage_options: Storage = None,
    ) -> RDD:
        """The rows of ORC files, as named tuples. Files are cut at stripes. Otherwise as ``parquetFile``, but ``filters`` passes
        over no stripe: it leaves out rows that are read, before they are made.

        >>> import os, tempfile, pyarrow, pyarrow.orc
        >>> path = os.path.join(tempfile.mkdtemp(), "x.orc")
        >>> pyarrow.orc.write_table(pyarrow.table({"a": [1, None], "b": ["x", "y"]}), path)
        >>> sc.orcFile(path).collect()
        [Row(a=1, b='x'), Row(a=None, b='y')]
        >>> sc.orcFile(path, columns=["b"], filters=[("a", ">", 0)]).collect()
        [Row(b='x')]
        """
        from mpirdd.formats.records.filters import conditions
        from mpirdd.formats.records.orc import Orc

        form = Orc(_names("columns", columns), batches, filters=conditions(filters))
        return self._records("orcFile", path, form, minPartitions, recursive, storage_options, columns=True)

    def arrowFile(
        self, path: Paths, minPartitions: int | None = None, *, columns: Sequence[str] | None = None,
        filters: Any = None, batches: bool = False, recursive: bool | None = None, storage_options: Storage = None,
    ) -> RDD:
        """The rows of Arrow IPC files (Feather, version 2) as named tuples. Files are cut at record batches; those of the
        stream format are not cut. Otherwise as ``orcFile``.

        >>> import os, tempfile, pyarrow, pyarrow.feather
        >>> path = os.path.join(tempfile.mkdtemp(), "x.arrow")
        >>> pyarrow.feather.write_feather(pyarrow.table({"a": [1, 2]}), path)
        >>> sc.arrowFile(path, batches=True).map(lambda batch: batch.num_rows).collect()
        [2]
        """
        from mpirdd.formats.records.arrowipc import ArrowIpc
        from mpirdd.formats.records.filters import conditions

        form = ArrowIpc(_names("columns", columns), batches, filters=conditions(filters))
        return self._records("arrowFile", path, form, minPartitions, recursive, storage_options, columns=True)

    def avroFile(
        self, path: Paths, minPartitions: int | None = None, *, columns: Sequence[str] | None = None,
        recursive: bool | None = None, storage_options: Storage = None,
    ) -> RDD:
        """The records of Avro files: dicts, with the types that fastavro gives. Files are cut at blocks.

        Args:
            columns: the fields to read, in this order; None: all.

        >>> import os, tempfile, fastavro
        >>> path = os.path.join(tempfile.mkdtemp(), "x.avro")
        >>> schema = {"type": "record", "name": "P", "fields": [{"name": "n", "type": "int"}]}
        >>> with open(path, "wb") as file:
        ...     fastavro.writer(file, schema, [{"n": 1}, {"n": 2}])
        >>> sc.avroFile(path).collect()
        [{'n': 1}, {'n': 2}]
        """
        from mpirdd.formats.records.avro import Avro

        form = Avro(_names("columns", columns))
        return self._records("avroFile", path, form, minPartitions, recursive, storage_options, columns=True)

    def warcFile(
        self, path: Paths, minPartitions: int | None = None, *, types: Sequence[str] | None = None,
        recursive: bool | None = None, storage_options: Storage = None,
    ) -> RDD:
        """The records of web archives (WARC, ARC, also ``.gz``): ``(type, uri, date, headers, status, http_headers,
        content)``, a named tuple. A file is read by one task.

        Args:
            types: of the records to give, such as ``["response"]``; None: all.

        >>> import io, os, tempfile
        >>> from warcio.warcwriter import WARCWriter
        >>> path = os.path.join(tempfile.mkdtemp(), "x.warc.gz")
        >>> with open(path, "wb") as file:
        ...     writer = WARCWriter(file)
        ...     writer.write_record(writer.create_warc_record("http://a.org/", "resource", payload=io.BytesIO(b"Hello")))
        >>> sc.warcFile(path).map(lambda page: (page.uri, page.content)).collect()
        [('http://a.org/', b'Hello')]
        """
        from mpirdd.formats.records.warc import Warc

        return self._records("warcFile", path, Warc(_names("types", types)), minPartitions, recursive, storage_options)

    def _records(
        self, operation: str, path: Paths, form: RecordFormat, least: int | None, recursive: bool | None,
        storage_options: Storage, *, columns: bool = False,
    ) -> RDD:
        """The records of files of a format; ``columns``: with those that the names of folders say."""
        files = self._inputs(path, recursive, storage_options, columns=columns)
        if any(file.folders for file in files):
            from mpirdd.formats.records.folders import with_folders

            form, files = with_folders(form, files)
        return self._records_of(operation, path, form, files, least)

    def _records_of(
        self, operation: str, path: Paths, form: RecordFormat, files: Sequence[InputFile], least: int | None
    ) -> RDD:
        from mpirdd.formats.records import pieces

        wanted = self._least(least) if least is not None else self.defaultParallelism
        self._engine.check_usable()
        form, groups = pieces.plan(form, files, wanted, given=least is not None)
        made = self._source(f"{operation}({shown_paths(path)})", partial(pieces.read_pieces, form), groups)
        return made.setName(shown_paths(path))


def _mode(given: str) -> str:
    from mpirdd.formats.records import jsonlines

    if not isinstance(given, str) or given.upper() not in jsonlines.MODES:
        raise InvalidValue(f"mode must be one of {', '.join(jsonlines.MODES)}, not {given!r}")
    return given.upper()


def _character(name: str, given: str) -> str:
    if not isinstance(given, str) or len(given) != 1 or not given.isascii() or given in "\r\n":
        raise InvalidValue(f"{name} must be one ASCII character, and no line end, not {given!r}")
    return given


def _names(what: str, given: Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(name, str) for name in given):
        raise InvalidType(f"{what} must be a list of names, not {short_repr(given)}")
    if twice := [name for name, times in Counter(given).items() if times > 1]:
        raise InvalidValue(f"{what} has {twice[0]!r} more than once; give each name once")
    return tuple(given)


def _types(given: Mapping[str, Callable[[str], Any]] | None) -> tuple[tuple[str, Callable[[str], Any]], ...]:
    if given is None:
        return ()
    if not isinstance(given, Mapping) or not all(isinstance(name, str) and callable(kind) for name, kind in given.items()):
        raise InvalidType(f"types must be a dict of column and function, such as {{'age': int}}, not {short_repr(given)}")
    return tuple(given.items())

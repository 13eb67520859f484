"""CSV: rows of text, with quotes, and line ends within quotes. Python's own parser reads it, ``csvwriter`` writes it.

Large files are cut at records (``csvcuts``), never within quotes. Each piece is parsed up to the cut, then one more line
is given to the parser: if it does not come back as a record of its own, the cut was within quotes, and the read fails
rather than give wrong rows.

Not cut: compressed files; files with an escape character, or of an encoding whose separators are not one byte each.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader, RawIOBase, TextIOWrapper
from itertools import chain, islice
from typing import Any, BinaryIO

from mpirdd.formats.counted import Run, SizedRun
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.lineends import TextOptions, mark_of
from mpirdd.formats.records.arrowformat import check_columns
from mpirdd.formats.records.csvcuts import Cuts
from mpirdd.formats.records.jsonlines import DROPMALFORMED, FAILFAST, PERMISSIVE
from mpirdd.formats.records.opening import check_size, opened_file, opened_unpacked
from mpirdd.formats.records.pieces import Piece, cut_bytes, whole
from mpirdd.formats.records.rows import repeated, row_maker
from mpirdd.formats.signatures import HEAD_BYTES, other_format
from mpirdd.formats.text import is_cut
from mpirdd.protocol.errors import InputError
from mpirdd.protocol.shown import short_repr

_RUN = 64
"""Records held at once. So few, that they never make Python's garbage collector look at them: 0.64 us a row on rows of 48
bytes, where 512 take 1.3 us; the parser alone takes 0.45 us, and 0.58 us with making rows of its lists."""
_LINE_END = re.compile("\r\n?|\n")
_UTF8 = TextOptions()
_IN_ONE_PIECE = "multiLine=True reads each file in one piece, where quotes that are not in order do no harm"
_Where = Callable[..., str]
"""The place of the parser for messages, or so many lines further."""
_Convert = Callable[[list[list[str]], _Where], Run]
_MOST_FIELD = 1 << 30
"""Python's own limit of 128 KiB a field is for files that nobody knows."""


@dataclass(frozen=True)
class Dialect:
    """How fields are written."""

    separator: str = ","
    quote: str | None = '"'
    escape: str | None = None

    @property
    def last(self) -> list[str]:
        """A record for behind the last one: within quotes its line does not become two fields. No character of it means
        anything in this dialect."""
        plain = next(each for each in "\x1c\x1d\x1e\x1f" if each not in (self.separator, self.quote, self.escape))
        return [plain * 30, plain * 30]

    def parser(self, lines: Iterable[str]) -> Any:
        csv.field_size_limit(max(csv.field_size_limit(), _MOST_FIELD))
        return csv.reader(
            lines, delimiter=self.separator, quotechar=self.quote, escapechar=self.escape,
            doublequote=self.escape is None, quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE)


_COMMA = Dialect()


@dataclass(frozen=True)
class Csv:
    """CSV files."""

    dialect: Dialect = _COMMA
    options: TextOptions = _UTF8
    mode: str = FAILFAST
    header: bool = True
    """The first record of each file names its columns; each gets another name (``_header_names``)."""
    names: tuple[str, ...] | None = None
    """Of the columns; None before ``known``."""
    columns: tuple[str, ...] | None = None
    """Those to read, in this order; None: all."""
    types: tuple[tuple[str, Callable[[str], Any]], ...] = ()
    """What makes the values of some columns."""
    null: str | None = None
    """The text that stands for None."""
    may_cut: bool = True
    first_path: str = ""
    name: str = "a CSV file"

    def known(self, first: InputFile) -> Csv:
        names = self.names
        if names is None:
            with opened_unpacked(first) as file:
                head = file.peek(HEAD_BYTES)[:HEAD_BYTES]  # type: ignore[attr-defined]
                other = other_format(head, lambda: b"")
                if other is not None or head.startswith(b"PAR1\x15"):
                    raise InputError(f"{first.path} is no CSV but {other or 'a Parquet file: parquetFile reads it'}")
                parser = self.dialect.parser(_lines(file, self.options))
                found = self._run(
                    filter(None, parser), lambda more=0: f"line {parser.line_num + more}", whole(first), 1)
                record = found[0] if found else None
            if record is None:
                return self
            names = _header_names(first.path, record) if self.header else tuple(map(numbered, range(len(record))))
        if names:
            check_columns(first.path, names, (*(self.columns or ()), *(name for name, _ in self.types)))
        return replace(self, names=names, first_path=first.path)

    def cut(self, file: InputFile, goal_bytes: int) -> list[Piece]:
        as_ascii = "\r\n,\"".encode(self.options.encoding) == b"\r\n,\""  # not so in UTF-16, nor in EBCDIC
        may_cut = self.may_cut and self.dialect.escape is None and as_ascii and is_cut(file)
        return cut_bytes(file, goal_bytes) if may_cut and not self.options.needs_head else [whole(file)]

    def read(self, piece: Piece) -> Iterator[SizedRun]:
        for convert, run, where in self._runs(piece):
            yield convert(run, where)

    def count(self, piece: Piece) -> int:
        if self.types:  # a value that does not convert is an error here, too
            return sum(map(len, self.read(piece)))
        return sum(len(run) for _, run, _ in self._runs(piece))

    # --- rows -----------------------------------------------------------------------------------------------------

    def _runs(self, piece: Piece) -> Iterator[tuple[_Convert, list[list[str]], _Where]]:
        """What makes rows of text, some rows of text, and what tells the line for messages."""
        if piece.is_whole:
            with opened_unpacked(piece.file) as file:
                yield from self._rows(piece, _lines(file, self.options), self.names, 0, is_last=True)
            return
        with opened_file(piece.file) as file:
            cuts = Cuts(self.dialect.separator.encode(), (self.dialect.quote or "").encode())
            start = cuts.first_record(file, piece.start, piece.file.size)
            end = cuts.first_record(file, piece.end, piece.file.size)
            check_size(piece.file, file)  # now that a store has told it with a piece
            if start >= piece.end and start == end:
                return  # a record of an earlier piece goes on through all of this one
            if end < start or start >= piece.end:
                raise self._ambiguous(piece, min(start, end))
            names = self.names
            if self.header and start:
                file.seek(0)
                parser = self.dialect.parser(_lines(BufferedReader(_Bounded(file, start)), self.options))
                found = self._run(filter(None, parser), lambda more=0: f"line {parser.line_num + more}", piece, 1)
                names = self._own_names(piece, found[0], names) if found else names
            file.seek(start)
            lines = _lines(BufferedReader(_Bounded(file, end - start)), self.options, start)
            yield from self._rows(piece, lines, names, start, is_last=end == piece.file.size, end=end)

    def _rows(
        self, piece: Piece, lines: Iterable[str], names: tuple[str, ...] | None, start: int, *, is_last: bool, end: int = 0
    ) -> Iterator[tuple[_Convert, list[list[str]], _Where]]:
        last = self.dialect.last
        parser = self.dialect.parser(chain(lines, (self.dialect.separator.join(last),)))
        records = filter(None, parser)  # empty lines are no records
        where = (lambda more=0: f"line {parser.line_num + more}") if start == 0 else (
            lambda more=0: f"line {parser.line_num + more} behind byte {start}")
        if self.header and start == 0:
            found = self._run(records, where, piece, 1)[0]
            if found == last:
                return
            names = self._own_names(piece, found, names)
        convert = self._converter(piece, names)
        waiting = self._run(records, where, piece)
        while waiting:
            following = self._run(records, where, piece)
            if not following and waiting.pop() != last:
                raise self._unclosed(piece, end) if is_last else self._ambiguous(piece, end)
            if waiting:
                yield convert, self._even(piece, waiting, names, where), where
            waiting = following

    def _run(
        self, records: Iterator[list[str]], where: _Where, piece: Piece, count: int = _RUN
    ) -> list[list[str]]:
        try:
            return list(islice(records, count))
        except UnicodeDecodeError as error:
            # The parser has had all whole lines before the bytes that are being decoded.
            more = len(_LINE_END.findall(error.object[: error.start].decode(self.options.encoding, "replace"))) + 1
            raise InputError(
                f"{piece.file.path} is not {self.options.encoding.upper()}: byte 0x{error.object[error.start]:02x} near "
                f"{where(more)} ({error.reason}); errors=\"replace\" reads it with a U+FFFD in place of such bytes, "
                'encoding="latin-1" or another name reads other encodings'
            ) from None
        except csv.Error as error:
            raise InputError(f"{piece.file.path}: near {where()}: {error}") from error

    def _own_names(self, piece: Piece, found: list[str], names: tuple[str, ...] | None) -> tuple[str, ...]:
        """The names in the order of this file; it must have those of the first file, unless that one was empty."""
        own = _header_names(piece.file.path, found)
        if names and own != names:
            check_columns(piece.file.path, own, self.columns if self.columns is not None else names, self.first_path)
        return own

    def _even(
        self, piece: Piece, run: list[list[str]], names: tuple[str, ...] | None, where: _Where
    ) -> list[list[str]]:
        """Records that all have as many fields as there are columns."""
        if not names or set(map(len, run)) == {len(names)}:
            return run
        count = len(names)
        if self.mode == DROPMALFORMED:
            return [record for record in run if len(record) == count]
        if self.mode == PERMISSIVE:
            filling: list[Any] = [None] * count
            return [(record + filling)[:count] for record in run]
        place, wrong = next((place, record) for place, record in enumerate(run) if len(record) != count)
        raise InputError(
            f"{piece.file.path}: a record of {len(wrong)} fields, where there are {count} columns ({', '.join(names[:20])}), "
            f"{len(run) - place} records or fewer before {where()}: {short_repr(wrong)}; "
            'mode="PERMISSIVE" fills up with None and cuts off, mode="DROPMALFORMED" leaves such records out, '
            "sep= and quote= say how fields are written" + ("" if piece.is_whole else f"; {_IN_ONE_PIECE}")
        )

    # --- values ---------------------------------------------------------------------------------------------------

    def _converter(
        self, piece: Piece, names: tuple[str, ...] | None
    ) -> _Convert:
        """Makes rows of records of text."""
        if not names:
            return lambda run, where: Run(len(run), map(tuple, run))
        wanted = self.columns if self.columns is not None else (self.names or names)
        make, types = row_maker(wanted), dict(self.types)
        as_is = tuple(wanted) == tuple(names)
        if as_is and not types and self.null is None:
            return lambda run, where: Run(len(run), map(make, run))
        places = range(len(names)) if as_is else [names.index(name) for name in wanted]

        def converted(run: list[list[str]], where: _Where) -> Run:
            columns: Sequence[Sequence[Any]] = list(zip(*run, strict=True)) or [()] * len(names)
            dropped: set[int] = set()
            rows: Iterable[Any] = zip(*[
                self._values(piece, wanted[at], columns[place], types.get(wanted[at]), where, dropped)
                for at, place in enumerate(places)], strict=True) if places else [()] * len(run)
            if dropped:
                rows = [row for place, row in enumerate(rows) if place not in dropped]
            return Run(len(run) - len(dropped), map(make, rows))

        return converted

    def _values(
        self, piece: Piece, column: str, values: Sequence[Any], kind: Callable[[str], Any] | None, where: _Where,
        dropped: set[int],
    ) -> Sequence[Any]:
        """The values of a column; ``dropped`` gets the places of the rows to leave out."""
        if self.null is not None:
            null = self.null
            values = [None if value == null else value for value in values]
        if kind is None:
            return values
        try:
            return [kind(value) if value else None for value in values]
        except Exception:
            pass
        made = []
        for place, value in enumerate(values):
            try:
                made.append(kind(value) if value else None)
            except Exception as error:
                if self.mode == FAILFAST:
                    raise InputError(
                        f"{piece.file.path}: column {column!r}, in the {len(values)} records before {where()}: "
                        f"{getattr(kind, '__name__', kind)}({value!r}) raised {type(error).__name__}: {error}; "
                        'nullValue= names the text that stands for None, mode="PERMISSIVE" gives None for such values, '
                        'mode="DROPMALFORMED" leaves such records out'
                    ) from error
                if self.mode == DROPMALFORMED:
                    dropped.add(place)
                made.append(None)
        return made

    # --- errors ---------------------------------------------------------------------------------------------------

    def _unclosed(self, piece: Piece, end: int) -> InputError:
        return InputError(
            f"{piece.file.path}: the file ends within quotes ({self.dialect.quote}): a quote that opens a field is never "
            "closed; quote=None reads quotes as ordinary characters"
        )

    def _ambiguous(self, piece: Piece, at: int) -> InputError:
        return InputError(
            f"{piece.file.path}: the quotes near byte {at} do not say where records begin (quotes within fields that are "
            f"not quoted, or very long fields); {_IN_ONE_PIECE}, quote=None reads quotes as ordinary characters"
        )


def numbered(place: int) -> str:
    return f"_c{place}"


def _header_names(path: str, header: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns, each another one, as Spark makes them: ``a,b,a,`` gives ``a0``, ``b``, ``a2``, ``_c3``.

    Raises:
        InputError: names come twice even so.
    """
    times = Counter(header)
    names = tuple(numbered(place) if not name else f"{name}{place}" if times[name] > 1 else name
                  for place, name in enumerate(header))
    if twice := repeated(names):
        raise InputError(
            f"{path}: {twice}, once the place is put behind names that the header repeats; header=[...] gives names "
            "of your own (then the header is a row like others), or repair the header")
    return names


class _Bounded(RawIOBase):
    """The next ``size`` bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


def _lines(file: Any, options: TextOptions, start: int = 0) -> Iterator[str]:
    """The lines from ``start`` of a file on; at its very start without a byte order mark."""
    lines = TextIOWrapper(file, options.encoding, options.errors, newline="")
    if start or not mark_of(options.encoding):
        return lines
    return chain((line.removeprefix("\ufeff") for line in islice(lines, 1)), lines)

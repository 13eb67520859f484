"""JSON: a value a line, or a document a file.

Lines are cut into pieces as text is, so a file of any size is read by many tasks. Python's own scanner makes the values:
ints of any size, floats, NaN and Infinity as Python writes them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain, islice
from typing import Any

from mpirdd.formats.binary import read_text
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.lineends import TextOptions
from mpirdd.formats.records.pieces import END, Piece, cut_bytes, whole
from mpirdd.formats.records.rows import columns_of, repeated
from mpirdd.formats.splits import FileSplit
from mpirdd.formats.text import is_cut, read_lines, read_lines_at
from mpirdd.protocol.errors import InputError, RecordError
from mpirdd.protocol.shown import short_repr
from mpirdd.store.costs import counting

FAILFAST, PERMISSIVE, DROPMALFORMED = "FAILFAST", "PERMISSIVE", "DROPMALFORMED"
MODES = (FAILFAST, PERMISSIVE, DROPMALFORMED)
"""Spark's names for what to do about a record that is wrong: fail, give it as well as one can, leave it out."""
_ADVICE = 'mode="DROPMALFORMED" leaves such text out, mode="PERMISSIVE" gives it as {"_corrupt_record": text}'

_RUN = 128
_TEXT = frozenset({str})
_PLAIN = frozenset({str, int, float, bool, type(None)})
_LISTS = (list, tuple)
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_UTF8 = TextOptions()


@dataclass(frozen=True)
class JsonLines:
    """Text files with a JSON value in each line; empty lines are passed over."""

    options: TextOptions = _UTF8
    mode: str = FAILFAST
    name: str = "a file of JSON lines"

    def known(self, first: InputFile) -> JsonLines:
        return self

    def cut(self, file: InputFile, goal_bytes: int) -> list[Piece]:
        return cut_bytes(file, goal_bytes) if is_cut(file) else [whole(file)]

    def read(self, piece: Piece) -> Iterator[list[Any]]:
        split = text_split(piece)
        lines, scan, count = read_lines(split, options=self.options), _scanner(), 0
        while run := list(islice(lines, _RUN)):
            yield self._values(run, scan, split, count)
            count += len(run)

    def count(self, piece: Piece) -> int:
        return sum(map(len, self.read(piece)))

    def _values(self, lines: list[str], scan: Callable[..., tuple[Any, int]], split: FileSplit, before: int) -> list[Any]:
        values = []
        for place, line in enumerate(lines):
            try:
                # The scanner under json.loads, without its search for white space: 0.6 us a line less.
                value, end = scan(line, 0)
                if end != len(line):
                    value = json.loads(line)
            except (StopIteration, ValueError, RecursionError):
                stripped = line.strip()
                if not stripped:
                    continue
                try:
                    value = json.loads(stripped)
                except (ValueError, RecursionError) as error:
                    if self.mode == DROPMALFORMED:
                        continue
                    if self.mode == PERMISSIVE:
                        value = {"_corrupt_record": line}
                    else:
                        raise self._wrong(split, before + place, line, error) from None
            values.append(value)
        return values

    def _wrong(self, split: FileSplit, number: int, line: str, error: Exception) -> InputError:
        offset, _ = next(islice(read_lines_at(split, options=self.options), number, None))
        begins = number == 0 and split.start == 0 and line.lstrip().startswith(("[", "{"))
        advice = ("multiLine=True reads files that are one document each; " if begins else "") + _ADVICE
        where = f"line {number + 1}" if split.start == 0 else f"the line at byte {offset}"
        return InputError(f"{split.path}: {where} is not JSON: {error}: {short_repr(line)}; {advice}")


def _scanner() -> Callable[..., tuple[Any, int]]:
    found: Callable[..., tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
    return found


@dataclass(frozen=True)
class JsonDocuments:
    """Files that are one JSON document each: an array gives its elements, anything else is one record."""

    options: TextOptions = _UTF8
    mode: str = FAILFAST
    name: str = "a JSON document"

    def known(self, first: InputFile) -> JsonDocuments:
        return self

    def cut(self, file: InputFile, goal_bytes: int) -> list[Piece]:
        return [whole(file)]

    def read(self, piece: Piece) -> Iterator[list[Any]]:
        text = read_text(piece.file, errors=self.options.errors, encoding=self.options.encoding).removeprefix("\ufeff")
        if not text.strip():
            return
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            if self.mode == FAILFAST:
                raise InputError(
                    f"{piece.file.path} is no JSON document: {error}; without multiLine=True each line is a record; {_ADVICE}"
                ) from None
            if self.mode == DROPMALFORMED:
                return
            value = {"_corrupt_record": text}
        yield value if isinstance(value, list) else [value]

    def count(self, piece: Piece) -> int:
        return sum(map(len, self.read(piece)))


def text_split(piece: Piece) -> FileSplit:
    """The piece as the split of a text file."""
    end = piece.file.size if piece.end == END else piece.end
    return FileSplit(piece.file.path, piece.start, end - piece.start, piece.file.options)


# --- write ------------------------------------------------------------------------------------------------------------


def json_lines(records: Iterable[Any]) -> Iterator[bytes]:
    """Each record as a line of JSON, some at a time. Rows and other named tuples become objects, within records, too.

    Dates and times are written as ISO text, decimals as text, bytes as base64, numpy's numbers and arrays as numbers and
    lists; Spark does the same, but for decimals.

    Raises:
        RecordError: a record holds something else, two columns of one name, or keys that become one text, such as 1 and "1".
    """
    encode = json.JSONEncoder(ensure_ascii=False, default=_plain).encode
    lines: list[str] = []
    run: list[Any] = []
    costs = counting()
    for record in records:
        names = None if isinstance(record, dict) else columns_of(record)
        try:
            value = record if names is None else _object(names, record)
            lines.append(encode(value))
        except (TypeError, ValueError, RecursionError) as error:
            raise RecordError(f"saveAsJsonFile: the record {short_repr(record)} is not JSON: {error}") from error
        run.append(value)
        if len(lines) == _RUN:
            yield _joined(_checked(run, lines, encode))
            costs.note("records_out", len(lines))
            lines, run = [], []
    yield _joined(_checked(run, lines, encode))
    costs.note("records_out", len(lines))


def _object(names: tuple[str, ...], row: Iterable[Any]) -> dict[str, Any]:
    made = dict(zip(names, row, strict=True))
    if len(made) < len(names):
        raise ValueError(f"{repeated(names)}, and an object holds one of them; rename one with map")
    return made


def _joined(lines: list[str]) -> bytes:
    text = "\n".join([*lines, ""])
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates: UTF-8 has none, but JSON has an escape
        found = _PAIR.search(text)
        if found:
            raise RecordError(
                "saveAsJsonFile: a text holds a pair of surrogates, which JSON would read as one character: "
                f"{short_repr(text[max(0, found.start() - 20) : found.end() + 20])}; make that character of it with "
                'text.encode("utf-16", "surrogatepass").decode("utf-16")'
            ) from None
        return text.encode("utf-8", "backslashreplace")


def _checked(run: list[Any], lines: list[str], encode: Callable[[Any], str]) -> list[str]:
    """The lines of these records. Keys that become one text, as 1 and "1" do, are refused, as a reader would find the last
    one's value alone; rows within records become objects."""
    try:
        return [encode(_with_objects(record)) for record in run] if _check(run) else lines
    except ValueError:
        for record in run:  # which one is it?
            try:
                _check([record])
                _with_objects(record)
            except ValueError as error:
                raise RecordError(f"saveAsJsonFile: the record {short_repr(record)} is not JSON: {error}") from None
        raise


def _with_objects(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_objects(each) for key, each in value.items()}
    if isinstance(value, _LISTS):
        made = [_with_objects(each) for each in value]
        names = columns_of(value)
        return made if names is None else _object(names, made)
    return value


def _check(values: list[Any]) -> bool:
    """Are rows or named tuples among the values? Raises ValueError for keys that become one text.

    All values of a depth at a time. A write takes 1.2 to 1.3 times as long for it with flat records of 2.2 us, 1.5 times
    with records of 3.3 us that hold five dicts and lists (CPU time, median of 5, with and without in turn).
    """
    named = False
    while values:
        dicts: list[Any] = []
        lists: list[Any] = []
        for value in values:
            kind = type(value)
            if kind is dict or (kind not in _PLAIN and isinstance(value, dict)):
                dicts.append(value)
            elif kind is list or (kind not in _PLAIN and isinstance(value, _LISTS)):
                named = named or (kind is not list and kind is not tuple and columns_of(value) is not None)
                lists.append(value)
        if not _TEXT.issuperset(map(type, chain.from_iterable(dicts))):
            for each in dicts:
                texts: dict[str, Any] = {}
                for key in each:
                    text = key if isinstance(key, str) else json.dumps(key)
                    if text in texts:
                        raise ValueError(f"the keys {texts[text]!r} and {key!r} are the same text there; rename one with map")
                    texts[text] = key
        values = list(chain(chain.from_iterable(map(dict.values, dicts)), chain.from_iterable(lists)))
    return named


def _plain(value: Any) -> Any:
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in JSON; convert it with map")

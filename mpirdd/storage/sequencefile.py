"""Hadoop's SequenceFile, version 6: pairs of Writables, in a file that can be read from any offset on.

A file is a header, with the classes of its keys and values and 16 random bytes, and records. The 16 bytes come
again every 100 KB, after an escape (-1 where a length is due): a *sync point*. There are three layouts:

    plain     a record is: length, key's length, key, value
    record    the same, each value compressed by itself
    block     a sync point, then some megabyte of records: lengths of keys, keys, lengths of values, values, each compressed

What is promised:

* A split owns what lies between the first sync point at or behind its start and the first one at or behind its end, as
  in Hadoop; the header stands for a sync point. So the splits of a file, read in order, give every record once.
* A damaged file raises InputError with the file and the offset. No length is believed before it is held against what is
  left of the file; a compressed block may not become larger than its lengths say.
* Reading is lazy: the first record costs one run of about ``RUN_BYTES``, or one compressed block.

Left out: versions before 6, codecs other than those of ``CODECS``, classes other than those of ``writables``, and the
``.crc`` files that Hadoop puts beside.
"""

from __future__ import annotations

import bz2
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BufferedReader, FileIO
from itertools import accumulate, chain, pairwise
from secrets import token_bytes
from struct import Struct
from typing import Any, Literal, NoReturn

from mpirdd.storage.combine import blame
from mpirdd.storage.text import BLOCK_BYTES, InputFile, TextSplit
from mpirdd.storage.writables import Writable, class_of, read_vint, vint, vint_size, writable
from mpirdd.words.errors import InputError, RecordError, UsageError

SYNC_BYTES = 100 << 10
"""A sync point is due after so many bytes; also the least size of a split. Hadoop's."""
COMPRESSED_BLOCK_BYTES = 1_000_000
"""Keys and values of a block before compression. Hadoop's."""
RUN_BYTES = 256 << 10
"""Keys and values decoded at a time."""

CODECS = {
    "org.apache.hadoop.io.compress.DefaultCodec": "zlib",
    "org.apache.hadoop.io.compress.DeflateCodec": "zlib",
    "org.apache.hadoop.io.compress.GzipCodec": "gzip",
    "org.apache.hadoop.io.compress.BZip2Codec": "bzip2",
}
"""Those that Python can do without further packages."""

_MAGIC, _VERSION = b"SEQ", 6
_ESCAPE = b"\xff\xff\xff\xff"
_SYNC_LENGTH = 16
_INT, _TWO_INTS = Struct(">i"), Struct(">ii")
_RUN_RECORDS = 1000
_SEARCH_BYTES = 1 << 20
_OUTPUT_BYTES = 64 << 10
_SPLIT_SLOP = 1.1
_METADATA = {"key": "mpirdd.key.class", "value": "mpirdd.value.class"}
"""Where files written here say what the elements of their arrays are; Java keeps such entries and does not mind."""

Layout = Literal["plain", "record", "block"]


@dataclass(frozen=True, slots=True)
class Format:
    """What a file holds, and how."""

    key: Writable
    value: Writable
    layout: Layout = "plain"
    codec: str | None = None
    """One of ``CODECS``; None for the plain layout."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the reader of a file asks for."""

    key_class: str | None = None
    """Used where the file does not say what its keys are: arrays."""
    value_class: str | None = None
    errors: str = "strict"
    """What to do about ``Text`` that is not UTF-8, as for ``bytes.decode``."""


# ---------------------------------------------------------------------------------------------------------
# Cut into splits


def plan_splits(files: Sequence[InputFile], min_partitions: int) -> list[TextSplit]:
    """The splits of ``files``, in order, of equal size but at least ``SYNC_BYTES``; empty files have none. As
    Hadoop's."""
    goal_bytes = sum(file.size for file in files) // max(min_partitions, 1)
    return cut_files(files, max(SYNC_BYTES, min(goal_bytes, BLOCK_BYTES)))


def cut_files(files: Sequence[InputFile], split_bytes: int) -> list[TextSplit]:
    """Each file in pieces of ``split_bytes``; the last one of a file may be a tenth larger."""
    splits = []
    for file in files:
        left = file.size
        while left / split_bytes > _SPLIT_SLOP:
            splits.append(TextSplit(file.path, file.size - left, split_bytes))
            left -= split_bytes
        if left:
            splits.append(TextSplit(file.path, file.size - left, left))
    return splits


# ---------------------------------------------------------------------------------------------------------
# Reading

Run = tuple[list[int], list[bytes], list[bytes]]
"""Offsets, keys and values of some records, encoded. In a compressed block all offsets are the block's."""


def read_records(split: TextSplit, wanted: Wanted = Wanted()) -> Iterator[tuple[Any, Any]]:
    """The pairs in the part of a file that belongs to ``split``.

    Raises: InputError: while reading. The file is no SequenceFile, is damaged or gone, or holds classes that
        are not known here.
    """
    return chain.from_iterable(_decoded_runs(split, wanted))


def _decoded_runs(split: TextSplit, wanted: Wanted) -> Iterator[Iterable[tuple[Any, Any]]]:
    try:
        with FileIO(split.path) as raw:
            file = _File(raw, split.path)
            header = file.read_header(wanted)
            for run in file.runs(header, split.start, split.start + split.length):
                yield zip(*_decode_run(file, header.format, run), strict=True)
    except OSError as error:
        host = os.uname().nodename
        raise InputError(
            f"cannot read {split.path} on {host}: {error.strerror or error}; "
            "it must be on a file system that every rank sees, and not change while a job reads it"
        ) from error


def _decode_run(file: _File, form: Format, run: Run) -> tuple[list[Any], list[Any]]:
    offsets, keys, values = run
    return _decode(file, form.key, offsets, keys, "key"), _decode(file, form.value, offsets, values, "value")


def _decode(file: _File, kind: Writable, offsets: list[int], data: list[bytes], what: str) -> list[Any]:
    try:
        return kind.decode_all(data)
    except (ValueError, TypeError, UsageError, RecursionError):
        for offset, one in zip(offsets, data, strict=True):  # which one was it?
            try:
                kind.decode_all([one])
            except UsageError as error:
                raise InputError(f"{file.path}, the {what} at offset {offset}: {error}") from error
            except (ValueError, TypeError, RecursionError) as error:
                file.fail(offset, f"a {what} that is no {kind.java_class} ({error})", error)
        raise


@dataclass(frozen=True, slots=True)
class _Header:
    format: Format
    sync: bytes
    end: int
    """Offset of the first record."""


class _File:
    """An open file, and how far its reading has come. Every read is checked against the file's end."""

    def __init__(self, raw: FileIO, path: str) -> None:
        self.path = path
        self._size = os.fstat(raw.fileno()).st_size
        self._file = BufferedReader(raw, RUN_BYTES)
        self._position = 0

    def fail(self, offset: int, what: str, cause: BaseException | None = None) -> NoReturn:
        raise InputError(f"{self.path} is damaged or cut short: at offset {offset} there is {what}") from cause

    # --- the header ---------------------------------------------------------------------------------------------------

    def read_header(self, wanted: Wanted) -> _Header:
        start = self._take(4) if self._size >= 4 else b""
        if start[:3] != _MAGIC:
            raise InputError(f"{self.path} is not a SequenceFile: it does not begin with 'SEQ'")
        if start[3] != _VERSION:
            raise InputError(f"{self.path} is a SequenceFile of version {start[3]}; only version {_VERSION} can be read")
        classes = {"key": self._string(), "value": self._string()}
        compressed, block = self._flag(), self._flag()
        codec = self._string() if compressed else None
        metadata = self._metadata()
        if codec is not None and codec not in CODECS:
            known = ", ".join(name.rpartition(".")[2] for name in CODECS)
            raise InputError(f"{self.path} is compressed with {codec}; only {known} can be read")
        if block and not compressed:
            self.fail(self._position, "a header that says both 'blocks' and 'not compressed'")
        key, value = (
            self._class(what, classes[what], metadata.get(_METADATA[what]), asked, wanted.errors)
            for what, asked in (("key", wanted.key_class), ("value", wanted.value_class))
        )
        layout: Layout = "block" if block else "record" if compressed else "plain"
        return _Header(Format(key, value, layout, codec), self._take(_SYNC_LENGTH), self._position)

    def _class(self, what: str, named: str, noted: str | None, asked: str | None, errors: str) -> Writable:
        """What decodes the class that the file names. For arrays, and classes not known here, what the reader
        asks for."""
        try:
            if noted is not None and noted.partition("<")[0] == named:
                return writable(noted, errors)
            if asked is not None and "<" in asked and named.endswith("ArrayWritable"):
                return writable(asked, errors)
            return writable(named, errors)
        except (UsageError, RecursionError) as error:
            is_array = named.endswith("ArrayWritable")
            advice = f"; {what}Class='ArrayWritable<IntWritable>', say, reads such an array" if is_array else ""
            raise InputError(f"{self.path}, its {what}s: {error}{advice}") from error

    def _metadata(self) -> dict[str, str]:
        at = self._position
        count = self._int()
        if not 0 <= count <= (self._size - self._position) // 2:
            self.fail(at, f"a header with {count} entries")
        return {self._string(): self._string() for _ in range(count)}

    def _string(self) -> str:
        at = self._position
        try:
            return str(self._take(self._vint()), "utf-8")
        except UnicodeDecodeError as error:
            self.fail(at, "a name that is not UTF-8", error)

    def _flag(self) -> bool:
        at, flag = self._position, self._take(1)
        if flag not in (b"\0", b"\1"):
            self.fail(at, f"a flag of value {flag[0]}")
        return flag == b"\1"

    # --- records ------------------------------------------------------------------------------------------------------

    def runs(self, header: _Header, start: int, end: int) -> Iterator[Run]:
        """The records of the split from ``start`` to ``end``."""
        if start > header.end:
            self._seek(self._sync_point(header.sync, start, end))
        if self._position < end:
            read = self._block_runs if header.format.layout == "block" else self._record_runs
            yield from read(header, end)

    def _sync_point(self, sync: bytes, start: int, end: int) -> int:
        """Offset of the first sync point from ``start`` to ``end``; the file's end if there is none."""
        mark = _ESCAPE + sync
        self._file.seek(start)
        position, window = start, b""
        while position < min(end + len(mark), self._size):
            window = window[1 - len(mark) :] + self._file.read(min(_SEARCH_BYTES, self._size - position))
            position = self._file.tell()
            found = window.find(mark)
            if found >= 0:
                return position - len(window) + found
        return self._size

    def _record_runs(self, header: _Header, end: int) -> Iterator[Run]:
        offsets: list[int] = []
        keys: list[bytes] = []
        values: list[bytes] = []
        unpack = _decompressor(header.format.codec) if header.format.codec else None
        run_end = self._position + RUN_BYTES
        while self._position < self._size:
            at = self._position
            length = self._int()
            if length == -1:
                if at >= end:
                    break
                self._check_sync(at, header.sync)
                continue
            key_length = self._int()
            if not 0 <= key_length <= length:
                self.fail(at, f"a record of {length} bytes with a key of {key_length} bytes")
            data = self._take(length)
            offsets.append(at)
            keys.append(data[:key_length])
            values.append(self._unpacked(unpack, at, data[key_length:], None) if unpack else data[key_length:])
            if self._position >= run_end or len(offsets) == _RUN_RECORDS:
                yield offsets, keys, values
                offsets, keys, values = [], [], []
                run_end = self._position + RUN_BYTES
        if offsets:
            yield offsets, keys, values

    def _block_runs(self, header: _Header, end: int) -> Iterator[Run]:
        assert header.format.codec is not None
        unpack = _decompressor(header.format.codec)
        while self._position < self._size:
            at = self._position
            if at >= end:
                break
            if self._int() != -1:
                self.fail(at, "no sync point where a block should begin")
            self._check_sync(at, header.sync)
            if self._position == self._size:
                break
            count = self._vint()
            if count < 0:
                self.fail(at, f"a block of {count} records")
            keys = self._block_items(unpack, count)
            values = self._block_items(unpack, count)
            yield [at] * count, keys, values

    def _block_items(self, unpack: _Unpack, count: int) -> list[bytes]:
        """The keys, or the values, of a block."""
        at = self._position
        packed = self._unpacked(unpack, at, self._take(self._vint()), _LONGEST_VINT * count)
        lengths, position = [], 0
        try:
            for _ in range(count):
                length, position = read_vint(packed, position)
                if length < 0:
                    raise ValueError(f"a length of {length}")
                lengths.append(length)
        except ValueError as error:
            self.fail(at, f"a block's list of {count} lengths that breaks off ({error})", error)
        borders = list(accumulate(lengths, initial=0))
        at = self._position
        data = self._unpacked(unpack, at, self._take(self._vint()), borders[-1])
        if len(data) != borders[-1] or position != len(packed):
            self.fail(at, f"a block of {len(data)} bytes whose lengths say {borders[-1]}")
        return [data[start:end] for start, end in pairwise(borders)]

    def _unpacked(self, unpack: _Unpack, at: int, data: bytes, limit: int | None) -> bytes:
        try:
            return unpack(data, None if limit is None else min(limit, _MOST_BYTES))
        except (zlib.error, OSError, EOFError, ValueError) as error:
            self.fail(at, f"compressed data that does not decompress ({error})", error)

    def _check_sync(self, at: int, sync: bytes) -> None:
        if self._take(_SYNC_LENGTH) != sync:
            self.fail(at, "a sync point with other bytes than the header's")

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _seek(self, offset: int) -> None:
        self._file.seek(offset)
        self._position = offset

    def _take(self, length: int) -> bytes:
        if not 0 <= length <= self._size - self._position:
            self.fail(self._position, f"a length of {length} bytes, with {self._size - self._position} left in the file")
        data = self._file.read(length)
        if len(data) < length:
            self.fail(self._position, "the end: it has become shorter while it was read")
        self._position += length
        return data

    def _int(self) -> int:
        return int.from_bytes(self._take(4), "big", signed=True)

    def _vint(self) -> int:
        first = self._take(1)
        return read_vint(first + self._take(vint_size(first[0]) - 1), 0)[0]


# ---------------------------------------------------------------------------------------------------------
# Writing


def format_of(key_class: str, value_class: str, codec: str | None = None) -> Format:
    """The format for pairs of these classes; in compressed blocks if there is a codec.

    Raises:
        UsageError: a class or the codec is not known.
    """
    if codec is not None and codec not in CODECS:
        raise UsageError(f"cannot compress with {codec}; known are {', '.join(CODECS)}")
    return Format(writable(key_class), writable(value_class), "block" if codec else "plain", codec)


def class_for(what: str, example: Any) -> str:
    """The class to write for a key or value (``what``) like ``example``.

    Raises:
        RecordError: there is none.
    """
    try:
        return class_of(example)
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError(_refusal(what, example, error)) from error


def write_records(records: Iterable[tuple[Any, Any]], form: Format) -> Iterator[bytes]:
    """A whole file with these pairs, a good piece at a time.

    Raises:
        RecordError: a record is not a pair, or not of the format's classes.
    """
    sync = token_bytes(_SYNC_LENGTH)
    header = _header_bytes(form, sync)
    if form.layout == "block":
        body = _blocks(_encoded(records, form), form, _ESCAPE + sync)
    else:
        body = _records(_encoded(records, form), form, _ESCAPE + sync, len(header))
    return chain([header], body)


def _header_bytes(form: Format, sync: bytes) -> bytes:
    noted = [(what, kind.name) for what, kind in (("key", form.key), ("value", form.value)) if "<" in kind.name]
    return b"".join([
        _MAGIC, bytes([_VERSION]), _string(form.key.java_class), _string(form.value.java_class),
        bytes([form.layout != "plain", form.layout == "block"]), _string(form.codec) if form.codec else b"",
        _INT.pack(len(noted)), *(_string(_METADATA[what]) + _string(name) for what, name in noted), sync,
    ])


def _string(text: str) -> bytes:
    data = text.encode()
    return vint(len(data)) + data


def _encoded(records: Iterable[Any], form: Format) -> Iterator[tuple[bytes, bytes]]:
    encode_key, encode_value = form.key.encode, form.value.encode
    for record in records:
        try:
            key, value = record
        except (TypeError, ValueError) as error:
            blame(record, "saveAsSequenceFile", error)
            raise
        try:
            pair = encode_key(key), encode_value(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise RecordError(_culprit(form, key, value)) from error
        yield pair


def _culprit(form: Format, key: Any, value: Any) -> str:
    for what, kind, one in (("key", form.key, key), ("value", form.value, value)):
        try:
            kind.encode(one)
        except (TypeError, ValueError, RecursionError) as error:
            return _refusal(what, one, error, kind)
    raise AssertionError


def _refusal(what: str, value: Any, error: Exception, kind: Writable | None = None) -> str:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    message = f"saveAsSequenceFile cannot write the {what} {shown} ({type(value).__name__})"
    if kind is None:
        return f"{message}: {error}"
    return (
        f"{message} as {kind.name}, the class of the first record's {what}: {error}. "
        f"Make all {what}s of one type, or name their class with {what}Class='...'"
    )


def _records(pairs: Iterable[tuple[bytes, bytes]], form: Format, mark: bytes, position: int) -> Iterator[bytes]:
    pack = _compressor(form.codec) if form.codec else None
    parts: list[bytes] = []
    waiting = last_sync = 0
    for key, value in pairs:
        if pack:
            value = pack(value)
        if position + waiting >= last_sync + SYNC_BYTES:
            parts.append(mark)
            waiting += len(mark)
            last_sync = position + waiting
        parts += _TWO_INTS.pack(len(key) + len(value), len(key)), key, value
        waiting += 8 + len(key) + len(value)
        if waiting >= _OUTPUT_BYTES:
            yield b"".join(parts)
            parts = []
            position += waiting
            waiting = 0
    yield b"".join(parts)


def _blocks(pairs: Iterable[tuple[bytes, bytes]], form: Format, mark: bytes) -> Iterator[bytes]:
    assert form.codec is not None
    pack = _compressor(form.codec)
    keys: list[bytes] = []
    values: list[bytes] = []
    size = 0
    for key, value in pairs:
        keys.append(key)
        values.append(value)
        size += len(key) + len(value)
        if size >= COMPRESSED_BLOCK_BYTES:
            yield _block(pack, keys, values, mark)
            keys, values, size = [], [], 0
    if keys:
        yield _block(pack, keys, values, mark)


def _block(pack: Callable[[bytes], bytes], keys: list[bytes], values: list[bytes], mark: bytes) -> bytes:
    parts = [mark, vint(len(keys))]
    for items in (keys, values):
        for data in (b"".join(map(vint, map(len, items))), b"".join(items)):
            packed = pack(data)
            parts += vint(len(packed)), packed
    return b"".join(parts)


# ---------------------------------------------------------------------------------------------------------
# Codecs

_Unpack = Callable[[bytes, int | None], bytes]
_LONGEST_VINT = 9
_MOST_BYTES = 1 << 62
_WINDOW_BITS = {"zlib": 15, "gzip": 31}


def _compressor(codec: str) -> Callable[[bytes], bytes]:
    kind = CODECS[codec]
    if kind == "bzip2":
        return bz2.compress
    return partial(_deflate, _WINDOW_BITS[kind])


def _deflate(window_bits: int, data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=window_bits)
    return stream.compress(data) + stream.flush()


def _decompressor(codec: str) -> _Unpack:
    """``unpack(data, at most so many bytes)``; gives one byte more when there are more."""
    kind = CODECS[codec]
    return _unpack_bzip2 if kind == "bzip2" else partial(_inflate, _WINDOW_BITS[kind])


def _inflate(window_bits: int, data: bytes, limit: int | None) -> bytes:
    stream = zlib.decompressobj(window_bits)
    unpacked = stream.decompress(data, 0 if limit is None else limit + 1)
    _check_end(stream.eof, unpacked, limit)
    return unpacked


def _unpack_bzip2(data: bytes, limit: int | None) -> bytes:
    stream = bz2.BZ2Decompressor()
    unpacked = stream.decompress(data, -1 if limit is None else limit + 1)
    _check_end(stream.eof, unpacked, limit)
    return unpacked


def _check_end(complete: bool, unpacked: bytes, limit: int | None) -> None:
    if limit is not None and len(unpacked) > limit:
        raise ValueError(f"it holds more than the {limit} bytes that it should")
    if not complete:
        raise ValueError("it ends too early")

"""The records of a split of a SequenceFile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import accumulate, chain, pairwise
from operator import add
from typing import Any, NamedTuple, NoReturn

from mpirdd.formats.compression import Codec, Damaged, Unpacked, unpack
from mpirdd.formats.counted import Run, counted
from mpirdd.formats.inputfiles import InputFile, opened
from mpirdd.formats.sequencefile.checkedfile import CheckedFile
from mpirdd.formats.sequencefile.header import (
    ESCAPE,
    MOST_RECORD_BYTES,
    SYNC_BYTES,
    SYNC_LENGTH,
    Header,
    ReadOptions,
    SequenceFormat,
    read_header,
)
from mpirdd.formats.splits import FileSplit, cut_files, equal_share
from mpirdd.formats.writables import Writable, read_vint, vint_size
from mpirdd.protocol.errors import InputError, UsageError

RUN_BYTES = 256 << 10
"""Keys and values decoded at a time."""

_RUN_RECORDS = 1000
_LONGEST_VINT = 9
_AS_THE_FILE_SAYS = ReadOptions()


def plan_splits(files: Sequence[InputFile], min_partitions: int) -> list[FileSplit]:
    """The splits of ``files``, in order, of equal size but at least ``SYNC_BYTES``; empty files have none. As
    Hadoop's."""
    return cut_files(files, equal_share(files, min_partitions), least=SYNC_BYTES)


class EncodedRecords(NamedTuple):
    """Some records, as they were read."""

    offsets: list[int]
    """In a compressed block all are the block's."""
    keys: list[bytes]
    values: list[bytes]


def read_records(split: FileSplit, options: ReadOptions = _AS_THE_FILE_SAYS) -> Iterator[tuple[Any, Any]]:
    """The pairs in the part of a file that belongs to ``split``.

    Raises:
        InputError: while reading. The file is no SequenceFile, is damaged or gone, or holds unknown
            classes.
    """
    return chain.from_iterable(counted(decoded_runs(split, options)))


def decoded_runs(split: FileSplit, options: ReadOptions = _AS_THE_FILE_SAYS) -> Iterator[Run]:
    """Those, some at a time, and not counted among what the task reads."""
    with opened(split, split.start, split.end) as raw:
        file = CheckedFile(raw, split.path)
        header = read_header(file, options)
        for run in _runs(file, header, split):
            yield Run(len(run.offsets), zip(*_decode_run(file, header.format, run), strict=True))


def _decode_run(file: CheckedFile, form: SequenceFormat, run: EncodedRecords) -> tuple[list[Any], list[Any]]:
    return _decode(file, form.key, run.offsets, run.keys, "key"), _decode(file, form.value, run.offsets, run.values, "value")


def _decode(file: CheckedFile, kind: Writable, offsets: list[int], data: list[bytes], what: str) -> list[Any]:
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


# --- the layouts --------------------------------------------------------------------------------------------------


def _runs(file: CheckedFile, header: Header, split: FileSplit) -> Iterator[EncodedRecords]:
    """The records of a split, some at a time."""
    if split.start > header.end:
        file.seek(file.find(ESCAPE + header.sync, split.start, split.end))
    if file.position < split.end:
        read = _block_runs if header.format.layout == "block" else _record_runs
        yield from read(file, header, split.end)


def _record_runs(file: CheckedFile, header: Header, end: int) -> Iterator[EncodedRecords]:
    offsets: list[int] = []
    keys: list[bytes] = []
    values: list[bytes] = []
    run_bytes = 0
    codec = header.format.codec
    while file.position < file.size:
        at = file.position
        length = file.integer()
        if length == -1:
            if at >= end:
                break
            _check_sync(file, at, header.sync)
            continue
        key_length = file.integer()
        if not 0 <= key_length <= length:
            file.fail(at, f"a record of {length} bytes with a key of {key_length} bytes")
        data = file.take(length)
        value = data[key_length:]
        if codec:
            value = _unpacked(file, codec, at, value)
        offsets.append(at)
        keys.append(data[:key_length])
        values.append(value)
        run_bytes += key_length + len(value)
        if run_bytes >= RUN_BYTES or len(offsets) == _RUN_RECORDS:
            yield EncodedRecords(offsets, keys, values)
            offsets, keys, values, run_bytes = [], [], [], 0
    if offsets:
        yield EncodedRecords(offsets, keys, values)


def _unpacked(file: CheckedFile, codec: Codec, at: int, data: bytes) -> bytes:
    try:
        return unpack(codec, data, MOST_RECORD_BYTES)
    except Damaged as error:
        file.fail(at, _no_data(error), error)


def _no_data(error: Damaged) -> str:
    return f"compressed data that does not decompress ({error})"


def _check_sync(file: CheckedFile, at: int, sync: bytes) -> None:
    if file.take(SYNC_LENGTH) != sync:
        file.fail(at, "a sync point with other bytes than the header's")


def _block_runs(file: CheckedFile, header: Header, end: int) -> Iterator[EncodedRecords]:
    codec = header.format.codec
    assert codec is not None
    while file.position < file.size:
        at = file.position
        if at >= end:
            break
        if file.integer() != -1:
            file.fail(at, "no sync point where a block should begin")
        _check_sync(file, at, header.sync)
        if file.position == file.size:
            break
        count = file.vint()
        if count < 0:
            file.fail(at, f"a block of {count} records")
        yield from _runs_of_block(at, count, _BlockColumn(file, codec), _BlockColumn(file, codec))


def _runs_of_block(
    at: int, count: int, keys: _BlockColumn, values: _BlockColumn
) -> Iterator[EncodedRecords]:
    """The records of one block, unpacked a run at a time: a block of a megabyte may hold gigabytes."""
    left = count
    while left:
        some = min(left, _RUN_RECORDS)
        left -= some
        key_lengths, value_lengths = keys.next_lengths(some), values.next_lengths(some)
        for start, end in _runs_within(list(map(add, key_lengths, value_lengths))):
            run = EncodedRecords(
                [at] * (end - start), keys.next_items(key_lengths[start:end]), values.next_items(value_lengths[start:end])
            )
            if not left and end == some:  # before its last run is given: so a block of one run is whole, or an error
                keys.check_end()
                values.check_end()
            yield run


def _runs_within(sizes: list[int]) -> Iterator[tuple[int, int]]:
    """(start, end) of runs of records of these sizes, each of ``RUN_BYTES`` or of one record more."""
    start, waiting = 0, 0
    for place, size in enumerate(sizes):
        waiting += size
        if waiting >= RUN_BYTES:
            yield start, place + 1
            start, waiting = place + 1, 0
    if start < len(sizes):
        yield start, len(sizes)


class _BlockColumn:
    """The keys, or the values, of a block: their lengths, and then they themselves, each compressed."""

    def __init__(self, file: CheckedFile, codec: Codec) -> None:
        self._lengths = _BlockBytes(file, codec)
        self._items = _BlockBytes(file, codec)

    def next_lengths(self, count: int) -> list[int]:
        lengths = self._lengths.vints(count)
        if not 0 <= min(lengths) <= max(lengths) <= MOST_RECORD_BYTES:
            self._lengths.fail(f"a block with lengths from {min(lengths)} to {max(lengths)}")
        return lengths

    def next_items(self, lengths: list[int]) -> list[bytes]:
        borders = list(accumulate(lengths, initial=0))
        data = self._items.take(borders[-1])
        return [data[start:end] for start, end in pairwise(borders)]

    def check_end(self) -> None:
        self._lengths.check_end()
        self._items.check_end()


class _BlockBytes:
    """A compressed part of a block, unpacked as it is asked for."""

    def __init__(self, file: CheckedFile, codec: Codec) -> None:
        self._file, self._at = file, file.position
        self._stream = Unpacked(BytesIO(file.take(file.vint())), codec, padding=False)
        self._waiting, self._start = self._read(), 0
        """Unpacked bytes, and how many of them are taken."""
        self._taken = 0

    def fail(self, what: str, cause: BaseException | None = None) -> NoReturn:
        self._file.fail(self._at, what, cause)

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        parts: list[bytes] = []
        missing = size
        while missing:
            if self._start == len(self._waiting):
                self._waiting, self._start = self._read(), 0
                if not self._waiting:
                    self.fail(f"a block of {self._taken + size - missing} bytes whose lengths say more")
            part = self._waiting[self._start : self._start + missing]
            self._start += len(part)
            missing -= len(part)
            parts.append(part)
        self._taken += size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def vints(self, count: int) -> list[int]:
        """The next ``count`` integers."""
        numbers: list[int] = []
        while len(numbers) < count:
            safe = len(self._waiting) - _LONGEST_VINT  # up to here one lies within what is unpacked
            data, at = self._waiting, self._start
            while at < safe and len(numbers) < count:
                number, at = read_vint(data, at)
                numbers.append(number)
            self._taken += at - self._start
            self._start = at
            if len(numbers) < count:
                first = self.take(1)
                numbers.append(read_vint(first + self.take(vint_size(first[0]) - 1), 0)[0])
        return numbers

    def check_end(self) -> None:
        """Nothing may be left."""
        if self._start < len(self._waiting) or self._read():
            self.fail(_no_data(Damaged(f"it holds more than the {self._taken} bytes that it should")))

    def _read(self) -> bytes:
        try:
            return self._stream.read(RUN_BYTES)
        except Damaged as error:
            self.fail(_no_data(error), error)

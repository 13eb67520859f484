"""Pickle files, as PySpark writes them: batches of records, pickled, within Java's serialization, within a
SequenceFile.

A record of the SequenceFile is (null, bytes). The bytes are a Java stream that holds one ``byte[][]`` of ten
byte arrays, and each of these is the pickle of a list of records. Of Java's serialization just that is written
and read.

Records are pickled with cloudpickle, as in PySpark: what the program's own file defines goes along by value.
Unpickling can run code, so read only files that you trust.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice
from struct import Struct
from typing import Any

import cloudpickle

from mpirdd.storage.sequencefile import Format, read_records, write_records
from mpirdd.storage.text import TextSplit
from mpirdd.storage.writables import writable
from mpirdd.words.errors import InputError, RecordError

UNLIMITED, AUTOMATIC = -1, 0
"""Batch sizes with a meaning: all records of a partition in one batch; as many as give a good size."""

_FORMAT = Format(writable("NullWritable"), writable("BytesWritable"))
_PROTOCOL = 5
_BATCHES = 10
"""Batches in a record of the SequenceFile."""
_BEST_BYTES = 64 << 10
"""PySpark's: an automatic batch grows while it is smaller, and shrinks when it is ten times larger."""

_INT = Struct(">i")
_ARRAY, _REFERENCE = b"\x75", b"\x71\x00\x7e\x00\x02"


def _class(name: bytes, serial_version: str) -> bytes:
    """A class in Java's serialization: tag, name, version; serializable, without fields, annotation or parent."""
    return b"\x72" + len(name).to_bytes(2, "big") + name + bytes.fromhex(serial_version) + b"\x02\x00\x00\x78\x70"


_ARRAYS = _ARRAY + _class(b"[[B", "4bfd19156767db37")
_BYTES = _class(b"[B", "acf317f8060854e0")
_HEADER = b"\xac\xed\x00\x05"
_OBJECTS = _ARRAY + _class(b"[Ljava.lang.Object;", "90ce589f1073296c")
"""What ``byte[][]`` becomes where Java did not know the type of the elements."""


def write_pickles(records: Iterable[Any], batch_size: int) -> Iterator[bytes]:
    """A whole file, a good piece at a time.

    Raises:
        RecordError: something cannot be pickled.
    """
    batches = _automatic(iter(records)) if batch_size == AUTOMATIC else _batches(iter(records), batch_size)
    groups = iter(lambda: list(islice(batches, _BATCHES)), [])
    return write_records(((None, _to_java(group)) for group in groups), _FORMAT)


def read_pickles(split: TextSplit) -> Iterator[Any]:
    """The records in the part of a file that belongs to ``split``.

    Raises: InputError: while reading. The file is no pickle file, is damaged or gone, or refers to what cannot
        be imported here.
    """
    groups = map(partial(_unpickled_group, split.path), read_records(split))
    return chain.from_iterable(chain.from_iterable(groups))


def _batches(records: Iterator[Any], size: int) -> Iterator[bytes]:
    if size == UNLIMITED:
        yield _pickled(list(records))
        return
    while batch := list(islice(records, size)):
        yield _pickled(batch)


def _automatic(records: Iterator[Any]) -> Iterator[bytes]:
    size = 1
    while batch := list(islice(records, size)):
        data = _pickled(batch)
        yield data
        if len(data) < _BEST_BYTES:
            size *= 2
        elif len(data) > 10 * _BEST_BYTES:
            size = max(1, size // 2)


def _pickled(batch: list[Any]) -> bytes:
    try:
        return bytes(cloudpickle.dumps(batch, _PROTOCOL))
    except Exception as error:
        raise RecordError(f"saveAsPickleFile: a record cannot be pickled: {type(error).__name__}: {error}") from error


def _unpickled_group(path: str, pair: tuple[Any, Any]) -> Iterator[Iterable[Any]]:
    try:
        if not isinstance(pair[1], bytearray):
            raise ValueError(f"it holds {type(pair[1]).__name__}, not bytes")
        return map(partial(_unpickled, path), _from_java(pair[1]))
    except ValueError as error:
        raise InputError(f"{path} is a SequenceFile, but not one of pickled records: {error}") from error


def _unpickled(path: str, data: bytes) -> Iterable[Any]:
    try:
        batch = pickle.loads(data)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{path} holds a pickle that cannot be loaded here: {reason}. Can its classes be imported on every rank?"
        ) from error
    if not hasattr(batch, "__iter__"):
        raise InputError(f"{path} holds a pickle of {type(batch).__name__}, where a batch of records is due")
    return batch  # type: ignore[no-any-return]


def _to_java(pickles: list[bytes]) -> bytes:
    parts = [_HEADER, _ARRAYS, _INT.pack(len(pickles))]
    for place, data in enumerate(pickles):
        parts += _ARRAY, _REFERENCE if place else _BYTES, _INT.pack(len(data)), data
    return b"".join(parts)


def _from_java(stream: bytearray) -> list[bytes]:
    """The byte arrays; ValueError where the stream is anything else."""
    data = memoryview(stream)
    start = _skip(data, 0, _HEADER)
    start = _skip(data, start, _ARRAYS, _OBJECTS)
    count, start = _read_int(data, start)
    if count < 0:
        raise ValueError(f"an array of {count} byte arrays")
    arrays = []
    for place in range(count):
        start = _skip(data, start, _ARRAY + (_REFERENCE if place else _BYTES))
        length, start = _read_int(data, start)
        if not 0 <= length <= len(data) - start:
            raise ValueError(f"a byte array of {length} bytes, with {len(data) - start} left")
        arrays.append(bytes(data[start : start + length]))
        start += length
    if start != len(data):
        raise ValueError(f"{len(data) - start} bytes behind its byte arrays")
    return arrays


def _skip(data: memoryview, start: int, *expected: bytes) -> int:
    for each in expected:
        if data[start : start + len(each)] == each:
            return start + len(each)
    raise ValueError(f"no serialized Java byte[][] (at byte {start} of a value)")


def _read_int(data: memoryview, start: int) -> tuple[int, int]:
    if len(data) - start < 4:
        raise ValueError("it ends where a length is due")
    return _INT.unpack_from(data, start)[0], start + 4

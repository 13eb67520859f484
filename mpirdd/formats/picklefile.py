"""Pickle files in PySpark's format: batches of records, pickled, within Java's serialization,
within a SequenceFile.

A record of the SequenceFile is (null, bytes). The bytes are a Java stream that holds one
``byte[][]`` of ten byte arrays, and each of these is the pickle of a list of records. This module
reads and writes only that part of Java's serialization. cloudpickle pickles the records, as in
PySpark: classes of the program's own file go along by value. Unpickling can run code, so read only
files that you trust.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice
from struct import Struct
from sys import getsizeof
from typing import Any

import cloudpickle

from mpirdd.formats.counted import Run, SizedRun, counted
from mpirdd.formats.sequencefile import SequenceFormat, decoded_runs, write_records
from mpirdd.formats.splits import FileSplit
from mpirdd.formats.writables import writable
from mpirdd.protocol.errors import InputError, RecordError
from mpirdd.store.costs import counting
from mpirdd.store.measure import size_of

UNLIMITED, AUTOMATIC = -1, 0
"""Batch sizes with a meaning: all records of a partition in one batch; as many as give a good size."""

_FORMAT = SequenceFormat(writable("NullWritable"), writable("BytesWritable"))
_PROTOCOL = 5
_BATCHES = 10
"""Batches in a record of the SequenceFile; fewer where they are large."""
_BEST_BYTES = 64 << 10
"""PySpark's: an automatic batch grows while it is smaller, and shrinks when it is ten times larger."""
_FULL_BATCH_BYTES = 4 << 20
"""Records of about this size in all are a full batch, whatever their number: they are held, and pickled, at once."""
_FULL_GROUP_BYTES = 8 << 20
"""Pickled batches of this size in all are a full record of the SequenceFile; more than ten automatic ones have."""
_MOST_BATCH_BYTES = 2**31 - 1024
"""A pickled batch, in a Java array that lies in a SequenceFile's record."""
_LEAVES = frozenset({int, float, bool, complex, type(None), str, bytes, bytearray})
_FEW = 8
"""Items of a container that are all looked at; of more, some are."""

_INT = Struct(">i")
_ARRAY, _REFERENCE = b"\x75", b"\x71\x00\x7e\x00\x02"


def _class(name: bytes, serial_version: str) -> bytes:
    """A class in Java's serialization: tag, name, version; serializable, without fields, annotation or parent."""
    return b"\x72" + len(name).to_bytes(2, "big") + name + bytes.fromhex(serial_version) + b"\x02\x00\x00\x78\x70"


_ARRAYS = _ARRAY + _class(b"[[B", "4bfd19156767db37")
_BYTES = _class(b"[B", "acf317f8060854e0")
_HEADER = b"\xac\xed\x00\x05"
_OBJECTS = _ARRAY + _class(b"[Ljava.lang.Object;", "90ce589f1073296c")
"""The form of ``byte[][]`` where Java did not know the type of the elements."""


def write_pickles(records: Iterable[Any], batch_size: int) -> Iterator[bytes]:
    """A whole file, a good piece at a time.

    Raises:
        RecordError: something cannot be pickled, or a record takes 2 GiB or more.
    """
    records = iter(records)
    batches = _automatic(records) if batch_size == AUTOMATIC else _batches(records, batch_size)
    return write_records(((None, _to_java(group)) for group in _groups(batches)), _FORMAT, counted=False)


def read_pickles(split: FileSplit) -> Iterator[Any]:
    """The records in the part of a file that belongs to ``split``.

    Raises:
        InputError: while reading. The file is no pickle file, is damaged or gone, or refers to
            modules that do not import here.
    """
    groups = map(partial(_unpickled_group, split.path), chain.from_iterable(decoded_runs(split)))
    return chain.from_iterable(counted(chain.from_iterable(groups)))


def _groups(batches: Iterator[bytes]) -> Iterator[list[bytes]]:
    """The batches of one record of the SequenceFile after the other."""
    group: list[bytes] = []
    size = 0
    for batch in batches:
        if group and (len(group) == _BATCHES or size + len(batch) > _FULL_GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(batch)
        size += len(batch)
    if group:
        yield group


def _batches(records: Iterator[Any], size: int) -> Iterator[bytes]:
    if size == UNLIMITED:
        every = list(records)
        counting().note("records_out", len(every))
        yield from _pickles_of(every)
        return
    while batch := _taken(records, size):
        yield from _pickles_of(batch)


def _automatic(records: Iterator[Any]) -> Iterator[bytes]:
    size = 1
    while batch := _taken(records, size):
        for data in _pickles_of(batch):
            yield data
            if len(data) < _BEST_BYTES:
                size *= 2
            elif len(data) > 10 * _BEST_BYTES:
                size = max(1, size // 2)


def _taken(records: Iterator[Any], count: int) -> list[Any]:
    """The next ``count`` records, or fewer if they fill a batch; they are counted."""
    batch: list[Any] = []
    size = 0
    for record in records:
        batch.append(record)
        size += _size_of(record)
        if len(batch) == count or size >= _FULL_BATCH_BYTES:
            break
    counting().note("records_out", len(batch))
    return batch


def _size_of(value: Any, depth: int = 3) -> int:
    """About how many bytes of memory ``value`` holds.

    What is plain is looked at here, and of long containers three items: ``size_of`` looks at more, and takes longer than
    pickling does. 0.6 us for a pair, beside 0.5 to pickle it.
    """
    kind = type(value)
    if kind in _LEAVES:
        return getsizeof(value)
    if not depth:  # it may refer to itself
        return size_of(value)
    if kind is tuple or kind is list:
        count = len(value)
        if count > _FEW:
            return count * max([_size_of(item, depth - 1) for item in (value[0], value[count // 2], value[-1])])
        return sum([getsizeof(item) if type(item) in _LEAVES else _size_of(item, depth - 1) for item in value])
    if kind is dict:
        some = list(islice(value.values(), _FEW))
        return getsizeof(value) + _size_of(some, depth) * len(value) // max(len(some), 1)
    attributes = getattr(value, "__dict__", None)
    if type(attributes) is dict and not hasattr(kind, "__len__"):
        return _size_of(attributes, depth - 1)
    return size_of(value)


def _pickles_of(batch: list[Any]) -> Iterator[bytes]:
    """``batch``, pickled; in halves where it is too large for a record of the SequenceFile."""
    data = _pickled(batch)
    if len(data) <= _MOST_BATCH_BYTES:
        yield data
        return
    if len(batch) == 1:
        raise RecordError(
            f"saveAsPickleFile: a record takes {len(data):,} bytes, pickled, and a pickle file holds records of less "
            "than 2 GiB; make smaller records of it (flatMap)"
        )
    del data
    middle = len(batch) // 2
    yield from _pickles_of(batch[:middle])
    yield from _pickles_of(batch[middle:])


def _pickled(batch: list[Any]) -> bytes:
    try:
        return bytes(cloudpickle.dumps(batch, _PROTOCOL))
    except Exception as error:  # whatever the record's own __reduce__ raises
        raise RecordError(f"saveAsPickleFile: a record cannot be pickled: {type(error).__name__}: {error}") from error


def _unpickled_group(path: str, pair: tuple[Any, Any]) -> Iterator[SizedRun]:
    try:
        if not isinstance(pair[1], bytearray):
            raise ValueError(f"it holds {type(pair[1]).__name__}, not bytes")
        return map(partial(_unpickled, path), _from_java(pair[1]))
    except ValueError as error:
        raise InputError(f"{path} is a SequenceFile, but not one of pickled records: {error}") from error


def _unpickled(path: str, data: bytes) -> SizedRun:
    try:
        batch = pickle.loads(data)
    except Exception as error:  # whatever the record's own __setstate__ raises, or damage
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{path} holds a pickle that cannot be loaded here: {reason}. Can its classes be imported on every rank?"
        ) from error
    if not hasattr(batch, "__iter__"):
        raise InputError(f"{path} holds a pickle of {type(batch).__name__}, where a batch of records is due")
    return batch if hasattr(batch, "__len__") else Run(0, batch)  # of what PySpark's other serializers wrote


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

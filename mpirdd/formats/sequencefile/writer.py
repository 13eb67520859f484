"""The bytes of a SequenceFile with some pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from struct import Struct
from typing import Any, NoReturn

from mpirdd.formats.compression import Codec, pack
from mpirdd.formats.sequencefile.header import (
    ESCAPE,
    MOST_RECORD_BYTES,
    SYNC_BYTES,
    SYNC_LENGTH,
    SequenceFormat,
    header_bytes,
)
from mpirdd.formats.writables import Writable, class_of, vint
from mpirdd.protocol.errors import RecordError
from mpirdd.protocol.pairs import blame
from mpirdd.protocol.shown import shown
from mpirdd.store.costs import counting

COMPRESSED_BLOCK_BYTES = 1_000_000
"""Keys and values of a block before compression. Hadoop's."""

_TWO_INTS = Struct(">ii")
_OUTPUT_BYTES = 64 << 10


def class_for(what: str, example: Any) -> str:
    """The class to write for a key or value (``what``) like ``example``.

    Raises:
        RecordError: there is none.
    """
    try:
        return class_of(example)
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError(_refusal(what, example, error)) from error


def write_records(
    records: Iterable[tuple[Any, Any]], form: SequenceFormat, *, counted: bool = True
) -> Iterator[bytes]:
    """A whole file with these pairs, a good piece at a time. ``counted``: among the records that the task writes.

    Raises:
        RecordError: a record is not a pair, not of the format's classes, or of 2 GiB or more.
    """
    from secrets import token_bytes

    sync, pairs, codec = token_bytes(SYNC_LENGTH), _encoded(records, form, counted), form.codec
    header = header_bytes(form, sync)
    if form.layout == "block":
        assert codec is not None
        return chain([header], _blocks(pairs, codec, ESCAPE + sync))
    return chain([header], _records(pairs, codec, ESCAPE + sync, len(header)))


def _encoded(records: Iterable[Any], form: SequenceFormat, counted: bool) -> Iterator[tuple[bytes, bytes]]:
    encode_key, encode_value, count = form.key.encode, form.value.encode, 0
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
        count += 1
        yield pair
    if counted:
        counting().note("records_out", count)


def _culprit(form: SequenceFormat, key: Any, value: Any) -> str:
    for what, kind, one in (("key", form.key, key), ("value", form.value, value)):
        try:
            kind.encode(one)
        except (TypeError, ValueError, RecursionError) as error:
            return _refusal(what, one, error, kind)
    raise AssertionError


def _refusal(what: str, value: Any, error: Exception, kind: Writable | None = None) -> str:
    message = f"saveAsSequenceFile cannot write the {what} {shown(value)}"
    if kind is None:
        return f"{message}: {error}"
    return (
        f"{message} as {kind.name}, the class of the first record's {what}: {error}. "
        f"Make all {what}s of one type, or name their class with {what}Class='...'"
    )


def _records(
    pairs: Iterable[tuple[bytes, bytes]], codec: Codec | None, mark: bytes, position: int
) -> Iterator[bytes]:
    parts: list[bytes] = []
    waiting = last_sync = 0
    for key, value in pairs:
        if codec:
            value = pack(codec, value)
        if len(key) + len(value) > MOST_RECORD_BYTES:
            _refuse_size(len(key) + len(value))
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


def _refuse_size(size: int) -> NoReturn:
    raise RecordError(
        f"saveAsSequenceFile: a record of {size:,} bytes, and a SequenceFile takes less than 2 GiB; "
        "make smaller records (flatMap)"
    )


def _blocks(pairs: Iterable[tuple[bytes, bytes]], codec: Codec, mark: bytes) -> Iterator[bytes]:
    keys: list[bytes] = []
    values: list[bytes] = []
    size = 0
    for key, value in pairs:
        if len(key) + len(value) > MOST_RECORD_BYTES - COMPRESSED_BLOCK_BYTES:  # a block's lengths are Java's ints too
            _refuse_size(len(key) + len(value))
        keys.append(key)
        values.append(value)
        size += len(key) + len(value)
        if size >= COMPRESSED_BLOCK_BYTES:
            yield _block(codec, keys, values, mark)
            keys, values, size = [], [], 0
    if keys:
        yield _block(codec, keys, values, mark)


def _block(codec: Codec, keys: list[bytes], values: list[bytes], mark: bytes) -> bytes:
    parts = [mark, vint(len(keys))]
    for items in (keys, values):
        for data in (b"".join(map(vint, map(len, items))), b"".join(items)):
            packed = pack(codec, data)
            parts += vint(len(packed)), packed
    return b"".join(parts)

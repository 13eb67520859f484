"""The header of a SequenceFile: what the file holds, and how. Read and written side by side."""

from __future__ import annotations

from struct import Struct
from typing import Literal

from mpirdd.formats.compression import CODECS, HADOOP_PACKAGE, Codec, codec_named
from mpirdd.formats.sequencefile.checkedfile import CheckedFile
from mpirdd.formats.writables import Writable, vint, writable
from mpirdd.protocol.errors import InputError, UsageError
from mpirdd.protocol.values import dataclass

ESCAPE = b"\xff\xff\xff\xff"
SYNC_LENGTH = 16
SYNC_BYTES = 100 << 10
"""A sync point is due after so many bytes; also the least size of a split. Hadoop's."""
MOST_RECORD_BYTES = 2**31 - 1
"""Key and value of a record: Java counts them with its int."""

_MAGIC, _VERSION = b"SEQ", 6
_INT = Struct(">i")
_METADATA = {"key": "mpirdd.key.class", "value": "mpirdd.value.class"}
"""The metadata key for the class of array elements in files written here; Java keeps such entries
and ignores them."""

Layout = Literal["plain", "record", "block"]


@dataclass(frozen=True, slots=True)
class SequenceFormat:
    """The contents and layout of a file."""

    key: Writable
    value: Writable
    layout: Layout = "plain"
    codec_class: str | None = None
    """Hadoop's class of the codec, in full; None for the plain layout."""

    @property
    def codec(self) -> Codec | None:
        """What packs and unpacks."""
        return None if self.codec_class is None else codec_named(self.codec_class)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The reader's wishes for a file."""

    key_class: str | None = None
    """For arrays, whose element class the file does not name."""
    value_class: str | None = None
    errors: str = "strict"
    """How to treat ``Text`` that is not UTF-8, as for ``bytes.decode``."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header as it was read."""

    format: SequenceFormat
    sync: bytes
    end: int
    """Offset of the first record."""


CODEC_CLASSES = tuple(HADOOP_PACKAGE + name for codec in CODECS for name in codec.java_classes)
"""The codecs that a file may name."""


def format_of(key_class: str, value_class: str, codec_class: str | None = None) -> SequenceFormat:
    """The format for pairs of these classes; in compressed blocks if there is a codec.

    Raises:
        UsageError: a class or the codec is unknown.
    """
    if codec_class is not None and codec_class not in CODEC_CLASSES:
        raise UsageError(f"cannot compress with {codec_class}; known are {', '.join(CODEC_CLASSES)}")
    return SequenceFormat(writable(key_class), writable(value_class), "block" if codec_class else "plain", codec_class)


def codec_class(given: str) -> str:
    """Hadoop's class, in full, of a codec that is named in any way that ``codec_named`` knows.

    Raises:
        UsageError: there is no such codec, or Hadoop has none of the kind.
    """
    codec, short = codec_named(given), given.rpartition(".")[2]
    if not codec.java_classes:
        raise UsageError(f"Hadoop has no codec for {codec.name}, so a SequenceFile cannot be compressed with it")
    return HADOOP_PACKAGE + (short if short in codec.java_classes else codec.java_classes[0])


# --- write --------------------------------------------------------------------------------------------------------


def header_bytes(form: SequenceFormat, sync: bytes) -> bytes:
    """The header of a new file."""
    noted = [(what, kind.name) for what, kind in (("key", form.key), ("value", form.value)) if "<" in kind.name]
    return b"".join([
        _MAGIC, bytes([_VERSION]), _string(form.key.java_class), _string(form.value.java_class),
        bytes([form.layout != "plain", form.layout == "block"]), _string(form.codec_class) if form.codec_class else b"",
        _INT.pack(len(noted)), *(_string(_METADATA[what]) + _string(name) for what, name in noted), sync,
    ])


def _string(text: str) -> bytes:
    data = text.encode()
    return vint(len(data)) + data


# --- read ---------------------------------------------------------------------------------------------------------


def read_header(file: CheckedFile, options: ReadOptions) -> Header:
    """The header of a file that has just been opened.

    Raises:
        InputError: it is no SequenceFile, is damaged, or is of a version, class or codec that is not known here.
    """
    start = file.take(4) if file.size >= 4 else b""
    if start[:3] != _MAGIC:
        raise InputError(f"{file.path} is not a SequenceFile: it does not begin with 'SEQ'")
    if start[3] != _VERSION:
        raise InputError(f"{file.path} is a SequenceFile of version {start[3]}; only version {_VERSION} can be read")
    classes = {"key": file.string(), "value": file.string()}
    compressed, block = file.flag(), file.flag()
    codec = file.string() if compressed else None
    metadata = _read_metadata(file)
    if codec is not None and codec not in CODEC_CLASSES:
        known = ", ".join(name.rpartition(".")[2] for name in CODEC_CLASSES)
        raise InputError(f"{file.path} is compressed with {codec}; only {known} can be read")
    if block and not compressed:
        file.fail(file.position, "a header that says both 'blocks' and 'not compressed'")
    key, value = (
        _class_of(file, what, classes[what], metadata.get(_METADATA[what]), asked, options.errors)
        for what, asked in (("key", options.key_class), ("value", options.value_class))
    )
    layout: Layout = "block" if block else "record" if compressed else "plain"
    return Header(SequenceFormat(key, value, layout, codec), file.take(SYNC_LENGTH), file.position)


def _read_metadata(file: CheckedFile) -> dict[str, str]:
    at = file.position
    count = file.integer()
    if not 0 <= count <= (file.size - file.position) // 2:
        file.fail(at, f"a header with {count} entries")
    return {file.string(): file.string() for _ in range(count)}


def _class_of(
    file: CheckedFile, what: str, named: str, noted: str | None, asked: str | None, errors: str
) -> Writable:
    """The decoder of the class that the file names. For arrays and unknown classes, of the class
    that the reader asks for."""
    try:
        if noted is not None and noted.partition("<")[0] == named:
            return writable(noted, errors)
        if asked is not None and "<" in asked and named.endswith("ArrayWritable"):
            return writable(asked, errors)
        return writable(named, errors)
    except (UsageError, RecursionError) as error:
        is_array = named.endswith("ArrayWritable")
        advice = f"; {what}Class='ArrayWritable<IntWritable>', say, reads such an array" if is_array else ""
        raise InputError(f"{file.path}, its {what}s: {error}{advice}") from error

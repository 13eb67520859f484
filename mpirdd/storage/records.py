"""Input without structure: whole files, each a record, and files of records that all have the same length.

The driver plans, so that a missing file, or one of a wrong length, is reported before any task runs; a task reads its
files. Files are put together and cut as PySpark does it on a local file system, but in the order of their names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from struct import Struct
from typing import IO, cast

from mpirdd.storage.sequencefile import cut_files
from mpirdd.storage.text import BLOCK_BYTES, CHUNK_BYTES, InputFile, TextSplit
from mpirdd.words.errors import InputError

FileGroup = tuple[InputFile, ...]
"""The files of one partition."""

OPEN_COST_BYTES = 4 << 20
"""A binary file counts as so much larger than it is: opening one takes as long as reading this. Spark's."""
MOST_GROUP_BYTES = 128 << 20
"""Binary files are not put together beyond this. Spark's."""

_COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".deflate", ".lz4", ".snappy", ".zst")


# ---------------------------------------------------------------------------------------------------------
# Whole files


def group_text_files(files: Sequence[InputFile], min_partitions: int) -> list[FileGroup]:
    """The partitions of ``wholeTextFiles``: about ``min_partitions`` of about equal size."""
    return _grouped(files, ceil(sum(file.size for file in files) / max(min_partitions, 1)))


def group_binary_files(files: Sequence[InputFile], min_partitions: int, parallelism: int) -> list[FileGroup]:
    """The partitions of ``binaryFiles``: enough for all executors, unless the files are few and small."""
    total = sum(file.size + OPEN_COST_BYTES for file in files)
    return _grouped(files, min(MOST_GROUP_BYTES, max(OPEN_COST_BYTES, total // max(parallelism, min_partitions, 1))))


def _grouped(files: Sequence[InputFile], enough: int) -> list[FileGroup]:
    """One file after the other until there are ``enough`` bytes. What is left, and the empty files, go together.

    This is what Hadoop's ``CombineFileInputFormat`` makes of files that are all on one host. (An empty file has
    no host.)
    """
    groups: list[FileGroup] = []
    group: list[InputFile] = []
    size, taken = 0, 0
    for place, file in enumerate(files):
        if file.size and enough:
            group.append(file)
            size += file.size
            if size >= enough:
                groups.append(tuple(group))
                group, size, taken = [], 0, place + 1
    rest = tuple(file for place, file in enumerate(files) if place >= taken or not file.size)
    return [*groups, rest] if rest else groups


def read_texts(group: FileGroup, *, use_unicode: bool, errors: str) -> Iterator[tuple[str | bytes, str | bytes]]:
    """(address, text) of each file; compressed ones are unpacked. Both as UTF-8 bytes unless ``use_unicode``.

    Raises: InputError: while reading. A file is gone, cannot be read or decompressed, or is not UTF-8 and
        ``errors`` is strict.
    """
    for file in group:
        with _clear_errors(file.path), _unpacking(file.path) as opened:
            data = opened.read()
        if use_unicode:
            yield address(file.path), _text(file.path, data, errors)
        else:
            yield os.fsencode(address(file.path)), data


def read_binaries(group: FileGroup) -> Iterator[tuple[str, bytes]]:
    """(address, content) of each file, as it is.

    Raises:
        InputError: while reading. A file is gone or cannot be read.
    """
    for file in group:
        with _clear_errors(file.path), open(file.path, "rb") as opened:
            data = opened.read()
        yield address(file.path), data


def address(path: str) -> str:
    """How a file is named in a record: ``file:`` and its absolute path, with nothing quoted."""
    return "file:" + path


def _text(path: str, data: bytes, errors: str) -> str:
    try:
        return str(data, "utf-8", errors)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start} of its text ({error.reason}); "
            'errors="replace" reads it with a U+FFFD in place of such bytes, binaryFiles gives the bytes as they are'
        ) from None


def _unpacking(path: str) -> IO[bytes]:
    """Imports are late, for most jobs need none."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".gz":
        import gzip

        return cast(IO[bytes], gzip.open(path, "rb"))
    if suffix == ".bz2":
        import bz2

        return cast(IO[bytes], bz2.open(path, "rb"))
    if suffix == ".xz":
        import lzma

        return cast(IO[bytes], lzma.open(path, "rb"))
    return open(path, "rb")


@contextmanager
def _clear_errors(path: str) -> Iterator[None]:
    import lzma
    import zlib

    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{path} is damaged or cut short, it does not decompress: {error}") from error
    except OSError as error:
        host = os.uname().nodename
        raise InputError(
            f"cannot read {path} on {host}: {error.strerror or error}; it must be on a file system that every rank sees"
        ) from error


# ---------------------------------------------------------------------------------------------------------
# Records of one length


def plan_fixed(files: Sequence[InputFile], record_bytes: int) -> list[TextSplit]:
    """The splits of ``files``, each of whole records; empty files have none.

    Raises:
        InputError: a file's size is no multiple of ``record_bytes``, or it is compressed.
    """
    for file in files:
        if file.path.lower().endswith(_COMPRESSED_SUFFIXES):
            raise InputError(f"{file.path} is compressed, so its bytes are no records; unpack it first")
        if file.size % record_bytes:
            raise InputError(
                f"{file.path} has {file.size} bytes, which is no multiple of the record length {record_bytes}: "
                f"{file.size % record_bytes} bytes would be left over"
            )
    return cut_files(files, max(1, BLOCK_BYTES // record_bytes) * record_bytes)


def read_fixed(record_bytes: int, split: TextSplit) -> Iterator[bytes]:
    """The records of a split.

    Raises:
        InputError: while reading. The file is gone, cannot be read, or has become shorter.
    """
    records = Struct(f"{record_bytes}s").iter_unpack
    return (record for chunk in _chunks(record_bytes, split) for (record,) in records(chunk))


def _chunks(record_bytes: int, split: TextSplit) -> Iterator[bytes]:
    most = max(1, CHUNK_BYTES // record_bytes) * record_bytes
    left = split.length
    with _clear_errors(split.path), open(split.path, "rb") as file:
        file.seek(split.start)
        while left:
            wanted = min(most, left)
            chunk = file.read(wanted)
            if len(chunk) < wanted:
                raise InputError(f"{split.path} has become shorter; input files must not change while a job reads them")
            left -= wanted
            yield chunk

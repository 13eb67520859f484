"""Input without structure: whole files, each a record, and files of records that all have the same length.

The driver plans, so it reports a missing file, or one of a wrong length, before any task runs; a
task reads its files. The plan joins and cuts files as PySpark does on a local file system, but in
the order of their names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from math import ceil
from struct import Struct

from mpirdd.formats import compression, signatures
from mpirdd.formats.compression import Damaged, Unpacked, check_libraries, codec_by_suffix, codec_of, pieces
from mpirdd.formats.counted import Run, counted
from mpirdd.formats.filesystems import is_remote
from mpirdd.formats.inputfiles import InputFile, opened, shrunk
from mpirdd.formats.splits import CHUNK_BYTES, FileSplit, cut_file
from mpirdd.protocol.errors import InputError

FileGroup = tuple[InputFile, ...]
"""The files of one partition."""

OPEN_COST_BYTES = 4 << 20
"""Bytes added to each binary file's size: opening one takes as long as reading this. Spark's."""
MOST_GROUP_BYTES = 128 << 20
"""The most bytes of binary files in one partition. Spark's."""


# ---------------------------------------------------------------------------------------------------------
# Whole files


def group_text_files(files: Sequence[InputFile], min_partitions: int) -> list[FileGroup]:
    """The partitions of ``wholeTextFiles``: about ``min_partitions`` of about equal size.

    Raises:
        UsageError: a library that unpacks one of the files is not installed here.
    """
    check_libraries(file.path for file in files)
    return _grouped(files, ceil(sum(file.size for file in files) / max(min_partitions, 1)))


def group_binary_files(files: Sequence[InputFile], min_partitions: int, parallelism: int) -> list[FileGroup]:
    """The partitions of ``binaryFiles``: enough for all executors, unless the files are few and small."""
    total = sum(file.size + OPEN_COST_BYTES for file in files)
    return _grouped(files, min(MOST_GROUP_BYTES, max(OPEN_COST_BYTES, total // max(parallelism, min_partitions, 1))))


def _grouped(files: Sequence[InputFile], enough: int) -> list[FileGroup]:
    """One file after the other until there are ``enough`` bytes. The rest and the empty files go
    together. Hadoop's ``CombineFileInputFormat`` does the same with files on one host. (An empty
    file has no host.)
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


def read_texts(
    group: FileGroup, *, use_unicode: bool, errors: str, encoding: str = "utf-8"
) -> Iterator[tuple[str | bytes, str | bytes]]:
    """(address, text) of each file; compressed ones are unpacked. Both as bytes unless ``use_unicode``.

    Raises:
        InputError: while reading. A file is gone, cannot be read or decompressed, is known to be no text, or
            is not of that encoding and ``errors`` is strict.
    """
    def of(file: InputFile) -> list[tuple[str | bytes, str | bytes]]:
        if use_unicode:
            return [(address(file.path), read_text(file, errors=errors, encoding=encoding))]
        return [(os.fsencode(address(file.path)), _unpacked(file))]

    return chain.from_iterable(counted(map(of, group)))


def read_text(file: InputFile, *, errors: str, encoding: str = "utf-8") -> str:
    """The text of one file. Raises InputError, as ``read_texts``."""
    return _text(file.path, _unpacked(file), encoding, errors)


def _unpacked(source: InputFile) -> bytes:
    path = source.path
    with opened(source) as file:
        head = file.read(max(compression.HEAD_BYTES, signatures.HEAD_BYTES))
        codec = codec_of(path, head)
        if codec is None:
            data = head + file.readall()
            _check_is_text(path, head, data)
            return data
        file.seek(0)
        try:
            data = b"".join(pieces(Unpacked(file, codec), CHUNK_BYTES))
        except Damaged as error:
            raise InputError(f"{path} is damaged or cut short, it does not decompress: {error}") from error
        _check_is_text(path, data[: signatures.HEAD_BYTES], data)
        return data


def _check_is_text(path: str, head: bytes, data: bytes) -> None:
    other = signatures.other_format(head, lambda: data[-signatures.TAIL_BYTES :])
    if other is not None:
        raise InputError(f"{path} is no text but {other}")


def read_binaries(group: FileGroup) -> Iterator[tuple[str, bytes]]:
    """(address, content) of each file, as it is.

    Raises:
        InputError: while reading. A file is gone or cannot be read.
    """
    def of(file: InputFile) -> list[tuple[str, bytes]]:
        with opened(file) as content:
            return [(address(file.path), content.readall())]

    return chain.from_iterable(counted(map(of, group)))


def address(path: str) -> str:
    """A file's name in a record: ``file:`` and its absolute path, unquoted; or its URL."""
    return path if is_remote(path) else "file:" + path


def _text(path: str, data: bytes, encoding: str, errors: str) -> str:
    try:
        return str(data, encoding, errors)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not {encoding.upper()}: byte 0x{data[error.start]:02x} at offset {error.start} of its text "
            f'({error.reason}); errors="replace" reads it with a U+FFFD in place of such bytes, '
            'encoding="latin-1" or another name reads other encodings, binaryFiles gives the bytes as they are'
        ) from None


# ---------------------------------------------------------------------------------------------------------
# Records of one length


def plan_fixed(files: Sequence[InputFile], record_bytes: int) -> list[FileSplit]:
    """The splits of ``files``, each of whole records; empty files have none.

    Raises:
        InputError: a file's size is no multiple of ``record_bytes``, or it is compressed.
    """
    for file in files:
        if codec_by_suffix(file.path):
            raise InputError(f"{file.path} is compressed, so its bytes are no records; unpack it first")
        if file.size % record_bytes:
            raise InputError(
                f"{file.path} has {file.size} bytes, which is no multiple of the record length {record_bytes}: "
                f"{file.size % record_bytes} bytes would be left over"
            )
    return [split for file in files
            for split in cut_file(file, max(1, file.block_bytes // record_bytes) * record_bytes)]


def read_fixed(record_bytes: int, split: FileSplit) -> Iterator[bytes]:
    """The records of a split.

    Raises:
        InputError: while reading. The file is gone, cannot be read, or has become shorter.
    """
    records = Struct(f"{record_bytes}s").iter_unpack
    runs = (Run(len(chunk) // record_bytes, records(chunk)) for chunk in _chunks(record_bytes, split))
    return (record for run in counted(runs) for (record,) in run)


def _chunks(record_bytes: int, split: FileSplit) -> Iterator[bytes]:
    most = max(1, CHUNK_BYTES // record_bytes) * record_bytes
    at = split.start
    with opened(split, split.start, split.end) as file:
        file.seek(at)
        while at < split.end:
            wanted = min(most, split.end - at)
            chunk = file.read(wanted)
            if len(chunk) < wanted:
                raise shrunk(split.path, at + len(chunk), split.end)
            at += wanted
            yield chunk

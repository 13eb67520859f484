"""Open an input file for a library that wants a file object.

A file whose name says that it is compressed (``x.npy.gz``) is unpacked first. Where a library must seek, all of it is
unpacked into memory: the formats that seek compress within the file, so such names are rare.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import SEEK_END, BufferedReader, BytesIO, FileIO, RawIOBase
from typing import Any, BinaryIO

from mpirdd.formats.compression import HEAD_BYTES, Damaged, Unpacked, codec_by_suffix, codec_of, pieces
from mpirdd.formats.inputfiles import InputFile, opened, shrunk
from mpirdd.formats.records.library import library
from mpirdd.protocol.errors import InputError

_BUFFER_BYTES = 256 << 10


def is_packed(file: InputFile) -> bool:
    """Does the file's name say that it is compressed as a whole?"""
    return codec_by_suffix(file.path) is not None


@contextmanager
def opened_file(file: InputFile, buffer_bytes: int = _BUFFER_BYTES) -> Iterator[BinaryIO]:
    """The content of a file, seekable, buffered.

    Raises:
        InputError: the file is gone, cannot be read, or does not decompress.
    """
    with opened(file) as raw, _content_errors():
        codec = codec_by_suffix(file.path)
        if codec is None:
            yield BufferedReader(raw, buffer_bytes)
            return
        try:
            data = b"".join(pieces(Unpacked(raw, codec), _BUFFER_BYTES))
        except Damaged as error:
            raise _damaged(file, error) from error
        yield BytesIO(data)


def check_size(file: InputFile, content: BinaryIO | RawIOBase) -> None:
    """Raises InputError if the open file is shorter than the driver saw it: formats whose files end anywhere would take what is
    left for all of it."""
    size = content.seek(0, SEEK_END)
    if size < file.size:
        raise shrunk(file.path, size, file.size)


@contextmanager
def _content_errors() -> Iterator[None]:
    """Some libraries raise OSError for content that they do not understand. Those have no number of an error."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(str(error)) from error


@contextmanager
def opened_unpacked(file: InputFile) -> Iterator[BinaryIO]:
    """The content of a file from start to end, unpacked as it is read if its name or its first bytes say so.

    Raises:
        InputError: as above.
    """
    with opened(file) as raw:
        codec = codec_of(file.path, raw.read(HEAD_BYTES))
        check_size(file, raw)
        raw.seek(0)
        yield BufferedReader(raw if codec is None else _Unpacking(Unpacked(raw, codec), file), _BUFFER_BYTES)


@contextmanager
def opened_for_arrow(file: InputFile) -> Iterator[Any]:
    """The same as a file of Arrow's, which reads a local file itself, without Python and its lock."""
    arrow = library("pyarrow", "this file")
    with opened_file(file) as content:
        if isinstance(content, BufferedReader) and isinstance(content.raw, FileIO):
            with arrow.OSFile(file.path) as source:
                yield source
        else:
            yield arrow.PythonFile(content, mode="r")


class _Unpacking(RawIOBase):
    """What unpacks, as a file to read in order."""

    def __init__(self, source: Unpacked, file: InputFile) -> None:
        self._source, self._input = source, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            data = self._source.read(len(buffer))
        except Damaged as error:
            raise _damaged(self._input, error) from error
        buffer[: len(data)] = data
        return len(data)


def _damaged(file: InputFile, error: Damaged) -> InputError:
    return InputError(f"{file.path} is damaged or cut short, it does not decompress: {error}")

"""numpy's own files (.npy, .npz), and raw binary: numbers without any header.

A local file is mapped into memory, so only the rows of a piece are ever read, and blocks are views of the system's page
cache. Other files are read by byte ranges. A compressed file, and a member of an .npz archive, is read whole.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, FileIO
from itertools import islice
from math import prod
from typing import Any, BinaryIO

from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.arrays import ArrayFormat, Rows
from mpirdd.formats.records.library import library
from mpirdd.formats.records.npyexact import first_lost, joins
from mpirdd.formats.records.opening import is_packed, opened_file
from mpirdd.formats.records.pieces import Piece, whole
from mpirdd.formats.records.tables import Sink
from mpirdd.protocol.errors import InputError, RecordError
from mpirdd.protocol.shown import short_repr
from mpirdd.store.costs import counting

_ZIP = b"PK"
_HEADER_BYTES = 4 << 10
"""Read at a time where it is little; blocks of an array are read at once."""
_WRITE_ROWS = 16 << 10
_FITTING = "pass another dtype=, or make the records alike with map"


@dataclass(frozen=True)
class Npy(ArrayFormat):
    """.npy files, and one array of .npz files."""

    key: str | None = None
    """The name of the array in an .npz file; None: its only one."""

    @property
    def name(self) -> str:
        return "a numpy file (.npy or .npz)"

    @contextmanager
    def opened(self, file: InputFile) -> Iterator[Rows]:
        with opened_file(file, _HEADER_BYTES) as content:
            is_archive = content.read(len(_ZIP)) == _ZIP
            content.seek(0)
            yield _Loaded(self._member(file, content)) if is_archive else _npy_rows(file, content)

    def cut(self, file: InputFile, goal_bytes: int) -> list[Piece]:
        with opened_file(file, _HEADER_BYTES) as content:
            is_archive = content.read(len(_ZIP)) == _ZIP
        return [whole(file)] if is_archive or is_packed(file) else super().cut(file, goal_bytes)

    def _member(self, file: InputFile, content: BinaryIO) -> Any:
        numpy = library("numpy", self.name)
        with numpy.load(content, allow_pickle=False) as archive:
            key = self.key
            if key is None and len(archive.files) == 1:
                key = archive.files[0]
            if key not in archive.files:
                which = "holds several arrays" if key is None else f"has no array {key!r}"
                raise InputError(f"{file.path} {which}; key= names one of: {', '.join(archive.files) or 'none is there'}")
            return archive[key]


@dataclass(frozen=True)
class Raw(ArrayFormat):
    """Files of numbers, one behind the other, in C order."""

    dtype: str | tuple[tuple[Any, ...], ...] = "float64"
    """As numpy's ``dtype.descr`` or ``dtype.str``, which are smaller to send."""
    row_shape: tuple[int, ...] = ()
    """Of an item: () for numbers."""
    offset: int = 0
    """Bytes at the start of each file that are passed over."""

    @property
    def name(self) -> str:
        return "a file of raw numbers"

    @contextmanager
    def opened(self, file: InputFile) -> Iterator[Rows]:
        numpy = library("numpy", self.name)
        dtype = numpy.dtype(list(self.dtype) if isinstance(self.dtype, tuple) else self.dtype)
        row_bytes = dtype.itemsize * prod(self.row_shape)
        with opened_file(file, _HEADER_BYTES) as content:
            size = content.seek(0, 2) - self.offset
            if size % row_bytes or size < 0:
                raise InputError(
                    f"{file.path} has {size + self.offset} bytes, of which {self.offset} are passed over; the rest is no "
                    f"multiple of {row_bytes} bytes, the size of an item ({dtype}, shape {self.row_shape})"
                )
            yield _rows_at(file, content, self.offset, (size // row_bytes, *self.row_shape), dtype)


class _Loaded(Rows):
    """An array in memory."""

    def __init__(self, array: Any) -> None:
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def block(self, start: int, end: int) -> Any:
        return self._array[start:end].copy()

    def all(self) -> Any:
        return self._array


class _Read(Rows):
    """An array in C order in a file that is read by byte ranges."""

    def __init__(self, file: InputFile, content: BinaryIO, offset: int, shape: tuple[int, ...], dtype: Any) -> None:
        self._file, self._content, self._offset, self.shape, self.dtype = file, content, offset, shape, dtype

    def block(self, start: int, end: int) -> Any:
        numpy = library("numpy", "an array")
        shape = (end - start, *self.shape[1:])
        data = bytearray(prod(shape) * self.dtype.itemsize)
        self._content.seek(self._offset + start * self.row_bytes)
        if self._content.readinto(data) < len(data):  # type: ignore[attr-defined]
            raise InputError(f"{self._file.path} ends within its array; it has been cut short")
        return numpy.frombuffer(data, self.dtype).reshape(shape)

    def all(self) -> Any:
        self.shape = (1,)
        return self.block(0, 1).reshape(())


class _Mapped(Rows):
    """An array in a local file, mapped into memory. Blocks are views that cannot be written."""

    def __init__(self, array: Any) -> None:
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def block(self, start: int, end: int) -> Any:
        block = self._array[start:end]
        counting().note("input_bytes", block.nbytes)
        return block

    def all(self) -> Any:
        return self._array


def _npy_rows(file: InputFile, content: BinaryIO) -> Rows:
    numpy = library("numpy", "an array")
    npy = numpy.lib.format
    # numpy reads headers of version 3 (names in UTF-8) only together with the whole array.
    version, _ = npy.read_magic(content)
    size = int.from_bytes(content.read(2 if version == 1 else 4), "little")
    header = literal_eval(content.read(size).decode("utf-8" if version == 3 else "latin-1"))
    shape, fortran, dtype = header["shape"], header["fortran_order"], npy.descr_to_dtype(header["descr"])
    if dtype.hasobject:
        raise InputError(
            f"{file.path} holds pickled Python objects, which numpyFile does not load, since that can run code; "
            "numpy.load(..., allow_pickle=True) on what binaryFiles gives does, for files that you trust"
        )
    offset = content.tell()
    if fortran and len(shape) > 1:
        if not _is_local(content):
            content.seek(0)
            return _Loaded(numpy.load(content, allow_pickle=False))
        return _rows_at(file, content, offset, shape, dtype, order="F")
    return _rows_at(file, content, offset, shape, dtype)


def _rows_at(
    file: InputFile, content: BinaryIO, offset: int, shape: tuple[int, ...], dtype: Any, order: str = "C"
) -> Rows:
    numpy = library("numpy", "an array")
    if not _is_local(content) or not prod(shape):
        return _Read(file, content, offset, shape, dtype)
    have, need = content.seek(0, 2), offset + prod(shape) * dtype.itemsize
    if have < need:
        raise InputError(f"{file.path} ends within its array: {have} of {need} bytes are there; it has been cut short")
    mapped = numpy.memmap(file.path, dtype, "r", offset, shape, order)
    return _Mapped(mapped.view(numpy.ndarray))


def _is_local(content: BinaryIO) -> bool:
    return isinstance(content, BufferedReader) and isinstance(content.raw, FileIO)


# --- write ------------------------------------------------------------------------------------------------------------


def write_npy(dtype: Any, records: Iterable[Any]) -> Iterator[bytes]:
    """One .npy file of all records, a good piece at a time. It holds them as numbers, all at once.

    Raises:
        RecordError: the records are no numbers, text or bytes, or arrays of different shapes; or the array does not hold
            the value of one.
    """
    numpy = library("numpy", "an array")
    blocks: list[Any] = []
    iterator = iter(records)
    costs = counting()
    while run := list(islice(iterator, _WRITE_ROWS)):
        costs.note("records_out", len(run))
        try:
            with numpy.errstate(over="ignore", invalid="ignore"):  # first_lost tells it
                block = numpy.asarray(run, dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise RecordError(
                f"saveAsNumpyFile: the records, such as {short_repr(run[0])}, do not make an array of "
                f"{dtype or 'one shape'}: {error}"
            ) from error
        if block.dtype.hasobject:
            raise RecordError(
                f"saveAsNumpyFile: the records, such as {short_repr(run[0])}, are no numbers, text or bytes that a numpy "
                "array holds; convert them with map, or use saveAsPickleFile"
            )
        lost = first_lost(run, block, is_given=dtype is not None)
        if lost is not None:
            raise RecordError(
                f"saveAsNumpyFile: the record {short_repr(run[lost])} does not fit an array of {block.dtype}: it would become "
                f"{short_repr(block[lost].tolist())}; {_FITTING}")
        if blocks and block.shape[1:] != blocks[0].shape[1:]:
            raise RecordError(
                f"saveAsNumpyFile: records of shape {block.shape[1:]} and {blocks[0].shape[1:]} do not make one array")
        blocks.append(block)
    array = numpy.concatenate(blocks) if blocks else numpy.empty(0, dtype)
    if not joins(blocks, array):
        raise RecordError(
            f"saveAsNumpyFile: the records are of several types ({', '.join(sorted({str(block.dtype) for block in blocks}))}), "
            f"and an array of {array.dtype} does not hold them all; {_FITTING}")
    if dtype is not None:
        array = array.astype(dtype, copy=False)  # joined arrays have the machine's order of bytes
    yield _header(numpy, array)
    view = memoryview(array.reshape(-1).view("u1")) if array.size and array.dtype.itemsize else memoryview(b"")
    for start in range(0, len(view), 4 << 20):
        yield bytes(view[start : start + (4 << 20)])


def _header(numpy: Any, array: Any) -> bytes:
    sink = Sink()
    numpy.lib.format.write_array(sink, array[:0])  # in the version that the names of the fields need
    head = sink.take()
    size_bytes = 2 if head[6] == 1 else 4
    size = int.from_bytes(head[8 : 8 + size_bytes], "little")
    encoding = "utf-8" if head[6] == 3 else "latin-1"
    described = literal_eval(head[8 + size_bytes : 8 + size_bytes + size].decode(encoding))
    text = repr({**described, "shape": array.shape, "fortran_order": False}).encode(encoding)
    padding = -(8 + size_bytes + len(text) + 1) % 64
    text += b" " * padding + b"\n"
    return head[:8] + len(text).to_bytes(size_bytes, "little") + text

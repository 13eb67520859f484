"""Avro: records in blocks, each followed by the file's sync marker.

A piece is a range of bytes: it holds the blocks that begin within it, found by the marker, as in Hadoop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedReader, BytesIO, RawIOBase
from itertools import islice
from typing import Any, BinaryIO

from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.arrowformat import check_columns
from mpirdd.formats.records.library import library
from mpirdd.formats.records.opening import is_packed, opened_file
from mpirdd.formats.records.pieces import Piece, cut_bytes, whole
from mpirdd.protocol.errors import InputError

_SYNC_BYTES = 16
_WINDOW_BYTES = 64 << 10
_RUN = 128


@dataclass(frozen=True)
class Avro:
    """Avro container files. A record is a dict, or whatever the schema says."""

    columns: tuple[str, ...] | None = None
    """The fields to read; None: all."""
    name: str = "an Avro file"

    def known(self, first: InputFile) -> Avro:
        with opened_file(first) as file:
            self._schema_to_read(first, _reader(file).writer_schema)
        return replace(self)

    def cut(self, file: InputFile, goal_bytes: int) -> list[Piece]:
        return [whole(file)] if is_packed(file) else cut_bytes(file, goal_bytes)

    def read(self, piece: Piece) -> Iterator[list[Any]]:
        with opened_file(piece.file) as file:
            reader = _reader(file)
            schema = self._schema_to_read(piece.file, reader.writer_schema)
            header_bytes = file.tell()
            source: Any = file
            if not piece.is_whole:
                file.seek(0)
                header = file.read(header_bytes)
                start = _first_block(file, header, piece.start)
                end = _first_block(file, header, piece.end)
                file.seek(start)
                source = BufferedReader(_Joined(header, file, max(end - start, 0)), 256 << 10)
            else:
                file.seek(0)
            records = iter(_reader(source, schema))
            if schema is None and self.columns is not None:
                records = ({name: record[name] for name in self.columns or ()} for record in records)
            while run := list(islice(records, _RUN)):
                yield run

    def count(self, piece: Piece) -> int:
        return sum(map(len, self.read(piece)))

    def _schema_to_read(self, file: InputFile, written: Any) -> Any:
        """The schema with the fields that are asked for; None: all of it, also where one of these fields is of a type that a
        field has named which is not asked for."""
        if self.columns is None:
            return None
        if not isinstance(written, dict) or written.get("type") != "record":
            raise InputError(f"{file.path} holds no records but {written!r}, so columns= says nothing")
        fields = {field["name"]: field for field in written["fields"]}
        check_columns(file.path, list(fields), self.columns)
        schema = {**written, "fields": [fields[name] for name in self.columns]}
        try:
            library("fastavro.schema", "an Avro file").parse_schema(schema)
        except library("fastavro.schema", "an Avro file").UnknownType:
            return None
        return schema


def _reader(source: Any, schema: Any = None) -> Any:
    return library("fastavro", "an Avro file").reader(source, schema)


def _first_block(file: BinaryIO, header: bytes, offset: int) -> int:
    """Where the first block begins at ``offset`` or later; the end of the file if there is none."""
    if offset <= len(header):
        return len(header)
    sync, at = header[-_SYNC_BYTES:], offset - _SYNC_BYTES
    file.seek(at)
    data = b""
    while more := file.read(_WINDOW_BYTES):
        data += more
        found = data.find(sync)
        if found >= 0:
            return at + found + _SYNC_BYTES
        keep = data[-(_SYNC_BYTES - 1) :]
        at += len(data) - len(keep)
        data = keep
    return file.seek(0, 2)


class _Joined(RawIOBase):
    """The header, then the next ``size`` bytes of the file."""

    def __init__(self, header: bytes, file: BinaryIO, size: int) -> None:
        self._header, self._file, self._left = BytesIO(header), file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._header.read(len(buffer))
        if not data:
            data = self._file.read(min(len(buffer), self._left))
            self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

"""WARC: what web crawls store, a record for each request and response. A file is read by one task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.library import library
from mpirdd.formats.records.opening import opened_unpacked
from mpirdd.formats.records.pieces import Piece, whole
from mpirdd.protocol.errors import InputError

_SKIPPED_BYTES = 64 << 10


class WebRecord(NamedTuple):
    """A record of a web archive."""

    type: str
    """``response``, ``request``, ``warcinfo``, ``metadata``, ``resource``, ``revisit``, ``conversion``."""
    uri: str | None
    """What was asked for."""
    date: str | None
    """When, as ISO text."""
    headers: dict[str, str]
    """The record's own, ``WARC-...`` and others."""
    status: int | None
    """HTTP's, of a response."""
    http_headers: dict[str, str]
    """Of a request or response; names as they came, of equal names the last."""
    content: bytes
    """The body, unpacked and unchunked."""


@dataclass(frozen=True)
class Warc:
    """WARC and ARC files, as they are or packed."""

    types: tuple[str, ...] | None = None
    """The types of records to give; None: all."""
    name: str = "a WARC file"

    def known(self, first: InputFile) -> Warc:
        library("warcio.archiveiterator", self.name)
        return self

    def cut(self, file: InputFile, goal_bytes: int) -> list[Piece]:
        return [whole(file)]

    def read(self, piece: Piece) -> Iterator[list[Any]]:
        iterator = library("warcio.archiveiterator", self.name).ArchiveIterator
        failures = library("warcio.exceptions", self.name).ArchiveLoadFailed
        count = 0
        # Unpacked here: warcio takes packed bytes that are damaged or cut short for the end of the file.
        with opened_unpacked(piece.file) as file:
            records = iterator(file)
            try:
                for record in records:
                    made = [_web_record(record)] if self.types is None or record.rec_type in self.types else []
                    _check_is_whole(record)
                    count += 1
                    yield made
                if records.next_line or (not count and records.fh.tell()):
                    raise EOFError("it ends within a record's headers")
            except (failures, EOFError) as error:
                raise InputError(
                    f"{piece.file.path} is not a WARC file, or it is damaged, behind record {count} "
                    f"(byte {records.get_record_offset() if count else 0}, unpacked): {error}"
                ) from error

    def count(self, piece: Piece) -> int:
        return sum(map(len, self.read(piece)))


def _check_is_whole(record: Any) -> None:
    """Raises EOFError where the file ends before the record, as warcio takes what there is for all of it."""
    length = record.rec_headers.get_header("length" if record.format == "arc" else "Content-Length")
    if not (length or "").strip().isdigit():
        raise EOFError("a record does not tell its length")
    while record.raw_stream.read(_SKIPPED_BYTES):
        pass
    if record.raw_stream.limit:
        raise EOFError(f"{record.raw_stream.limit} of the {record.length} bytes of a record are missing")


def _web_record(record: Any) -> WebRecord:
    headers = record.rec_headers
    http = record.http_headers
    status = http.get_statuscode() if http is not None and record.rec_type == "response" else None
    return WebRecord(
        record.rec_type, headers.get_header("WARC-Target-URI"), headers.get_header("WARC-Date"), dict(headers.headers),
        int(status) if status and status.isdigit() else None, dict(http.headers) if http is not None else {},
        record.content_stream().read(),
    )

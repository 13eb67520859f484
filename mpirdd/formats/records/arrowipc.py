"""Arrow IPC, also known as Feather: record batches as they lie in memory.

A record batch is the unit of a piece. A file of the *stream* format has no table of its batches, so it is not cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.arrowformat import BATCH_ROWS, ArrowFormat
from mpirdd.formats.records.library import library

_MAGIC = b"ARROW1"


@dataclass(frozen=True)
class ArrowIpc(ArrowFormat):
    """Arrow files, and Arrow streams in files."""

    @property
    def name(self) -> str:
        return "an Arrow IPC file"

    def reader(self, source: Any) -> Any:
        ipc = library("pyarrow", self.name).ipc
        is_file = source.read(len(_MAGIC)) == _MAGIC
        source.seek(0)
        return ipc.open_file(source) if is_file else ipc.open_stream(source)

    def schema_of(self, reader: Any) -> Any:
        return reader.schema

    def unit_bytes(self, reader: Any, file: InputFile) -> list[int]:
        count = getattr(reader, "num_record_batches", 1)  # a stream does not know
        return [file.size // max(count, 1)] * count

    def batches_of(self, reader: Any, units: range, columns: Sequence[str] | None) -> Iterator[Any]:
        found = map(reader.get_batch, units) if hasattr(reader, "get_batch") else iter(reader)
        for batch in found:
            chosen = batch if columns is None else batch.select(list(columns))
            if self.batches:
                yield chosen
            else:
                yield from (chosen.slice(start, BATCH_ROWS) for start in range(0, chosen.num_rows, BATCH_ROWS))

"""ORC: columns in stripes. A stripe is the unit of a piece: one is never cut, and a task holds one in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.arrowformat import BATCH_ROWS, ArrowFormat
from mpirdd.formats.records.library import library


@dataclass(frozen=True)
class Orc(ArrowFormat):
    """ORC files."""

    @property
    def name(self) -> str:
        return "an ORC file"

    def reader(self, source: Any) -> Any:
        return library("pyarrow.orc", self.name).ORCFile(source)

    def schema_of(self, reader: Any) -> Any:
        return reader.schema

    def unit_bytes(self, reader: Any, file: InputFile) -> list[int]:
        # pyarrow does not tell the size of a stripe.
        return [file.size // max(reader.nstripes, 1)] * reader.nstripes

    def batches_of(self, reader: Any, units: range, columns: Sequence[str] | None) -> Iterator[Any]:
        for unit in units:
            stripe = reader.read_stripe(unit, columns=columns or None)  # without columns it would have no rows
            if self.batches:
                yield stripe
            else:
                yield from (stripe.slice(start, BATCH_ROWS) for start in range(0, stripe.num_rows, BATCH_ROWS))

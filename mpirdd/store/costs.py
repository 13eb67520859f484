"""A rank's costs of files, and of encoding and decoding records: the figures that compare memory with disk.

They are always counted, since counting is cheap: some 0.5 us for each piece of data, while reading, encoding or writing it
takes 10 to 1,000 times that. Nothing is counted for each record.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from time import perf_counter
from typing import Any

from mpirdd.protocol.frames import Frames
from mpirdd.store.codec import decode, encode


class Costs:
    """Seconds and bytes since the last ``take``, by name. No second counts under two of these names:

    * ``input_s, input_bytes``: reading input files, in bytes of the file system; ``lines_s``: splitting text into lines;
      ``parse_s``: parsing all other files; both include decompression; ``output_s, output_bytes``: writing output files;
    * ``read_s, read_bytes``, ``write_s, written_bytes``: spill files and other local files, with checksums and compression;
    * ``commit_s``: fsync and rename;
    * ``encode_s``, ``decode_s``: records to bytes and back, for shuffles and for partitions kept as bytes or in files;
    * ``exchange_s``: exchanges from the first piece to the last, including the wait for other executors;
    * ``compute_s``: the rest of tasks, above all the user's functions.

    ``task_s`` is the time of whole tasks, their parts of the above included. There are also counts that need no look at each
    record: ``input_records``, ``cached_records``, ``cached_bytes`` (read), ``records_out``, ``result_bytes``,
    ``shuffle_read_bytes``, ``shuffle_written_bytes``, ``gc_s`` (seconds in Python's garbage collector, which also count under
    the names above).
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self.counted_s = 0.0
        """All seconds counted so far, without ``task_s``; ``take`` does not reset it."""

    def add(self, **costs: float) -> None:
        for name, cost in costs.items():
            self._sums[name] = self._sums.get(name, 0) + cost
            if name.endswith("_s"):
                self.counted_s += cost

    def note(self, name: str, number: float) -> None:
        """Add to a count, or to seconds that are also counted elsewhere."""
        sums = self._sums
        sums[name] = sums.get(name, 0) + number

    def sums(self) -> dict[str, float]:
        """A copy of all sums since the last ``take``."""
        return dict(self._sums)

    def add_rest(self, name: str, began: float, counted_s: float) -> None:
        """Count the seconds since ``began``, less those counted under other names since ``counted_s`` was read."""
        self._add_rest_of(perf_counter() - began, name, counted_s)

    def add_task(self, seconds: float, counted_s: float) -> None:
        """A task has ended: count its time as a whole, and under ``compute_s`` the part not counted elsewhere since
        ``counted_s`` was read."""
        self._sums["task_s"] = self._sums.get("task_s", 0) + seconds
        self._add_rest_of(seconds, "compute_s", counted_s)

    def _add_rest_of(self, seconds: float, name: str, counted_s: float) -> None:
        rest = seconds - (self.counted_s - counted_s)
        self._sums[name] = self._sums.get(name, 0) + rest
        self.counted_s += rest

    def take(self) -> dict[str, float]:
        """All sums; they start at zero again."""
        taken, self._sums = self._sums, {}
        return taken

    # These use ``add_rest``, because pickling a group that lies on disk reads it, and those seconds are counted there.

    def encode(self, value: Any) -> Frames:
        began, counted_s = perf_counter(), self.counted_s
        frames = encode(value)
        self.add_rest("encode_s", began, counted_s)
        return frames

    def encode_each(self, pieces: Iterable[Any]) -> list[Frames | None]:
        """Encode many values, perhaps tiny: counting each alone would add a fifth to the time of encoding."""
        began, counted_s = perf_counter(), self.counted_s
        encoded = [None if piece is None else encode(piece) for piece in pieces]
        self.add_rest("encode_s", began, counted_s)
        return encoded

    def decode(self, frames: Frames) -> Any:
        began, counted_s = perf_counter(), self.counted_s
        value = decode(frames)
        self.add_rest("decode_s", began, counted_s)
        return value


COUNTING: ContextVar[Costs | None] = ContextVar("mpirdd costs", default=None)
"""The costs of the task that this thread runs. A context variable, because files are opened deep inside readers and libraries."""


def counting() -> Costs:
    """The costs of the running task; outside tasks (such as on the driver), costs that nobody reads."""
    return COUNTING.get() or Costs()

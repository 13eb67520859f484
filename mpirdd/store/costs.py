"""What files, and turning records into bytes and back, cost a rank: the split that compares memory with disk.

Counted always, as it is cheap: some 0.5 us for each piece of data, which takes 10 to 1,000 times that to read, encode or write.
Nothing is counted record by record.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from time import perf_counter
from typing import Any

from mpirdd.protocol.frames import Frames
from mpirdd.store.codec import decode, encode


class Costs:
    """Seconds and bytes since the last ``take``, by name. No second is counted under two of these names:

    * ``input_s, input_bytes``: input files, as they lie in the file system; ``lines_s``: text to lines; ``parse_s``: all other
      files to records, both with decompression; ``output_s, output_bytes``: output files, from bytes to the file system;
    * ``read_s, read_bytes``, ``write_s, written_bytes``: spill files and what goes through files; with checksums and compression;
    * ``commit_s``: fsync and rename;
    * ``encode_s``, ``decode_s``: records to bytes and back, for shuffles and for what is kept as bytes or in files;
    * ``exchange_s``: exchanges from the first piece to the last, waiting for the other executors included;
    * ``compute_s``: all else that tasks do: the user's functions above all.

    ``task_s`` is whole tasks: their part of all of these. And counts, of what is at hand without a look at each record:
    ``input_records``, ``cached_records``, ``cached_bytes`` (read), ``records_out``, ``result_bytes``, ``shuffle_read_bytes``,
    ``shuffle_written_bytes``, ``gc_s`` (seconds in Python's garbage collector, which count among the others, too).
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self.counted_s = 0.0
        """All seconds counted so far, whole tasks aside; never taken."""

    def add(self, **costs: float) -> None:
        for name, cost in costs.items():
            self._sums[name] = self._sums.get(name, 0) + cost
            if name.endswith("_s"):
                self.counted_s += cost

    def note(self, name: str, number: float) -> None:
        """A count; or seconds that others have counted already."""
        sums = self._sums
        sums[name] = sums.get(name, 0) + number

    def sums(self) -> dict[str, float]:
        """A copy of what has been counted since the last ``take``."""
        return dict(self._sums)

    def add_rest(self, name: str, began: float, counted_s: float) -> None:
        """What has passed since ``began``, when ``counted_s`` had been counted, less what has been counted since."""
        seconds = perf_counter() - began - (self.counted_s - counted_s)
        self._sums[name] = self._sums.get(name, 0) + seconds
        self.counted_s += seconds

    def add_task(self, began: float, counted_s: float) -> None:
        """A task has ended: it counts as a whole, and what nothing else of it has been counted as is computing."""
        self._sums["task_s"] = self._sums.get("task_s", 0) + perf_counter() - began
        self.add_rest("compute_s", began, counted_s)

    def take(self) -> dict[str, float]:
        """All sums, which begin anew."""
        taken, self._sums = self._sums, {}
        return taken

    # By ``add_rest``, as pickling a group that is on disk reads it, and what that costs is counted there.

    def encode(self, value: Any) -> Frames:
        began, counted_s = perf_counter(), self.counted_s
        frames = encode(value)
        self.add_rest("encode_s", began, counted_s)
        return frames

    def encode_each(self, pieces: Iterable[Any]) -> list[Frames | None]:
        """Many that may be tiny: counted together, as one by one it would add a fifth to what encoding them takes."""
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
"""Of the task that this thread runs. A context variable, because files are opened deep inside readers and libraries."""


def counting() -> Costs:
    """Where the running task counts; elsewhere (the driver plans, say) costs that nobody reads."""
    return COUNTING.get() or Costs()

"""What files, and turning records into bytes and back, cost a rank: the split that compares memory with disk.

Counted always, as it is cheap: some 0.5 us for each piece of data, which takes 10 to 1,000 times that to read, encode or write.
Nothing is counted record by record.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Any

from mpirdd.storage.codec import decode, encode
from mpirdd.words.transport import Frames


class Costs:
    """Seconds and bytes since the last ``take``, by name. No second is counted under two of these names:

    * ``input_s, input_bytes``: bytes of input text from the file system, decompressed; ``lines_s``: those to lines;
    * ``read_s, read_bytes``, ``write_s, written_bytes``: spill files and what goes through files; with checksums and compression;
    * ``commit_s``: fsync and rename;
    * ``encode_s``, ``decode_s``: records to bytes and back, for shuffles and for what is kept as bytes or in files;
    * ``exchange_s``: exchanges from the first piece to the last, waiting for the other executors included;
    * ``compute_s``: all else that tasks do: the user's functions above all.

    ``task_s`` is whole tasks: their part of all of these.
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

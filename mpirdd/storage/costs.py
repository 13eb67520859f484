"""What files, and turning records into bytes and back, cost a rank: the split that compares memory with disk.

Counted always, as it is cheap: some 0.3 us for each piece of data, which takes 100 times that to write or read.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from mpirdd.storage.codec import decode, encode
from mpirdd.words.transport import Frames


class Costs:
    """Seconds and bytes since the last ``take``, by name:

    * ``read_s, read_bytes``, ``write_s, written_bytes``: spill files and what goes through files; with checksums and compression;
    * ``commit_s``: fsync and rename;
    * ``encode_s``, ``decode_s``: records to bytes and back, where those go to files or come from them;
    * ``task_s``, ``exchange_s``: whole tasks, all of this included, and exchanges from the first piece to the last.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}

    def add(self, **costs: float) -> None:
        for name, cost in costs.items():
            self._sums[name] = self._sums.get(name, 0) + cost

    def take(self) -> dict[str, float]:
        """All sums, which begin anew."""
        taken, self._sums = self._sums, {}
        return taken

    def encode(self, value: Any) -> Frames:
        began = perf_counter()
        frames = encode(value)
        self.add(encode_s=perf_counter() - began)
        return frames

    def decode(self, frames: Frames) -> Any:
        began = perf_counter()
        value = decode(frames)
        self.add(decode_s=perf_counter() - began)
        return value

"""What stands between a file of text and the lines cut from it: exact reads, and the counting of bytes and seconds."""

from __future__ import annotations

from time import perf_counter

from mpirdd.formats.compression import Readable
from mpirdd.store.costs import Costs


class Exact:
    """Reads as much as is asked for, unless the end comes first: so that characters are not cut."""

    def __init__(self, source: Readable) -> None:
        self._source, self._head = source, b""

    def peek(self, size: int) -> bytes:
        self._head = self.read(size)
        return self._head

    def read(self, size: int, /) -> bytes:
        parts, self._head = [self._head], b""
        missing = size - len(parts[0])
        while missing > 0 and (piece := self._source.read(missing)):
            parts.append(piece)
            missing -= len(piece)
        data = b"".join(parts)
        if missing < 0:
            data, self._head = data[:size], data[size:]
        return data


class CountedSource:
    """Counts what is read in order, but not the bytes around a split in which the start and end of its lines are searched. So
    the splits of a file, all read, count each byte once."""

    def __init__(self, source: Readable, costs: Costs) -> None:
        self._source, self._costs = source, costs

    def search(self, size: int) -> bytes:
        """As ``read``, but only what is ``found`` counts."""
        return self._source.read(size)

    def found(self, data: bytes) -> bytes:
        """Part of what ``search`` gave: it belongs to the split."""
        self._costs.note("input_bytes", len(data))
        return data

    def read(self, size: int, /) -> bytes:
        began = perf_counter()
        data = self._source.read(size)
        self._costs.add(input_s=perf_counter() - began, input_bytes=len(data))
        return data


class TimedUnpacking:
    """Counts the seconds of decompression among those of making lines."""

    def __init__(self, source: Readable, costs: Costs) -> None:
        self._source, self._costs = source, costs

    def read(self, size: int, /) -> bytes:
        began, counted_s = perf_counter(), self._costs.counted_s
        data = self._source.read(size)
        self._costs.add_rest("lines_s", began, counted_s)
        return data

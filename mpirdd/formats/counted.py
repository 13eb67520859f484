"""What reading and writing files costs a task: seconds, bytes and records.

Readers and writers do not count for themselves. Bytes are counted where files are opened: here for local files, in
``readahead`` for all others. What is neither read through such a file nor written by ``outputs`` is counted where it is read:
mapped arrays by their blocks, local Parquet, ORC and Arrow files by their row groups, Zarr by its chunks.

Whoever makes records gives them in runs, and ``counted`` counts the runs. Nothing is counted record by record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import FileIO
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mpirdd.store.costs import Costs, counting

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class SizedRun(Protocol):
    """Some records, whose number is known."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


_Run = TypeVar("_Run", bound=SizedRun)


class Run:
    """Records that are made while they are iterated, once, and whose number is known before."""

    __slots__ = ("_count", "_records")

    def __init__(self, count: int, records: Iterable[Any]) -> None:
        self._count, self._records = count, records

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return iter(self._records)  # without this object's frame for each record


def counted(runs: Iterator[_Run]) -> Iterator[_Run]:
    """The runs. Their records are counted, and the seconds that making them takes, less those for reading files."""
    costs = counting()
    while True:
        began, counted_s = perf_counter(), costs.counted_s
        run = next(runs, None)
        costs.add_rest("parse_s", began, counted_s)
        if run is None:
            return
        costs.note("input_records", len(run))
        yield run


class CountedFile(FileIO):
    """A local file whose reads are counted: 0.6 us each."""

    def __init__(self, path: str, costs: Costs) -> None:
        super().__init__(path)
        self._costs = costs

    def read(self, size: int | None = -1, /) -> bytes:
        began = perf_counter()
        data = super().read(-1 if size is None else size)
        self._costs.add(input_s=perf_counter() - began, input_bytes=len(data))
        return data

    def readall(self) -> bytes:
        began = perf_counter()
        data = super().readall()
        self._costs.add(input_s=perf_counter() - began, input_bytes=len(data))
        return data

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        began = perf_counter()
        size = super().readinto(buffer)
        self._costs.add(input_s=perf_counter() - began, input_bytes=size)
        return size


class Written:
    """Counts what one output file costs whose writer iterates this object in place of ``data``: the bytes, and the seconds in
    which no piece is made."""

    def __init__(self, data: Iterable[bytes]) -> None:
        self._data, self._costs = data, counting()
        self._since = perf_counter()

    def __enter__(self) -> Written:
        return self

    def __exit__(self, *_: object) -> None:
        self._costs.add(output_s=perf_counter() - self._since)

    def __iter__(self) -> Iterator[bytes]:
        self._costs.add(output_s=perf_counter() - self._since)  # to open the file
        for piece in self._data:
            self._since = perf_counter()
            yield piece
            self._costs.add(output_s=perf_counter() - self._since, output_bytes=len(piece))
        self._since = perf_counter()  # and to close it

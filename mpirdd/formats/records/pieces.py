"""What a format of records is, and how its files become partitions.

A format knows two things: how to cut a file into pieces that tasks can read apart, and how to read a piece. Everything
else is the same for all formats and lives here:

* **How many partitions.** The goal is all bytes divided by ``least`` partitions, but at most a block (32 MiB, or what the
  file system says), and at least 1 MiB unless the caller gave ``least`` itself. A file larger than the goal is cut, if its
  format allows; pieces that are smaller share a partition, in the order of the files, and each counts 1 MiB more than it
  has, since opening it takes as long. So hundreds of small files are a few partitions.
* **Errors.** Whatever a library raises while it reads becomes an ``InputError`` that names the file.

A piece is read in runs of records (lists): the loop over the records then stays in C.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain
from math import ceil
from sys import maxsize
from time import perf_counter
from typing import Any, Protocol, TypeVar

from mpirdd.formats import signatures
from mpirdd.formats.counted import SizedRun, counted
from mpirdd.formats.inputfiles import InputFile, opened
from mpirdd.formats.splits import Countable
from mpirdd.protocol.errors import InputError, MpirddError
from mpirdd.store.costs import counting

END = maxsize
"""The end of a piece that goes to the end of its file."""
OPEN_COST_BYTES = 1 << 20
"""Opening a file, and reading its footer, takes about as long as reading this many bytes."""
_LEAST_GOAL_BYTES = 1 << 20
_SLOP = 1.1
"""The last piece of a file may be a tenth larger, rather than leave a tiny one behind."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file that one task reads."""

    file: InputFile
    start: int
    end: int
    """From ``start`` up to ``end``, in the format's own unit: bytes, row groups, stripes, rows of an array."""
    size: int
    """About how many bytes of the file these are."""

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.end == END


Group = tuple[Piece, ...]
"""The pieces of one partition."""
_Format = TypeVar("_Format", bound="RecordFormat")


class RecordFormat(Protocol):
    """One kind of file, with the options of a call. Frozen and picklable, since it travels to the executors."""

    @property
    def name(self) -> str:
        """For messages, with its article: "a Parquet file"."""

    def known(self: _Format, first: InputFile) -> _Format:
        """The format with what a file says (a schema), which the other files must then agree with; the same object where it says
        nothing, since it is empty, or no file of this format says anything. On the driver.

        Raises:
            InputError, UsageError: the file, or the call, is wrong: a missing column, a missing library.
        """

    def cut(self, file: InputFile, goal_bytes: int) -> list[Piece]:
        """The pieces of a file that is larger than the goal, each of about so many bytes. On the driver."""

    def read(self, piece: Piece) -> Iterator[SizedRun]:
        """The records of a piece, in runs of a few thousand at most. In a task."""

    def count(self, piece: Piece) -> int:
        """The number of these records, with as little work as the format allows."""


def whole(file: InputFile) -> Piece:
    """All of a file."""
    return Piece(file, 0, END, file.size)


def plan(form: _Format, files: Sequence[InputFile], least: int, *, given: bool) -> tuple[_Format, list[Group]]:
    """The format that knows the first file that says anything, and the pieces of each partition, in the order of the files.

    Args:
        least: so many partitions at least, if the files are large enough.
        given: the caller asked for ``least``, so pieces may be small.

    Raises:
        InputError, UsageError: see ``RecordFormat.known``.
    """
    if not files:
        return form, []
    form = next((known for file in files if (known := _guarded_known(form, file)) is not form), form)
    total, least = sum(file.size for file in files), max(least, 1)
    goal = max(total // least, 1 if given else _LEAST_GOAL_BYTES)
    pieces = [piece for file in files for piece in _pieces_of(form, file, min(goal, file.block_bytes))]
    full = min(files[0].block_bytes, max((total + OPEN_COST_BYTES * len(pieces)) // least, goal))
    return form, _packed(pieces, full)


def _guarded_known(form: _Format, file: InputFile) -> _Format:
    try:
        return form.known(file)
    except (MpirddError, MemoryError):
        raise
    except Exception as error:  # each library has errors of its own
        raise unreadable(form, file, error) from error


def _pieces_of(form: RecordFormat, file: InputFile, goal: int) -> list[Piece]:
    if file.size <= goal * _SLOP:
        return [whole(file)]
    try:
        return form.cut(file, goal)
    except (MpirddError, MemoryError):
        raise
    except Exception as error:
        raise unreadable(form, file, error) from error


def _packed(pieces: Sequence[Piece], full: int) -> list[Group]:
    groups: list[Group] = []
    group: list[Piece] = []
    size = 0
    for piece in pieces:
        cost = piece.size + OPEN_COST_BYTES
        if group and size + cost > full:
            groups.append(tuple(group))
            group, size = [], 0
        group.append(piece)
        size += cost
    return [*groups, tuple(group)] if group else groups


def cut_bytes(file: InputFile, goal_bytes: int) -> list[Piece]:
    """Pieces whose unit is the byte."""
    starts = [0]
    while file.size - starts[-1] > goal_bytes * _SLOP:
        starts.append(starts[-1] + goal_bytes)
    ends = [*starts[1:], file.size]
    return [Piece(file, start, end, end - start) for start, end in zip(starts, ends, strict=True)]


def cut_units(file: InputFile, sizes: Sequence[int], goal_bytes: int) -> list[Piece]:
    """Pieces of whole units (row groups, stripes), as even as can be, given the size of each unit in bytes.

    A unit belongs to the equal share of all bytes in which its middle lies.
    """
    share = max(1, sum(sizes)) / max(1, ceil(file.size / (goal_bytes * _SLOP)))
    shares = [int((end - size / 2) / share) for end, size in zip(accumulate(sizes), sizes, strict=True)]
    starts = [place for place, number in enumerate(shares) if place == 0 or number != shares[place - 1]] or [0]
    ends = [*starts[1:], END]
    return [Piece(file, start, end, sum(sizes[start:end])) for start, end in zip(starts, ends, strict=True)]


def read_pieces(form: RecordFormat, group: Group) -> Records:
    """The records of one partition.

    Raises:
        InputError: while reading. A file is gone, damaged, of another format, or does not agree with the first one.
    """
    return Records(form, group)


class Records(Countable):
    """The records of some pieces."""

    def __init__(self, form: RecordFormat, group: Group) -> None:
        self._form, self._group = form, group
        # Of functions, not of methods: in a cycle with this object, files would stay open until the garbage is collected.
        self._records = chain.from_iterable(chain.from_iterable(map(partial(_runs, form), group)))

    def __iter__(self) -> Iterator[Any]:
        return self._records  # without this object's frame for each record

    def __next__(self) -> Any:
        return next(self._records)

    def count(self) -> int:
        return sum(map(self._counted, self._group))

    def _counted(self, piece: Piece) -> int:
        costs = counting()
        began, counted_s = perf_counter(), costs.counted_s
        with _errors_of(self._form, piece):
            count = self._form.count(piece)
        costs.add_rest("parse_s", began, counted_s)
        costs.note("input_records", count)
        return count


def _runs(form: RecordFormat, piece: Piece) -> Iterator[SizedRun]:
    with _errors_of(form, piece):
        yield from counted(form.read(piece))


@contextmanager
def _errors_of(form: RecordFormat, piece: Piece) -> Iterator[None]:
    try:
        yield
    except (MpirddError, MemoryError):
        raise
    except Exception as error:
        raise unreadable(form, piece.file, error) from error


def unreadable(form: RecordFormat, file: InputFile, error: Exception) -> InputError:
    """The error about a file that its library does not read."""
    if not file.size:
        return InputError(f"{file.path} is empty (0 bytes), so it is not {form.name}; remove it, or write it again")
    said = " ".join(str(error).split()) or type(error).__name__
    return InputError(
        f"{file.path} ({file.size:,} bytes) is not {form.name}, or it is damaged or cut short: {said}{_instead(form, file)}"
    )


def _instead(form: RecordFormat, file: InputFile) -> str:
    """What the file seems to be, where its first bytes say that it is something else."""
    try:
        with opened(file) as content:
            head = content.read(signatures.HEAD_BYTES) or b""
            content.seek(max(0, file.size - signatures.TAIL_BYTES))
            tail = content.read(signatures.TAIL_BYTES) or b""
    except InputError:
        return ""
    other = signatures.other_format(head, lambda: tail)
    kind = (other or "").partition(":")[0]
    is_its_own = kind.lower() in form.name.lower() or (".npz" in kind and ".npz" in form.name)
    return f". It begins as {other}" if other and not is_its_own else ""

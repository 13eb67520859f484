"""Cuts a task's data into pieces. Each piece is encoded, written and read back as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from mpirdd.store.measure import size_of
from mpirdd.store.task_memory import TaskMemory

Cut = Callable[[list[Any]], Iterator[Any]]
"""Records -> pieces of them."""
CutColumns = Callable[[list[Any], list[Any]], Iterator[tuple[list[Any], list[Any]]]]
"""Keys and values -> keys and values of each piece."""

_MOST_PIECE_BYTES = 4 << 20
_CAREFULLY = 128
"""Records measured at a time if each may be large: the sample then includes all of them."""


def piece_bytes(memory: TaskMemory) -> int:
    """The size of a piece in memory: small beside the limit, because merging holds one piece of each run."""
    return max(1 << 14, min(_MOST_PIECE_BYTES, memory.limit_bytes // 64))


def per_piece(count: int, size_bytes: int, memory: TaskMemory) -> int:
    """How many of ``count`` things, which take ``size_bytes`` together, make one piece; at least one."""
    return per_part(count, size_bytes, piece_bytes(memory))


def per_part(count: int, size_bytes: int, most: int) -> int:
    """How many of ``count`` things, which take ``size_bytes`` together, take ``most`` bytes; at least one."""
    return max(1, count * most // max(1, size_bytes))


def slices(records: list[Any], step: int) -> Iterator[list[Any]]:
    """A list cut into lists of ``step`` records; none for an empty list."""
    if len(records) <= step:
        return iter((records,) if records else ())
    return (records[begin : begin + step] for begin in range(0, len(records), step))


def slices_of_columns(keys: list[Any], values: list[Any], step: int) -> Iterator[tuple[list[Any], list[Any]]]:
    """The same for keys and their values."""
    return zip(slices(keys, step), slices(values, step), strict=True)


def bounded(records: list[Any], size_bytes: int, most: int) -> Iterator[list[Any]]:
    """Records that take ``size_bytes`` together, cut into pieces of about ``most`` bytes, though some may be much larger than
    others, and some cannot be measured. Costs nothing if all make one piece."""
    pieces = slices(records, per_part(len(records), size_bytes, most))
    if size_bytes < 2 * most:
        return pieces
    return chain.from_iterable(measured_pieces(piece, most) for piece in pieces)


def measured_columns(keys: list[Any], values: list[Any], memory: TaskMemory) -> Iterator[tuple[list[Any], list[Any]]]:
    """``measured_pieces`` for keys and their values."""
    for piece in measured_pieces(list(zip(keys, values, strict=True)), piece_bytes(memory)):
        yield [key for key, _ in piece], [value for _, value in piece]


def measured_pieces(records: list[Any], most: int) -> Iterator[list[Any]]:
    """A list cut into pieces of at most ``most`` bytes, or of one record, even if some records are much larger than others.
    Measuring costs 2 us a record."""
    left = list(slices(records, _CAREFULLY))[::-1]
    piece: list[Any] = []
    size = 0
    while left:
        more = left.pop()
        more_size = size_of(more)
        if more_size > most and len(more) > 1:
            middle = len(more) // 2
            left += (more[middle:], more[:middle])
            continue
        if piece and size + more_size > most:
            yield piece
            piece, size = [], 0
        piece += more
        size += more_size
    if piece:
        yield piece

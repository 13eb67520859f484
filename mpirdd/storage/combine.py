"""Combining by key, in memory and beyond it: the hot loops of the engine.

``combined`` runs on the map side and gives what it has whenever memory runs out: the other side merges.
``aggregated`` runs on the reduce side and is external: when memory runs out, what has been merged so far is spread over
some files by a hash of the key, and each of them is aggregated on its own at the end, by the same method with another
hash. (The hash aggregation of G. Graefe, "Query Evaluation Techniques for Large Databases", ACM Computing Surveys
25(2), 1993, section 4; the files are all written at a refusal, and not from the first overflow on, so that hot keys
go on being merged in memory. Where merging has made less than half of what came, the rest is spread as it comes.)

The loops are plain functions on local variables. A record that is not a pair, or a key that cannot be hashed,
raises from inside them; only then is the record looked at to say so in the user's words, so the check costs
good records nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from xxhash import xxh3_64_intdigest

from mpirdd.storage.gauge import Gauge, per_piece
from mpirdd.storage.measure import size_of
from mpirdd.storage.spilledlist import Columns, SpilledList
from mpirdd.storage.workspace import Workspace
from mpirdd.words.errors import RecordError

Pair = tuple[Any, Any]
Piece = list[Pair] | Columns
Parts = tuple[list[list[Any]], list[list[Any]]]
"""Keys and values by file."""

NOTHING: Any = object()
"""Stands for the record before the first: what makes the records may itself raise, and then no record is to blame."""


@dataclass(frozen=True, slots=True)
class Combiner:
    """How the values of a key become one: the three functions of Spark's combineByKey."""

    create: Callable[[Any], Any] | None
    """First value -> combiner; None where the first value is the combiner."""
    merge_value: Callable[[Any, Any], Any]
    """(combiner, value) -> combiner; may change and return its first argument."""
    merge_combiners: Callable[[Any, Any], Any]
    """(combiner, combiner) -> combiner; may change and return its first argument."""
    operation: str
    """For error messages: the name of the RDD operation."""
    groups: bool = False
    """The combiners are the lists of all values (``storage/grouping.py``); the functions are not called."""


def combine(combiner: Combiner, records: Iterable[Pair], combined: dict[Any, Any] | None = None) -> dict[Any, Any]:
    """key -> combiner, keys in the order of their first record; added to ``combined``, where that is given."""
    combined = {} if combined is None else combined
    create, merge_value = combiner.create, combiner.merge_value
    record = NOTHING
    try:
        if create is None:
            for record in records:
                key, value = record
                if key in combined:
                    combined[key] = merge_value(combined[key], value)
                else:
                    combined[key] = value
        else:
            for record in records:
                key, value = record
                if key in combined:
                    combined[key] = merge_value(combined[key], value)
                else:
                    combined[key] = create(value)
    except (TypeError, ValueError) as error:
        blame(record, combiner.operation, error)
        raise
    return combined


def merge(combiner: Combiner, records: Iterable[Pair], merged: dict[Any, Any] | None = None) -> dict[Any, Any]:
    """Combine records that are combiners already; added to ``merged``, where that is given."""
    merged = {} if merged is None else merged
    merge_combiners = combiner.merge_combiners
    for key, value in records:
        if key in merged:
            merged[key] = merge_combiners(merged[key], value)
        else:
            merged[key] = value
    return merged


def combined(
    combiner: Combiner, records: Iterator[Pair], workspace: Workspace
) -> Iterator[tuple[dict[Any, Any], int, bool]]:
    """Dictionaries as ``combine`` gives, as large as working memory allows: (dictionary, its bytes, whether it is the
    last). The same key may come in several of them. Each is the caller's until it asks for the next."""
    gauge, weight = Gauge(workspace), Weight()
    held: dict[Any, Any] = {}
    size = 0
    try:
        while True:
            combine(combiner, islice(records, gauge.batch), held)
            record = next(records, NOTHING)
            if record is NOTHING:
                yield held, size or size_of(held), True
                return
            combine(combiner, (record,), held)
            size = weight.of(held, record[0])
            if not gauge.look(size, gauge.batch + 1):
                yield held, size, False
                held, size, weight = {}, 0, Weight()
                gauge.emptied()
    finally:
        gauge.emptied()


def aggregated(combiner: Combiner, pieces: Iterable[Piece], workspace: Workspace) -> Iterator[Pair]:
    """The pairs of ``merge``, in its order as long as they fit into memory, else in no order."""
    return chain.from_iterable(_aggregated(combiner, pieces, workspace))


def aggregated_pairs(combiner: Combiner, records: Iterator[Pair], workspace: Workspace) -> Iterator[Pair]:
    """The pairs of ``combine``, likewise."""
    flushes = combined(combiner, records, workspace)
    held, _, is_last = next(flushes)
    if is_last:
        return chain(held.items(), (item for more, _, _ in flushes for item in more.items()))  # gives the claim back
    return aggregated(combiner, chain([list(held.items())], (list(more.items()) for more, _, _ in flushes)), workspace)


def _aggregated(
    combiner: Combiner, pieces: Iterable[Piece], workspace: Workspace
) -> Iterator[Iterable[Pair]]:
    gauge = Gauge(workspace)
    left: list[tuple[Iterator[Piece], int]] = [(iter(pieces), 0)]
    try:
        while left:
            rest, depth = left.pop()
            held: dict[Any, Any] = {}
            weight, added, merged = Weight(), 0, 0
            files: list[SpilledList] = []
            for piece in rest:
                merge(combiner, piece, held)
                added += len(piece)
                if added < gauge.batch:
                    continue
                size = weight.of(held, piece[-1][0])
                merged += added
                # A single key's combiner must be in memory by its nature, and keys of one hash cannot be told apart.
                if gauge.look(size, added) or len(held) == 1 or depth == DEEPEST:
                    added = 0
                    continue
                files = files or new_files(workspace)
                spread(held, size, depth, files, workspace)
                hardly_smaller = 2 * len(held) > merged
                held, weight, added, merged = {}, Weight(), 0, 0
                gauge.emptied()
                if hardly_smaller:
                    _spread_all(rest, depth, files, gauge, workspace)
            if files:
                spread(held, size_of(held), depth, files, workspace)
                left += [(file.columns(), depth + 1) for file in reversed(files) if len(file)]
            else:
                yield held.items()
            del held
            gauge.emptied()
    finally:
        gauge.emptied()


class Weight:
    """The size of a dictionary that grows by key. A sample of its items may miss the one key that has most of the
    values; but a key that has many comes up often, so those that were met last are measured too."""

    def __init__(self) -> None:
        self._watched: dict[Any, None] = {}

    def of(self, held: dict[Any, Any], met: Any) -> int:
        """Bytes; ``met`` is the key of the latest record."""
        self._watched[met] = None
        watched = [held[key] for key in self._watched]
        if len(watched) > _WATCHED:
            sizes = dict(zip(self._watched, map(size_of, watched), strict=True))
            del self._watched[min(sizes, key=sizes.__getitem__)]
        return size_of((held, watched))


_WATCHED = 6

FILES = 16
"""Sub-partitions at each depth; ``spread`` takes 4 bits of a hash."""
DEEPEST = 8
"""Depth at which records are no longer spread: keys that lie together in a part in 16**8 have the same hash."""

_FACTORS = [xxh3_64_intdigest(b"factor", depth) | 1 for depth in range(DEEPEST + 1)]


def new_files(workspace: Workspace) -> list[SpilledList]:
    file = workspace.spill_file()
    return [SpilledList(file) for _ in range(FILES)]


def spread(held: dict[Any, Any], size: int, depth: int, files: list[SpilledList], workspace: Workspace) -> None:
    """Append the items to the files by a hash of the key that is another one at each depth.

    Python's own hash decides: it never leaves this process, and agrees with the dictionary on what keys are equal. It is
    multiplied by an odd number of 64 bits, and the highest 4 of the lowest 64 bits tell the file (Fibonacci hashing,
    D. E. Knuth, The Art of Computer Programming, vol. 3, 6.4): 100 ns, where mixing by XXH3 takes 300.
    """
    parts = no_parts()
    add_to_parts(held.items(), depth, parts)
    _write(parts, len(held), size, files, workspace)


def _spread_all(
    pieces: Iterator[Piece], depth: int, files: list[SpilledList], gauge: Gauge, workspace: Workspace
) -> None:
    """Append all pairs to the files, unmerged; as many at once as working memory holds."""
    parts = no_parts()
    count = added = 0
    for piece in pieces:
        add_to_parts(piece, depth, parts)
        added += len(piece)
        if added < gauge.batch:
            continue
        count += added
        size = size_of(parts)
        if not gauge.look(size, added):
            _write(parts, count, size, files, workspace)
            parts, count = no_parts(), 0
            gauge.emptied()
        added = 0
    _write(parts, count + added, size_of(parts), files, workspace)
    gauge.emptied()


def no_parts() -> Parts:
    return [[] for _ in range(FILES)], [[] for _ in range(FILES)]


def add_to_parts(pairs: Iterable[Pair], depth: int, parts: Parts) -> None:
    """Add the pairs to the parts that they belong to. Two appends take less than half of the time of one of a new pair."""
    keys, values = parts
    factor = _FACTORS[depth]
    for key, value in pairs:
        at = hash(key) * factor >> 60 & 15
        keys[at].append(key)
        values[at].append(value)


def _write(parts: Parts, count: int, size: int, files: list[SpilledList], workspace: Workspace) -> None:
    step = per_piece(count, size, workspace)
    for file, keys, values in zip(files, *parts, strict=True):
        file.write_pairs(keys, values, step)


def blame(record: Any, operation: str, error: Exception) -> None:
    """Raise RecordError from ``error`` if the record's shape explains it; return if it does not."""
    if record is NOTHING:
        return
    try:
        key, _ = record
    except (TypeError, ValueError):
        raise RecordError(
            f"{operation} needs (key, value) pairs; got {_show(record)}. Make pairs first, with map or keyBy."
        ) from error
    try:
        hash(key)
    except TypeError:
        raise RecordError(
            f"{operation} needs keys that can be hashed; got {_show(key)}. Use a tuple instead of a list, "
            "a frozenset instead of a set, or a string."
        ) from error


def _show(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"

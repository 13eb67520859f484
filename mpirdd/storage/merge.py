"""Combining by key, on both sides of a shuffle: the hot loops of the engine.

``scatter`` runs in map tasks: combine where there is a combiner, then cut into buckets and encode.
``gather`` runs in reduce tasks: decode the buckets in the order of their map tasks, and merge.

The loops are plain functions on local variables. A record that is not a pair, or a key that cannot be hashed,
raises from inside them; only then is the record looked at to say so in the user's words, so the check costs
good records nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from mpirdd.storage.codec import decode, encode
from mpirdd.storage.workspace import Workspace
from mpirdd.words.errors import RecordError
from mpirdd.words.transport import Frames

Pair = tuple[Any, Any]

NOTHING: Any = object()
"""Stands for the record before the first: what makes the records may itself raise, and then no record is to blame."""


class Splitter(Protocol):
    """What the map side needs of a partitioner."""

    @property
    def num_partitions(self) -> int: ...

    def split(self, records: Iterable[Any], source: int) -> list[list[Any]]:
        """The records by reduce partition, in order; ``source`` is the map task's partition."""


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


def scatter(
    splitter: Splitter, combiner: Combiner | None, source: int, records: Iterable[Any], workspace: Workspace
) -> list[list[Frames | None]]:
    """The packs of one map task; each holds an encoded bucket for each reduce partition, or None."""
    if combiner is not None:
        records = combine(combiner, records).items()
    return [[encode(bucket) if bucket else None for bucket in splitter.split(records, source)]]


def gather(combiner: Combiner | None, buckets: Iterable[Frames], workspace: Workspace) -> Iterator[Any]:
    """The records of one reduce partition."""
    records = chain.from_iterable(map(decode, buckets))
    if combiner is None:
        return records
    return iter(merge(combiner, records).items())


def combine(combiner: Combiner, records: Iterable[Pair]) -> dict[Any, Any]:
    """key -> combiner, keys in the order of their first record."""
    combined: dict[Any, Any] = {}
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


def merge(combiner: Combiner, records: Iterable[Pair]) -> dict[Any, Any]:
    """Combine records that are combiners already."""
    merged: dict[Any, Any] = {}
    merge_combiners = combiner.merge_combiners
    for key, value in records:
        if key in merged:
            merged[key] = merge_combiners(merged[key], value)
        else:
            merged[key] = value
    return merged


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

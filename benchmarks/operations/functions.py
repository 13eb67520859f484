"""The user's functions of both sides, and what both sides do with the records that come out."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks.operations import Parts
from mpirdd.api.rdd import RDD


def add(a: Any, b: Any) -> Any:
    return a + b


def larger(a: Any, b: Any) -> Any:
    return a if a >= b else b


def next_one(x: Any) -> Any:
    return x + 1


def is_even(x: Any) -> Any:
    return x % 2 == 0


def twice(x: Any) -> Any:
    return (x, x)


def with_one(x: Any) -> Any:
    return (x, 1)


def tens(x: Any) -> Any:
    return x % FEW_GROUPS


def negative(x: Any) -> Any:
    return -x


def in_list(x: Any) -> Any:
    return [x]


def append(values: Any, x: Any) -> Any:
    values.append(x)
    return values


def extend(values: Any, more: Any) -> Any:
    values.extend(more)
    return values


FEW_GROUPS = 1_000


def listed(records: Iterable[Any]) -> Iterator[int]:
    """Takes all records into a list, and gives their number."""
    yield len(list(records))


def made(rdd: RDD) -> Any:
    """Compute the records of a transformation, in a list for each partition; their number."""
    return rdd.mapPartitions(listed).sum()


def made_by_hand(parts: Iterable[Iterable[Any]]) -> int:
    """The same of the loop's records: it calls the same function, which takes them into a list of its own."""
    return sum(sum(listed(part)) for part in parts)


def buckets(parts: Iterable[Iterable[Any]], count: int, place: Callable[[Any], int]) -> list[list[bytes]]:
    """The shuffle by hand, first half: (key, value) records by ``place(key) % count``, pickled; one list for each part."""
    written = []
    for part in parts:
        cut: list[list[Any]] = [[] for _ in range(count)]
        for record in part:
            cut[place(record[0]) % count].append(record)
        written.append([pickle.dumps(bucket, 5) for bucket in cut])
    return written


def arrived(written: list[list[bytes]]) -> Iterator[Iterator[list[Any]]]:
    """Its second half: for each reduce partition the lists of records that it gets."""
    for pieces in zip(*written, strict=True):
        yield map(pickle.loads, pieces)


def moved(parts: Parts, place: Callable[[Any], int]) -> list[list[Any]]:
    """Both halves: all (key, value) records by key."""
    return [[record for piece in pieces for record in piece] for pieces in arrived(buckets(parts, len(parts), place))]

"""Partitioners: which partition of a shuffle a record goes to, as frozen values.

Equal partitioners whose ``groups_keys`` is True put equal keys into the same partition of any RDD, so RDDs
that share one join without moving. Functions in them are compared by ``==``, as PySpark does.

``split`` is the engine's hottest loop beside the combiner's: it hands each record object on as it is, and
looks for what is wrong with one only after something raised. What a user's function or the records' iterator
raises passes through unchanged; a record that is at fault itself raises RecordError.

For sorts, ``sample_keys`` and ``range_bounds`` choose the bounds. A key that alone would fill a partition
gets *shares* of several, and is dealt out among them in the order of its records, so that a sort of equal
keys uses all ranks and still is stable.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from operator import itemgetter
from random import Random
from typing import Any, NamedTuple

from xxhash import xxh3_64_intdigest

from mpirdd.decisions.hashing import shown, stable_hash
from mpirdd.words.errors import RecordError, UsageError

Buckets = list[list[Any]]
"""One list of records for each target partition."""

_NOTHING: Any = object()
_CHUNK = 1024
"""Keys that ``sample_keys`` takes at a time: enough to leave the work to C, few enough to hold."""


@dataclass(frozen=True)
class Partitioner(ABC):
    """Keys to partitions ``0 .. num_partitions - 1``, the same on every rank."""

    num_partitions: int

    def __post_init__(self) -> None:
        if self.num_partitions < 1:
            raise UsageError(f"the number of partitions must be at least 1, not {self.num_partitions}")

    @property
    def groups_keys(self) -> bool:
        """Is every key in one partition only? Where not, equal partitioners do not mean co-partitioned."""
        return True

    @abstractmethod
    def __call__(self, key: Any) -> int:
        """The partition of ``key``; the first of them where a key has several. Raises RecordError."""

    @abstractmethod
    def split(self, records: Iterable[Any], source: int) -> Buckets:
        """The (key, value) records of map partition ``source``, by target partition.

        The records of one key keep their order.
        """


@dataclass(frozen=True)
class HashPartitioner(Partitioner):
    """``stable_hash(key) % num_partitions``."""

    def __call__(self, key: Any) -> int:
        return stable_hash(key) % self.num_partitions

    def split(self, records: Iterable[Any], source: int) -> Buckets:
        # ns a record on Python 3.11, 8 partitions: str 140, int 105, float 245, (int, int) 515. The branches
        # inline stable_hash for the two common types: calling it costs 90 more. Whole chunks at once through
        # map() and numpy were slower (str 160, int 125).
        buckets: Buckets = [[] for _ in range(self.num_partitions)]
        partitions, text_hash, any_hash = self.num_partitions, xxh3_64_intdigest, stable_hash
        record = _NOTHING
        try:
            for record in records:
                if type(record) is not tuple:
                    _check_pair(record)
                key, _ = record
                kind = type(key)
                if kind is str:
                    try:
                        place = text_hash(key.encode())
                    except UnicodeEncodeError:  # lone surrogates; asking encode to let them pass costs 15 ns
                        place = any_hash(key)
                elif kind is int:
                    place = hash(key)
                else:
                    place = any_hash(key)
                buckets[place % partitions].append(record)
        except (TypeError, ValueError):
            _check_pair(record)
            raise
        return buckets


@dataclass(frozen=True)
class FunctionPartitioner(Partitioner):
    """``function(key) % num_partitions``, the function being the user's."""

    function: Callable[[Any], int]

    def __call__(self, key: Any) -> int:
        place = self.function(key)
        self._check_place(key, place)
        return int(place % self.num_partitions)

    def split(self, records: Iterable[Any], source: int) -> Buckets:
        buckets: Buckets = [[] for _ in range(self.num_partitions)]
        partitions, function = self.num_partitions, self.function
        record = place = nothing = _NOTHING
        try:
            for record in records:
                if type(record) is not tuple:
                    _check_pair(record)
                key, _ = record
                place = nothing  # so that what an earlier key gave is not blamed on this one
                place = function(key)
                buckets[place % partitions].append(record)
        except (TypeError, ValueError):
            _check_pair(record)
            if place is not _NOTHING:
                self._check_place(record[0], place)
            raise
        return buckets

    def _check_place(self, key: Any, place: Any) -> None:
        if not hasattr(place, "__index__"):
            name = getattr(self.function, "__qualname__", repr(self.function))
            raise RecordError(
                f"partitionFunc {name} must return an int; for the key {shown(key)} it gave {shown(place)}"
            ) from None


class Bound(NamedTuple):
    """The greatest sort key of a partition, in ascending order."""

    key: Any
    share: float = 1.0
    """The part of the key's records that go to this partition or to earlier ones: above 0, at most 1."""


@dataclass(frozen=True)
class RangePartitioner(Partitioner):
    """Partitions by rising (or falling) sort key: all of partition i sorts before all of partition i + 1.

    A stable sort of each partition, its records taken in the order of their map partitions, is a stable sort
    of all.
    """

    bounds: tuple[Bound, ...]
    """From ``range_bounds``: ascending whatever ``ascending`` says, and fewer than ``num_partitions``."""
    ascending: bool = True
    keyfunc: Callable[[Any], Any] | None = None
    """Key -> what to sort by; None sorts by the key."""
    sources: int = 1
    """Map partitions in all: a key with shares in several partitions is dealt out in their order."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.bounds) >= self.num_partitions:
            raise UsageError(f"{len(self.bounds)} bounds make more than {self.num_partitions} partitions")

    def __hash__(self) -> int:  # sort keys need not be hashable
        return hash((self.num_partitions, len(self.bounds), self.ascending, self.keyfunc, self.sources))

    @property
    def groups_keys(self) -> bool:
        # A keyfunc may tell equal keys apart: str does so with 1 and 1.0.
        return self.keyfunc is None and not self._shared

    def __call__(self, key: Any) -> int:
        sort_key = key if self.keyfunc is None else self.keyfunc(key)
        self._check_order(sort_key)
        first = last = bisect_left(self._keys, sort_key)
        if first in self._shared and not sort_key < self._keys[first]:
            last = bisect_right(self._keys, sort_key)
        return first if self.ascending else self.num_partitions - 1 - last

    def split(self, records: Iterable[Any], source: int) -> Buckets:
        # ns a record on Python 3.11, 8 partitions: str 135, int 120, int with a shared key 125.
        assert 0 <= source < self.sources, f"source {source} of {self.sources}"
        buckets: Buckets = [[] for _ in range(self.num_partitions)]
        keys, keyfunc, find = self._keys, self.keyfunc, bisect_left
        shared: dict[int, list[Any]] = {first: [] for first in self._shared}
        record = sort_key = nothing = _NOTHING
        try:
            for record in records:
                if type(record) is not tuple:
                    _check_pair(record)
                sort_key, _ = record
                if keyfunc is not None:
                    key, sort_key = sort_key, nothing
                    sort_key = keyfunc(key)
                place = find(keys, sort_key)
                if place in shared and not sort_key < keys[place]:
                    shared[place].append(record)
                else:
                    buckets[place].append(record)
        except (TypeError, ValueError):
            _check_pair(record)
            if sort_key is not _NOTHING:
                self._check_order(sort_key)
            raise
        for first, equals in shared.items():
            self._deal(equals, first, source, buckets)
        if not self.ascending:
            buckets.reverse()
        return buckets

    def _deal(self, equals: list[Any], first: int, source: int, buckets: Buckets) -> None:
        """Add the records of a shared key to the partitions that it has shares of, which begin at ``first``.

        They are this source's stretch, of length 1 / sources, of all records of the key, taken to be as many
        in every source. What the buckets hold by now are other keys, so appending keeps the order that split
        promises.
        """
        last = bisect_right(self._keys, self._keys[first])
        places = range(first, last + 1)
        shares = [bound.share for bound in self.bounds[first:last]]
        if not self.ascending:  # the greatest keys come first, but equal ones stay in their order
            places = places[::-1]
            shares = [1.0 - share for share in reversed(shares)]
        begin = 0
        for place, share in zip(places, [*shares, 1.0], strict=True):
            end = round((share * self.sources - source) * len(equals))
            end = min(max(end, begin), len(equals))
            buckets[place].extend(equals[begin:end])
            begin = end

    @cached_property
    def _keys(self) -> list[Any]:
        return [bound.key for bound in self.bounds]

    @cached_property
    def _shared(self) -> frozenset[int]:
        """Where the bounds of a shared key begin. All its bounds but the last have shares below 1."""
        return frozenset(bisect_left(self._keys, bound.key) for bound in self.bounds if bound.share < 1.0)

    def _check_order(self, sort_key: Any) -> None:
        try:
            bisect_left(self._keys, sort_key)
        except TypeError as error:
            raise _not_comparable(error) from None


def sample_keys(keys: Iterable[Any], size: int, seed: int) -> tuple[int, list[Any]]:
    """How many keys there are, and ``size`` of them (or all), each with the same chance, in no order.

    Algorithm L (Li 1994, "Reservoir-sampling algorithms of time complexity O(n(1 + log(N/n)))"): it draws how
    many keys to skip, so that all but the few taken cost 5-15 ns beyond their own making. Whole records will
    do for keys: then only the few that are taken need their key extracted.
    """
    if size < 1:
        raise UsageError(f"the size of a sample must be at least 1, not {size}")
    iterator = iter(keys)
    chosen = list(islice(iterator, size))
    count = len(chosen)
    random = Random(seed).random
    threshold = _draw(random) ** (1 / size)
    taken = count + _skip(random, threshold)
    while chunk := list(islice(iterator, _CHUNK)):
        while taken < count + len(chunk):
            chosen[int(random() * size)] = chunk[taken - count]
            threshold *= _draw(random) ** (1 / size)
            taken += 1 + _skip(random, threshold)
        count += len(chunk)
    return count, chosen


def _draw(random: Callable[[], float]) -> float:
    return 1.0 - random()  # above 0, for the logarithm


def _skip(random: Callable[[], float], threshold: float) -> int:
    return math.floor(math.log(_draw(random)) / math.log1p(-threshold)) if threshold < 1.0 else 0


def range_bounds(samples: Iterable[tuple[int, Sequence[Any]]], num_partitions: int) -> tuple[Bound, ...]:
    """Bounds that cut into equal parts what ``sample_keys`` gave for the sort keys of each map partition.

    There are ``num_partitions - 1`` of them, or none where the samples are empty. A sampled key weighs as
    much as the records it stands for, so small and large map partitions may have samples of one size, as in
    Spark. A key that weighs as much as a partition or more is repeated, with shares; any other goes whole to
    one partition, which therefore holds less than two parts of the sample.
    """
    weighted = [(key, count / len(keys)) for count, keys in samples for key in keys]
    try:
        weighted.sort(key=itemgetter(0))
    except TypeError as error:
        raise _not_comparable(error) from None
    total = math.fsum(weight for _, weight in weighted)
    bounds: list[Bound] = []
    below = 0.0
    for key, weight in _merged(weighted):
        heavy = weight >= total / num_partitions
        while len(bounds) < num_partitions - 1:
            cut = total * (len(bounds) + 1) / num_partitions
            if cut > below + weight:
                break
            share = (cut - below) / weight if heavy else 1.0
            bounds.append(Bound(key, min(share, 1.0)))
        below += weight
    return tuple(bounds)


def _merged(weighted: list[tuple[Any, float]]) -> Iterator[tuple[Any, float]]:
    """Each key of a sorted list once, with its weight in all. Like sorting, it asks only ``<`` of keys."""
    run, weight = _NOTHING, 0.0
    for key, more in weighted:
        if run is _NOTHING or run < key:
            if run is not _NOTHING:
                yield run, weight
            run, weight = key, 0.0
        weight += more
    if run is not _NOTHING:
        yield run, weight


def _not_comparable(error: TypeError) -> RecordError:
    return RecordError(f"the sort keys have no order: {error}; give a keyfunc whose results can be compared")


def _check_pair(record: Any) -> None:
    """Raise RecordError unless the record is a pair. Text of two characters unpacks into two, but is none."""
    if record is _NOTHING:
        return
    try:
        _, _ = record
    except (TypeError, ValueError):
        is_pair = False
    else:
        is_pair = not isinstance(record, str | bytes | bytearray | dict | set | frozenset)
    if not is_pair:
        raise RecordError(
            f"needs (key, value) pairs; got {shown(record)}. Make pairs first, with map or keyBy."
        ) from None

"""Partitioners: which partition of a shuffle a record goes to, as frozen values.

Equal partitioners put equal keys into the same partition of any RDD, so RDDs that share one join without moving
(not so those for sorts, which RDDs do not tell of). Functions in them are compared by ``==``, as PySpark does.

``split`` is the engine's hottest loop beside the combiner's: it hands each record object on as it is, and
looks for what is wrong with one only after something raised. What a user's function or the records' iterator
raises passes through unchanged; a record that is at fault itself raises RecordError.

For sorts, ``sample_keys`` and ``range_bounds`` choose the bounds. A key that alone would fill a partition is
*shared* by several: dealt out among them in the order of its records, so that a sort of equal keys uses all
ranks and still is stable.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
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

    @abstractmethod
    def __call__(self, key: Any) -> int:
        """The partition of ``key``; the first of them where a key has several. Raises RecordError."""

    @abstractmethod
    def split(self, records: Iterable[Any], source: int, first: int = 0) -> Buckets:
        """(key, value) records of map partition ``source``, by target partition; ``first`` others came before.

        The records of one key keep their order.
        """


@dataclass(frozen=True)
class HashPartitioner(Partitioner):
    """``stable_hash(key) % num_partitions``."""

    def __call__(self, key: Any) -> int:
        return stable_hash(key) % self.num_partitions

    def split(self, records: Iterable[Any], source: int, first: int = 0) -> Buckets:
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

    def split(self, records: Iterable[Any], source: int, first: int = 0) -> Buckets:
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
    """Where one partition of a sort ends and the next begins."""

    key: Any
    """The last sort key of the partition: the greatest of an ascending sort."""
    until: float = math.inf
    """Which records of a shared key go no later than here: 2.25 means those of map partitions 0 and 1, and
    the first quarter of those of map partition 2."""


@dataclass(frozen=True)
class RangePartitioner(Partitioner):
    """Partitions by rising (or falling) sort key: all of partition i sorts before all of partition i + 1.

    A stable sort of each partition, its records taken in the order of their map partitions, is a stable sort
    of all.
    """

    bounds: tuple[Bound, ...]
    """In the order of the partitions, one less than these or fewer; from ``range_bounds``, told the same
    ``ascending``."""
    ascending: bool = True
    keyfunc: Callable[[Any], Any] | None = None
    """Key -> what to sort by; None sorts by the key."""
    of_pairs: bool = True
    """Records are pairs, which have a key; else each record is its own."""
    counts: tuple[int, ...] = ()
    """Records in each map partition, where they may come in several parts: tells which stretch a part is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        assert len(self.bounds) < self.num_partitions
        # Their order is not asserted: NaN among the keys leaves none, as in sorted().

    def __hash__(self) -> int:  # sort keys need not be hashable
        return hash((self.num_partitions, len(self.bounds), self.ascending, self.keyfunc))

    def __call__(self, key: Any) -> int:
        sort_key = key if self.keyfunc is None else self.keyfunc(key)
        self._check_order(sort_key)
        place = self._find(self._keys, sort_key)
        return place if self.ascending else len(self.bounds) - place

    def split(self, records: Iterable[Any], source: int, first: int = 0) -> Buckets:
        # Sorted here and cut at the bounds, they need no search each, and the sort of the partition, which finds sorted
        # runs, has less to do: both together take 4/5 of the time of a search each and one sort.
        ordered = self._sorted(list(records))
        buckets: Buckets = []
        begin = 0
        for bound in self.bounds:
            end = bisect_left(ordered, True, begin, key=partial(self._is_behind, bound.key))
            buckets.append(ordered[begin:end])
            begin = end
        buckets.append(ordered[begin:])
        if self._shared:
            stretch = self._stretch(source, first, len(ordered))
            taken = [(self._take_equals(buckets[run.start], self.bounds[run.start].key), run) for run in self._shared]
            for equals, run in taken:
                self._deal(equals, run, *stretch, buckets)
        return buckets + [[] for _ in range(self.num_partitions - len(buckets))]

    def _sorted(self, records: list[Any]) -> list[Any]:
        if self.of_pairs:
            for record in records:
                if type(record) is not tuple or len(record) != 2:
                    _check_pair(record)
        try:
            return sorted(records, key=self.key, reverse=not self.ascending)
        except TypeError as error:
            for record in records:
                self._check_order(self.key(record))  # where the key function fails, that is what the user is to see
            raise _not_comparable(error) from None

    def _take_equals(self, bucket: list[Any], bound: Any) -> list[Any]:
        """The records that tie with the bucket's bound, which are its last, are taken out."""
        begin = bisect_left(bucket, True, key=partial(self._has_reached, bound))
        equals = bucket[begin:]
        del bucket[begin:]
        return equals

    def _is_behind(self, bound: Any, record: Any) -> bool:
        key = self.key(record)
        return bool(bound < key if self.ascending else key < bound)

    def _has_reached(self, bound: Any, record: Any) -> bool:
        key = self.key(record)
        return not (key < bound if self.ascending else bound < key)

    @cached_property
    def key(self) -> Callable[[Any], Any]:
        """Record -> what to sort by."""
        keyfunc = _same if self.keyfunc is None else self.keyfunc
        if not self.of_pairs:
            return keyfunc
        return itemgetter(0) if self.keyfunc is None else partial(_of_pair, keyfunc)

    def _stretch(self, source: int, first: int, count: int) -> tuple[float, float]:
        """Where ``count`` records, after the first ``first``, begin and end in the source, as ``Bound.until`` counts."""
        expected = self.counts[source] if source < len(self.counts) else 0
        if first == 0 and count >= expected:
            return float(source), source + 1.0
        return source + min(first / max(1, expected), 1.0), source + min((first + count) / max(1, expected), 1.0)

    def _deal(self, equals: list[Any], run: range, begin: float, end: float, buckets: Buckets) -> None:
        """Add records of a shared key, the source's from ``begin`` to ``end``, to the partitions that end or begin
        within the key.

        What their buckets hold by now are other keys, so appending keeps the order that split promises.
        """
        dealt = 0
        for place in run:
            bound = self.bounds[place].until
            reached = (bound - begin) / (end - begin) if end > begin else float(bound >= end)
            until = min(max(round(min(reached, 1.0) * len(equals)), dealt), len(equals))
            buckets[place].extend(equals[dealt:until])
            dealt = until
        buckets[run.stop].extend(equals[dealt:])

    @property
    def _find(self) -> Callable[[list[Any], Any], int]:
        """Gives the partition of a sort key, counted from the end where the sort is descending."""
        return bisect_left if self.ascending else bisect_right

    @cached_property
    def _keys(self) -> list[Any]:
        """In ascending order, for bisect: keys need not have a negative to sort them the other way by."""
        keys = [bound.key for bound in self.bounds]
        return keys if self.ascending else keys[::-1]

    @cached_property
    def _shared(self) -> list[range]:
        """The runs of bounds that have one shared key each."""
        runs: list[range] = []
        for place, bound in enumerate(self.bounds):
            if bound.until == math.inf:
                continue
            if runs and runs[-1].stop == place and _equal(self.bounds[place - 1].key, bound.key):
                runs[-1] = range(runs[-1].start, place + 1)
            else:
                runs.append(range(place, place + 1))
        return runs

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


def range_bounds(
    samples: Iterable[tuple[int, Sequence[Any]]], num_partitions: int, *, ascending: bool = True
) -> tuple[Bound, ...]:
    """Bounds that cut the records into equal parts, going by samples of the sort keys of each map partition.

    The samples are as ``sample_keys`` gives them, in the order of the map partitions, empty ones too. There
    are ``num_partitions - 1`` bounds, or none where the samples are empty. A sampled key weighs as much as
    the records it stands for, so small and large map partitions may have samples of one size, as in Spark. A
    key that weighs as much as a partition or more is shared; any other goes whole to one partition, which
    therefore holds less than two parts of what was sampled.
    """
    weighted = [
        (key, source, count / len(keys)) for source, (count, keys) in enumerate(samples) for key in keys
    ]
    try:
        weighted.sort(key=itemgetter(0), reverse=not ascending)
    except TypeError as error:
        raise _not_comparable(error) from None
    total = math.fsum(weight for _, _, weight in weighted)
    bounds: list[Bound] = []
    before = 0.0
    for key, weights in _by_key(weighted):
        weight = sum(weights.values())
        is_shared = weight >= total / num_partitions
        while len(bounds) < num_partitions - 1:
            cut = total * (len(bounds) + 1) / num_partitions - before
            if cut > weight:
                break
            bounds.append(Bound(key, _reach(weights, cut)) if is_shared else Bound(key))
        before += weight
    return tuple(bounds)


def _by_key(weighted: list[tuple[Any, int, float]]) -> Iterator[tuple[Any, dict[int, float]]]:
    """Each key of a sorted list once, with its weight in each source that has it, in their order."""
    run: Any = _NOTHING
    weights: dict[int, float] = {}
    for key, source, weight in weighted:
        if weights and not _equal(run, key):
            yield run, weights
            weights = {}
        run = key
        weights[source] = weights.get(source, 0.0) + weight
    if weights:
        yield run, weights


def _reach(weights: dict[int, float], cut: float) -> float:
    """How far into the sources one gets with a weight of ``cut``, as ``Bound.until`` counts."""
    for source, weight in weights.items():
        if cut <= weight:
            return source + cut / weight
        cut -= weight
    return float(max(weights) + 1)  # rounding


def _same(record: Any) -> Any:
    return record


def _of_pair(keyfunc: Callable[[Any], Any], pair: Any) -> Any:
    return keyfunc(pair[0])


def _equal(one: Any, other: Any) -> bool:
    """Whether sort keys tie. Sorting asks only ``<`` of them, so nothing else does."""
    return not (one < other or other < one)


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

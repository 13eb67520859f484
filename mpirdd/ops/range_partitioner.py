"""The partitioner of sorts: partitions by rising or falling sort key.

``range_bounds.py`` chooses its bounds. Later operations do not learn of this partitioner, because equal keys may lie in several
of its partitions.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from operator import itemgetter
from typing import Any

from mpirdd.ops.partitioners import Partitioner
from mpirdd.ops.range_bounds import Bound, not_comparable, ties
from mpirdd.protocol.pairs import check_pair


@dataclass(frozen=True)
class RangePartitioner(Partitioner):
    """Partitions by rising (or falling) sort key: no key of partition i sorts after a key of partition i + 1.

    If each partition takes its records in the order of the map partitions and sorts them stably, all partitions together are a
    stable sort.
    """

    bounds: tuple[Bound, ...]
    """In the order of the partitions, at least one fewer than these; from ``range_bounds`` with the same ``ascending``."""
    ascending: bool = True
    keyfunc: Callable[[Any], Any] | None = None
    """Key -> sort key; None sorts by the key."""
    of_pairs: bool = True
    """Records are (key, value) pairs; otherwise each record is its own key."""
    counts: tuple[int, ...] = ()
    """Number of records of each map partition, needed if they come in several parts: tells which stretch a part is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        assert len(self.bounds) < self.num_partitions
        # The order of the bounds is not asserted: with NaN among the keys there is none, as in sorted().

    def __hash__(self) -> int:  # sort keys need not be hashable
        return hash((self.num_partitions, len(self.bounds), self.ascending, self.keyfunc))

    def __call__(self, key: Any) -> int:
        sort_key = key if self.keyfunc is None else self.keyfunc(key)
        self._check_order(sort_key)
        place = self._find(self._keys, sort_key)
        return place if self.ascending else len(self.bounds) - place

    def split(self, records: Iterable[Any], source: int, first: int = 0) -> list[list[Any]]:
        # Sorted here and cut at the bounds, records need no search each, and the sort of the partition, which finds sorted runs,
        # has less to do. Together this takes 4/5 of the time of a search for each record and one sort.
        ordered = self._sorted(list(records))
        nothing: list[Any] = []  # shared by all partitions, unless records will be dealt out
        buckets = [[] for _ in range(self.num_partitions)] if self._shared else [nothing] * self.num_partitions
        begin = place = 0
        while begin < len(ordered):
            place = self._place_of(ordered[begin], place)
            if place == len(self.bounds):
                buckets[place] = ordered[begin:]
                break
            end = bisect_left(ordered, True, begin, key=partial(self._is_behind, self.bounds[place].key))
            buckets[place] = ordered[begin:end]
            begin, place = end, place + 1
        if self._shared:
            stretch = self._stretch(source, first, len(ordered))
            taken = [(self._take_equals(buckets[run.start], self.bounds[run.start].key), run) for run in self._shared]
            for equals, run in taken:
                self._deal(equals, run, *stretch, buckets)
        return buckets

    def _place_of(self, record: Any, first: int) -> int:
        """The partition of the record: ``first`` or a later one. With few records and many partitions, a binary search skips
        most partitions at once."""
        if first == len(self.bounds) or not self._is_behind(self.bounds[first].key, record):
            return first
        return bisect_left(self.bounds, True, first + 1, key=lambda bound: not self._is_behind(bound.key, record))

    def _sorted(self, records: list[Any]) -> list[Any]:
        if self.of_pairs:
            for record in records:
                if type(record) is not tuple or len(record) != 2:
                    check_pair(record)
        try:
            return sorted(records, key=self.key, reverse=not self.ascending)
        except TypeError as error:
            for record in records:
                self._check_order(self.key(record))  # an error of the user's key function comes before ours
            raise not_comparable(error) from None

    def _take_equals(self, bucket: list[Any], bound: Any) -> list[Any]:
        """Remove and return the records that tie with the bucket's bound; they are its last."""
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
        """Record -> sort key."""
        keyfunc = _same if self.keyfunc is None else self.keyfunc
        if not self.of_pairs:
            return keyfunc
        return itemgetter(0) if self.keyfunc is None else partial(_of_pair, keyfunc)

    def _stretch(self, source: int, first: int, count: int) -> tuple[float, float]:
        """The stretch of the source that ``count`` records take, after the first ``first``; counted as in ``Bound.until``."""
        expected = self.counts[source] if source < len(self.counts) else 0
        if first == 0 and count >= expected:
            return float(source), source + 1.0
        return source + min(first / max(1, expected), 1.0), source + min((first + count) / max(1, expected), 1.0)

    def _deal(self, equals: list[Any], run: range, begin: float, end: float, buckets: list[list[Any]]) -> None:
        """Add records of a shared key, which lie from ``begin`` to ``end`` in the source, to the partitions that share the key.

        The buckets hold only other keys by now, so appending keeps the order that ``split`` promises.
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
        """Sort key -> its partition; counted from the end in a descending sort."""
        return bisect_left if self.ascending else bisect_right

    @cached_property
    def _keys(self) -> list[Any]:
        """In ascending order, for bisect: keys need not have a negative by which to sort them the other way."""
        keys = [bound.key for bound in self.bounds]
        return keys if self.ascending else keys[::-1]

    @cached_property
    def _shared(self) -> list[range]:
        """The runs of bounds that have the same shared key."""
        runs: list[range] = []
        for place, bound in enumerate(self.bounds):
            if bound.until == math.inf:
                continue
            if runs and runs[-1].stop == place and ties(self.bounds[place - 1].key, bound.key):
                runs[-1] = range(runs[-1].start, place + 1)
            else:
                runs.append(range(place, place + 1))
        return runs

    def _check_order(self, sort_key: Any) -> None:
        try:
            bisect_left(self._keys, sort_key)
        except TypeError as error:
            raise not_comparable(error) from None


def _same(record: Any) -> Any:
    return record


def _of_pair(keyfunc: Callable[[Any], Any], pair: Any) -> Any:
    return keyfunc(pair[0])

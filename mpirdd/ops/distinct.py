"""Distinct values: the two ends of the shuffle of ``distinct``, on keys without values.

All loops run in C. 1,000,000 distinct ints take as much CPU time as a loop written by hand, where pairs of a key and None took
6 times as much: no tuple is made, and buckets are lists of keys.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from itertools import chain, filterfalse, repeat
from operator import itemgetter
from sys import getsizeof
from typing import Any

from mpirdd.ops.combine import Combiner, aggregated
from mpirdd.ops.partitioners import Partitioner
from mpirdd.protocol.pairs import NOTHING, blame
from mpirdd.store.chunks import Chunks, lists_of, taken
from mpirdd.store.measure import size_of
from mpirdd.store.pieces import Cut, per_piece, slices
from mpirdd.store.spill_trigger import SpillTrigger
from mpirdd.store.spilled_list import Columns
from mpirdd.store.task_memory import TaskMemory

_STOPS = sys.version_info >= (3, 11)
"""``set.issuperset`` stops at the first value that the set lacks. Python 3.10 takes all values first, so its iterator would not
tell where; asking for each value takes 16 ns instead of 12."""
_AT_ONCE = 1 << 14
"""Values taken at a time: they stay in the processor's cache from the first pass to the last."""
_LOOK = 1 << 10
"""This many values at the start show whether all values may be different."""
_FEW = 8
"""If a batch has this many times as many values as are held, most likely none of them is new."""
_FEW_NEW = 64
"""If fewer than one in so many values of a batch are new, they are added one by one."""


class Values:
    """Distinct values in the order in which they came; of equal values, the first.

    While all values are new, a set and a list hold them: 42 ns for an int, where a dict takes 60 to 100 ns.
    """

    def __init__(self) -> None:
        self._known: set[Any] = set()
        self._in_order: list[Any] = []
        self._table: dict[Any, None] = {}
        """Holds the values instead, once a value has come twice."""

    def __len__(self) -> int:
        return len(self._in_order) or len(self._table)

    def add(self, values: list[Any]) -> None:
        """Raises TypeError if one of them cannot be hashed."""
        if not self._table:
            before = len(self._known)
            self._known.update(values)
            fresh = len(self._known) - before
            if fresh == len(values):
                self._in_order += values
                return
            if not fresh:
                return
            self._table = dict.fromkeys(self._in_order)
            self._known, self._in_order = set(), []
        if len(values) > _FEW * len(self._table) > 0 and self._table.keys() >= set(values):
            return
        self._table.update(zip(values, repeat(None)))

    def size(self) -> int:
        """Bytes."""
        return size_of((self._known, self._table)) + getsizeof(self._in_order)

    def take(self) -> Collection[Any]:
        """Return the values and hold none."""
        held = self._table or self._in_order
        self._known, self._in_order, self._table = set(), [], {}
        return held


class Buckets:
    """Distinct values by target partition, in each partition in the order in which they came.

    Each batch is placed at once, while it is in the processor's cache. Placing all values at the end, when they lie scattered in
    memory, takes 120 ns a value more.
    """

    def __init__(self, splitter: Partitioner) -> None:
        self._splitter = splitter
        self._known: set[Any] = set()
        self._lists: list[list[Any]] = [[] for _ in range(splitter.num_partitions)]
        self._tables: list[dict[Any, None]] = []
        """Hold the values instead, once a value has come twice."""

    def __len__(self) -> int:
        return sum(map(len, self._tables or self._lists))

    def add(self, values: list[Any]) -> None:
        """Raises TypeError if one of them cannot be hashed."""
        if not self._known and len(values) > _LOOK and 2 * len(set(values[:_LOOK])) < _LOOK and not len(self):
            self._tables, self._lists = [{} for _ in range(self._splitter.num_partitions)], []
        if not self._tables:
            before = len(self._known)
            self._known.update(values)
            fresh = len(self._known) - before
            if fresh == len(values):
                for mine, more in zip(self._lists, self._splitter.split_keys(values), strict=True):
                    mine += more
                return
            if not fresh:
                return
            self._tables, self._lists = list(map(dict.fromkeys, self._lists)), []
            self._known = set()
        if self._known or len(values) > _FEW * len(self) > 0:
            self._known = self._known or set().union(*self._tables)
            values = self._without_known(values)
            if not values:
                return
        self._known = set()
        self._place(dict.fromkeys(values))

    def _without_known(self, values: list[Any]) -> list[Any]:
        """Add the values one by one while few are new, 0.7 us for each of these; return the rest."""
        fresh: list[Any] = []
        place = 0
        while (place := self.first_new(values, place)) < len(values) and _FEW_NEW * len(fresh) < len(values):
            fresh.append(values[place])
            self._known.add(values[place])
        self._place(fresh)
        return values[place:]

    def _place(self, values: Collection[Any]) -> None:
        for table, keys in zip(self._tables, self._splitter.split_keys(values), strict=True):
            table.update(zip(keys, repeat(None)))

    def first_new(self, values: list[Any], start: int) -> int:
        """The place of the first value from ``start`` on that is not here; ``start`` if the last batch had many new values, as
        then the next one most likely has."""
        if not self._known or not self._tables:
            return start
        rest: Any = iter(values)
        rest.__setstate__(start)
        try:
            if (self._known.issuperset(rest) if _STOPS
                    else next(filterfalse(self._known.__contains__, rest), NOTHING) is NOTHING):
                return len(values)
        except TypeError:  # cannot be hashed: ``add`` says so
            pass
        return len(values) - int(rest.__length_hint__()) - 1

    def size(self) -> int:
        """Bytes."""
        return size_of((self._known, self._tables)) + sum(map(getsizeof, self._lists))

    def take(self) -> list[list[Any]]:
        """Return the values, by partition, and hold none."""
        held = list(map(list, self._tables)) if self._tables else self._lists
        self._known, self._lists, self._tables = set(), [[] for _ in held], []
        return held


def packs(
    splitter: Partitioner, operation: str, records: Iterable[Any], memory: TaskMemory
) -> Iterator[tuple[list[list[Any]], Cut, int, int]]:
    """Map side: (buckets, how to cut them, number of values, bytes), each as large as working memory allows. Several may hold
    the same value. Raises RecordError for a value that cannot be hashed."""
    trigger = SpillTrigger(memory)
    buckets, size, unmeasured = Buckets(splitter), 0, 0
    try:
        for batch in _batches(records, trigger, buckets):
            before = len(buckets)
            try:
                buckets.add(batch)
            except TypeError as error:
                for key in batch:
                    blame((key, None), operation, error)
                raise
            unmeasured += len(buckets) - before
            if unmeasured < trigger.batch and not trigger.full:
                continue
            size, added, unmeasured = buckets.size(), unmeasured, 0
            if not trigger.may_grow(size, max(added, 1)):
                count = len(buckets)
                yield buckets.take(), partial(slices, step=per_piece(count, size, memory)), count, size
                size = 0
                trigger.emptied()
        count, size = len(buckets), size or buckets.size()
        yield buckets.take(), partial(slices, step=per_piece(count, size, memory)), count, size
    finally:
        trigger.emptied()


def _batches(records: Iterable[Any], trigger: SpillTrigger, buckets: Buckets) -> Iterator[list[Any]]:
    """All values in lists of at most ``_AT_ONCE``, without some that the buckets know.

    Values that lie in a list are looked up where they lie, up to the first new one; cutting the list would cost 1.5 ns a value.
    """
    lists = lists_of(records)
    for some in (records,) if lists is None else lists:
        if not isinstance(some, list):
            yield from taken(some if lists is None else Chunks((some,)), trigger, _AT_ONCE)
            continue
        place = 0
        while (place := buckets.first_new(some, place)) < len(some):
            yield some[place : place + _AT_ONCE]
            place += _AT_ONCE


def merged(combiner: Combiner, pieces: Iterator[list[Any]], memory: TaskMemory) -> Iterator[Any]:
    """Reduce side: the distinct values of all pieces. When memory runs out, the values go on as the keys of pairs."""
    return chain.from_iterable(_merged(combiner, pieces, memory))


def _merged(combiner: Combiner, pieces: Iterator[list[Any]], memory: TaskMemory) -> Iterator[Iterable[Any]]:
    trigger, values, unmeasured = SpillTrigger(memory), Values(), 0
    try:
        for piece in pieces:
            values.add(piece)
            unmeasured += len(piece)
            if unmeasured < trigger.batch and not trigger.full:
                continue
            if not trigger.may_grow(values.size(), unmeasured):
                first = list(values.take())
                trigger.emptied()
                yield map(itemgetter(0), aggregated(combiner, map(_as_pairs, chain((first,), pieces)), memory))
                return
            unmeasured = 0
        yield values.take()
    finally:
        trigger.emptied()


def _as_pairs(keys: list[Any]) -> Columns:
    return Columns(keys, [None] * len(keys))

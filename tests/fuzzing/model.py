"""RDDs as lists of partitions, each a list: what the engines must give, written as plainly as possible.

Whole numbers of 0 and above are placed by their remainder, as both engines do. Where an engine promises no order or
no place, the model has some; programs do not look at it there (``operations.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from itertools import chain, pairwise, product
from typing import Any

Function = Callable[..., Any]
Pairs = Iterable[tuple[Any, Any]]


def cut(records: list[Any], count: int) -> list[list[Any]]:
    """In ``count`` runs of nearly equal length."""
    size = len(records)
    return [records[i * size // count : (i + 1) * size // count] for i in range(count)]


def by_remainder(records: Iterable[Any], count: int, key: Function = lambda record: record) -> list[list[Any]]:
    parts: list[list[Any]] = [[] for _ in range(count)]
    for record in records:
        where = key(record)
        parts[where % count if isinstance(where, int) else 0].append(record)
    return parts


def grouped(pairs: Pairs) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


class Context:
    """Makes RDDs. Storage levels, checkpoints and the like change nothing here."""

    def parallelize(self, records: Iterable[Any], count: int) -> RDD:
        return RDD(cut(list(records), count))

    def range(self, start: int, end: int, step: int, count: int) -> RDD:
        return RDD(cut(list(range(start, end, step)), count))

    def emptyRDD(self) -> RDD:
        return RDD([])

    def union(self, rdds: Iterable[RDD]) -> RDD:
        return RDD([part for rdd in rdds for part in rdd.parts])


class RDD:
    def __init__(self, parts: list[list[Any]]) -> None:
        self.parts = parts

    def all(self) -> list[Any]:
        return list(chain.from_iterable(self.parts))

    def each(self, function: Callable[[list[Any]], Iterable[Any]]) -> RDD:
        return RDD([list(function(part)) for part in self.parts])

    # --- one partition at a time

    def map(self, f: Function) -> RDD:
        return self.each(lambda part: map(f, part))

    def flatMap(self, f: Function) -> RDD:
        return self.each(lambda part: chain.from_iterable(map(f, part)))

    def filter(self, f: Function) -> RDD:
        return self.each(lambda part: filter(f, part))

    def mapPartitions(self, f: Function) -> RDD:
        return self.each(lambda part: f(iter(part)))

    def mapPartitionsWithIndex(self, f: Function) -> RDD:
        return RDD([list(f(index, iter(part))) for index, part in enumerate(self.parts)])

    def glom(self) -> RDD:
        return self.each(lambda part: [part])

    def keyBy(self, f: Function) -> RDD:
        return self.map(lambda record: (f(record), record))

    def keys(self) -> RDD:
        return self.map(lambda pair: pair[0])

    def values(self) -> RDD:
        return self.map(lambda pair: pair[1])

    def mapValues(self, f: Function) -> RDD:
        return self.map(lambda pair: (pair[0], f(pair[1])))

    def flatMapValues(self, f: Function) -> RDD:
        return self.flatMap(lambda pair: [(pair[0], value) for value in f(pair[1])])

    def same(self, *_: Any) -> RDD:
        return self

    cache = persist = unpersist = same

    def localCheckpoint(self) -> None:
        pass

    checkpoint = localCheckpoint

    # --- among partitions

    def union(self, other: RDD) -> RDD:
        return RDD(self.parts + other.parts)

    def coalesce(self, count: int) -> RDD:
        if count >= len(self.parts):
            return self
        return RDD([list(chain.from_iterable(some)) for some in cut(self.parts, count)])

    def repartition(self, count: int) -> RDD:
        return RDD(cut(self.all(), count))

    def distinct(self, count: int) -> RDD:
        return RDD(by_remainder(dict.fromkeys(self.all()), count))

    def sortBy(self, f: Function, ascending: bool, count: int) -> RDD:
        return RDD(cut(sorted(self.all(), key=f, reverse=not ascending), count))

    def sortByKey(self, ascending: bool, count: int) -> RDD:
        return self.sortBy(lambda pair: pair[0], ascending, count)

    def partitionBy(self, count: int) -> RDD:
        return RDD(by_remainder(self.all(), count, lambda pair: pair[0]))

    def repartitionAndSortWithinPartitions(self, count: int) -> RDD:
        return self.partitionBy(count).each(lambda part: sorted(part, key=lambda pair: pair[0]))

    def cartesian(self, other: RDD) -> RDD:
        return RDD([list(product(mine, others)) for mine in self.parts for others in other.parts])

    def zip(self, other: RDD) -> RDD:
        return RDD([list(zip(mine, others, strict=True)) for mine, others in zip(self.parts, other.parts, strict=True)])

    def zipWithIndex(self) -> RDD:
        numbers = iter(range(len(self.all())))
        return self.map(lambda record: (record, next(numbers)))

    def zipWithUniqueId(self) -> RDD:
        count = len(self.parts)
        return RDD([[(record, place * count + index) for place, record in enumerate(part)]
                    for index, part in enumerate(self.parts)])

    def combined(self, combine: Callable[[list[Any]], Any], count: int) -> RDD:
        return RDD(by_remainder([(key, combine(values)) for key, values in grouped(self.all()).items()], count,
                                lambda pair: pair[0]))

    def reduceByKey(self, f: Function, count: int) -> RDD:
        return self.combined(lambda values: reduce(f, values), count)

    def foldByKey(self, zero: Any, f: Function, count: int) -> RDD:
        return self.combined(lambda values: reduce(f, values, zero), count)

    def aggregateByKey(self, zero: Any, add: Function, merge: Function, count: int) -> RDD:
        return self.combined(lambda values: reduce(add, values, zero), count)

    def combineByKey(self, create: Function, add: Function, merge: Function, count: int) -> RDD:
        return self.combined(lambda values: reduce(add, values[1:], create(values[0])), count)

    def groupByKey(self, count: int) -> RDD:
        return self.combined(list, count)

    def groupBy(self, f: Function, count: int) -> RDD:
        return self.keyBy(f).groupByKey(count)

    def cogroup(self, other: RDD, count: int) -> RDD:
        mine, others = grouped(self.all()), grouped(other.all())
        keys = dict.fromkeys([*mine, *others])
        return RDD(by_remainder([(key, (mine.get(key, []), others.get(key, []))) for key in keys], count,
                                lambda pair: pair[0]))

    def _joined(self, other: RDD, count: int, left: bool, right: bool) -> RDD:
        return self.cogroup(other, count).flatMapValues(
            lambda both: product(both[0] or [None] * right, both[1] or [None] * left))

    def join(self, other: RDD, count: int) -> RDD:
        return self._joined(other, count, False, False)

    def leftOuterJoin(self, other: RDD, count: int) -> RDD:
        return self._joined(other, count, True, False)

    def rightOuterJoin(self, other: RDD, count: int) -> RDD:
        return self._joined(other, count, False, True)

    def fullOuterJoin(self, other: RDD, count: int) -> RDD:
        return self._joined(other, count, True, True)

    def subtractByKey(self, other: RDD, count: int) -> RDD:
        gone = {key for key, _ in other.all()}
        return RDD(by_remainder([pair for pair in self.all() if pair[0] not in gone], count, lambda pair: pair[0]))

    def subtract(self, other: RDD, count: int) -> RDD:
        gone = set(other.all())
        return RDD(by_remainder([record for record in self.all() if record not in gone], count))

    def intersection(self, other: RDD) -> RDD:
        both = set(other.all())
        return RDD([[record for record in dict.fromkeys(self.all()) if record in both]])

    # --- actions

    def getNumPartitions(self) -> int:
        return len(self.parts)

    def collect(self) -> list[Any]:
        return self.all()

    def toLocalIterator(self) -> Iterator[Any]:
        return iter(self.all())

    def count(self) -> int:
        return len(self.all())

    def isEmpty(self) -> bool:
        return not self.all()

    def take(self, count: int) -> list[Any]:
        return self.all()[:count]

    def first(self) -> Any:
        if self.isEmpty():
            raise ValueError("RDD is empty")
        return self.all()[0]

    def reduce(self, f: Function) -> Any:
        if self.isEmpty():
            raise ValueError("Can not reduce() empty RDD")
        return reduce(f, self.all())

    treeReduce = reduce

    def fold(self, zero: Any, f: Function) -> Any:
        return reduce(f, [reduce(f, part, zero) for part in self.parts], zero)

    def aggregate(self, zero: Any, add: Function, merge: Function) -> Any:
        return reduce(merge, [reduce(add, part, zero) for part in self.parts], zero)

    def treeAggregate(self, zero: Any, add: Function, merge: Function) -> Any:
        return reduce(add, self.all(), zero)

    def top(self, count: int) -> list[Any]:
        return sorted(self.all(), reverse=True)[:count]

    def takeOrdered(self, count: int, key: Function | None = None) -> list[Any]:
        return sorted(self.all(), key=key)[:count]

    def sum(self) -> Any:
        return sum(self.all())

    def max(self) -> Any:
        return self.reduce(max)

    def min(self) -> Any:
        return self.reduce(min)

    def countByValue(self) -> dict[Any, int]:
        return Counter(self.all())

    def countByKey(self) -> dict[Any, int]:
        return Counter(key for key, _ in self.all())

    def reduceByKeyLocally(self, f: Function) -> dict[Any, Any]:
        return {key: reduce(f, values) for key, values in grouped(self.all()).items()}

    def lookup(self, key: Any) -> list[Any]:
        return [value for mine, value in self.all() if mine == key]

    def histogram(self, edges: list[int]) -> tuple[list[int], list[int]]:
        counts = [0] * (len(edges) - 1)
        for value in self.all():
            for place, (low, high) in enumerate(pairwise(edges)):
                counts[place] += low <= value < high or (value == high == edges[-1] and place == len(counts) - 1)
        return edges, counts

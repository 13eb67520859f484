"""Actions: what comes out goes to the program."""

from __future__ import annotations

import heapq
import math
import pickle
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from functools import reduce as fold_left
from typing import Any

from benchmarks.operations import Operation, Parts
from benchmarks.operations.functions import add, is_even, larger, negative, next_one

BOUNDS = [0.0, 0.25, 0.5, 0.75, 1.0]


def nothing(x: Any) -> None:
    pass


def used_up(records: Iterable[Any]) -> None:
    for _ in records:
        pass


def add_and_count(total: Any, x: Any) -> Any:
    return (total[0] + x, total[1] + 1)


def add_both(a: Any, b: Any) -> Any:
    return (a[0] + b[0], a[1] + b[1])


def sent(value: Any) -> Any:
    """As if it went to another process."""
    return pickle.loads(pickle.dumps(value, 5))


def count(parts: Parts) -> int:
    return sum(map(len, parts))


def count_map_filter(parts: Parts) -> int:
    counted = 0
    for part in parts:
        for x in part:
            if is_even(next_one(x)):
                counted += 1
    return counted


def collect(parts: Parts) -> int:
    return len([x for part in parts for x in sent(part)])


def reduced(parts: Parts) -> Any:
    return fold_left(larger, [fold_left(larger, part) for part in parts])


def folded(parts: Parts) -> Any:
    total = 0
    for part in parts:
        inside = 0
        for x in part:
            inside = add(inside, x)
        total = add(total, inside)
    return total


def aggregated(parts: Parts) -> Any:
    total = (0, 0)
    for part in parts:
        inside = (0, 0)
        for x in part:
            inside = add_and_count(inside, x)
        total = add_both(total, inside)
    return total


def summed(parts: Parts) -> Any:
    return sum(map(sum, parts))


def stats(parts: Parts) -> Any:
    """Welford's method, as one pass over figures that may be large wants it."""
    number, mean, squares, smallest, largest = 0, 0.0, 0.0, math.inf, -math.inf
    for part in parts:
        for x in part:
            number += 1
            delta = x - mean
            mean += delta / number
            squares += delta * (x - mean)
            if x < smallest:
                smallest = x
            if x > largest:
                largest = x
    return number, largest, smallest


def mean(parts: Parts) -> Any:
    """The mean in the same way, without the rest."""
    number, mean = 0, 0.0
    for part in parts:
        for x in part:
            number += 1
            mean += (x - mean) / number
    return round(mean * 2 + 1)


def top(parts: Parts) -> Any:
    return heapq.nlargest(10, [x for part in parts for x in heapq.nlargest(10, part)])


def take_ordered(parts: Parts) -> Any:
    return heapq.nsmallest(10, [x for part in parts for x in heapq.nsmallest(10, part, negative)], negative)


def count_by_value(parts: Parts) -> int:
    counts: Counter[Any] = Counter()
    for part in parts:
        counts.update(sent(dict(Counter(part))))
    return len(counts)


def count_by_key(parts: Parts) -> int:
    counts: Counter[Any] = Counter()
    for part in parts:
        counts.update(sent(dict(Counter([key for key, _ in part]))))
    return len(counts)


def as_map(parts: Parts) -> int:
    found: dict[Any, Any] = {}
    for part in parts:
        found.update(sent(dict(part)))
    return len(found)


def reduced_by_key(parts: Parts) -> int:
    merged: dict[Any, Any] = {}
    for part in parts:
        inside: dict[Any, Any] = {}
        for key, value in part:
            inside[key] = add(inside[key], value) if key in inside else value
        for key, value in sent(inside).items():
            merged[key] = add(merged[key], value) if key in merged else value
    return len(merged)


def looked_up(parts: Parts) -> Any:
    return len([value for part in parts for key, value in part if key == 7])


def for_each(parts: Parts) -> None:
    for part in parts:
        for x in part:
            nothing(x)


def for_each_partition(parts: Parts) -> None:
    for part in parts:
        used_up(part)


def histogram(parts: Parts) -> Any:
    counts = [0] * (len(BOUNDS) - 1)
    for part in parts:
        for x in part:
            if 0.0 <= x <= 1.0:
                counts[min(bisect_right(BOUNDS, x), len(counts)) - 1] += 1
    return counts




ACTIONS = (
    Operation("count", ("ints",), lambda ints: ints.count(), count),
    Operation("count, map filter", ("ints",), lambda ints: ints.map(next_one).filter(is_even).count(), count_map_filter),
    Operation("collect", ("ints",), lambda ints: len(ints.collect()), collect),
    Operation("collect, pairs", ("pairs",), lambda pairs: len(pairs.collect()), collect),
    Operation("reduce", ("ints",), lambda ints: ints.reduce(larger), reduced),
    Operation("fold", ("ints",), lambda ints: ints.fold(0, add), folded),
    Operation("aggregate", ("ints",), lambda ints: ints.aggregate((0, 0), add_and_count, add_both), aggregated),
    Operation("treeReduce", ("ints",), lambda ints: ints.treeReduce(larger), reduced),
    Operation("treeAggregate", ("ints",), lambda ints: ints.treeAggregate((0, 0), add_and_count, add_both), aggregated),
    Operation("sum", ("ints",), lambda ints: ints.sum(), summed),
    Operation("max", ("ints",), lambda ints: ints.max(), lambda parts: max(map(max, parts))),
    Operation("min", ("floats",), lambda floats: floats.min(), lambda parts: min(map(min, parts))),
    Operation("stats", ("floats",), lambda floats: (lambda s: (s.count(), s.max(), s.min()))(floats.stats()), stats),
    Operation("mean", ("ints",), lambda ints: round(ints.mean() * 2 + 1), mean),
    Operation("top", ("ints",), lambda ints: ints.top(10), top),
    Operation("takeOrdered, with a key", ("ints",), lambda ints: ints.takeOrdered(10, negative), take_ordered),
    Operation("countByValue", ("few ints",), lambda ints: len(ints.countByValue()), count_by_value),
    Operation("countByValue, words", ("words",), lambda words: len(words.countByValue()), count_by_value),
    Operation("countByKey", ("few keys",), lambda pairs: len(pairs.countByKey()), count_by_key),
    Operation("collectAsMap", ("pairs",), lambda pairs: len(pairs.collectAsMap()), as_map),
    Operation("reduceByKeyLocally", ("few keys",), lambda pairs: len(pairs.reduceByKeyLocally(add)), reduced_by_key),
    Operation("lookup", ("pairs",), lambda pairs: len(pairs.lookup(7)), looked_up),
    Operation("foreach", ("ints",), lambda ints: ints.foreach(nothing), for_each),
    Operation("foreachPartition", ("ints",), lambda ints: ints.foreachPartition(used_up), for_each_partition),
    Operation("histogram", ("floats",), lambda floats: floats.histogram(BOUNDS)[1], histogram),
)

"""Transformations of one RDD that move records. The loops bucket, pickle, unpickle and merge, as a program by hand would."""

from __future__ import annotations

import pickle
from bisect import bisect_right
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any
from zlib import crc32

from benchmarks.operations import Operation, Parts
from benchmarks.operations.functions import (
    add,
    append,
    arrived,
    buckets,
    extend,
    in_list,
    made,
    moved,
    tens,
    with_one,
)

_SAMPLE = 200
"""Records of each partition from which the loop that sorts takes its bounds."""


def of_text(key: str) -> int:
    return crc32(key.encode())


def combine(records: Iterable[Any], create: Callable[[Any], Any] | None, merge: Callable[[Any, Any], Any],
            combined: dict[Any, Any]) -> dict[Any, Any]:
    """One value for each key; the first value of a key is ``create(value)``, or itself."""
    if create is None:
        for key, value in records:
            if key in combined:
                combined[key] = merge(combined[key], value)
            else:
                combined[key] = value
    else:
        for key, value in records:
            if key in combined:
                combined[key] = merge(combined[key], value)
            else:
                combined[key] = create(value)
    return combined


def by_key(parts: Iterable[Iterable[Any]], count: int, place: Callable[[Any], int], create: Callable[[Any], Any] | None,
           merge: Callable[[Any, Any], Any], merge_both: Callable[[Any, Any], Any]) -> int:
    """Combined on both sides of a shuffle."""
    inside = (combine(part, create, merge, {}).items() for part in parts)
    total = 0
    for pieces in arrived(buckets(inside, count, place)):
        merged: dict[Any, Any] = {}
        for piece in pieces:
            combine(piece, None, merge_both, merged)
        total += len(list(merged.items()))
    return total


def grouped(parts: Iterable[Iterable[Any]], count: int, place: Callable[[Any], int]) -> int:
    inside = []
    for part in parts:
        groups: dict[Any, list[Any]] = {}
        for key, value in part:
            if key in groups:
                groups[key].append(value)
            else:
                groups[key] = [value]
        inside.append(groups.items())
    total = 0
    for pieces in arrived(buckets(inside, count, place)):
        merged: dict[Any, list[Any]] = {}
        for piece in pieces:
            for key, values in piece:
                if key in merged:
                    merged[key] += values
                else:
                    merged[key] = values
        total += len(list(merged.items()))
    return total


def reduce_by_key(place: Callable[[Any], int]) -> Callable[[Parts], int]:
    return lambda parts: by_key(parts, len(parts), place, None, add, add)


def aggregate_by_key(parts: Parts) -> int:
    return by_key(parts, len(parts), hash, lambda value: add(0, value), add, add)


def combine_by_key(parts: Parts) -> int:
    return by_key(parts, len(parts), hash, in_list, append, extend)


def word_count(parts: Parts) -> int:
    pairs = ((with_one(word) for line in part for word in str.split(line)) for part in parts)
    return by_key(pairs, len(parts), of_text, None, add, add)


def distinct(place: Callable[[Any], int]) -> Callable[[Parts], int]:
    def loop(parts: Parts) -> int:
        written = []
        for part in parts:
            cut: list[list[Any]] = [[] for _ in parts]
            for value in set(part):
                cut[place(value) % len(parts)].append(value)
            written.append([pickle.dumps(bucket, 5) for bucket in cut])
        total = 0
        for pieces in arrived(written):
            values: set[Any] = set()
            for piece in pieces:
                values.update(piece)
            total += len(list(values))
        return total

    return loop


def partition_by(place: Callable[[Any], int]) -> Callable[[Parts], int]:
    return lambda parts: sum(map(len, moved(parts, place)))


def repartition(parts: Parts) -> int:
    count = len(parts)
    written = [[pickle.dumps(part[at::count], 5) for at in range(count)] for part in parts]
    return sum(len([x for piece in pieces for x in piece]) for pieces in arrived(written))


def sort(parts: Parts, key: Callable[[Any], Any] | None) -> int:
    """Bounds from a sample, buckets between them, each sorted by the side that gets it."""
    sample = sorted((x for part in parts for x in part[:: max(1, len(part) // _SAMPLE)]), key=key)
    places = [sample[len(sample) * at // len(parts)] for at in range(1, len(parts))]
    bounds = places if key is None else list(map(key, places))
    written = []
    for part in parts:
        cut: list[list[Any]] = [[] for _ in parts]
        for x in part:
            cut[bisect_right(bounds, x if key is None else key(x))].append(x)
        written.append([pickle.dumps(bucket, 5) for bucket in cut])
    return sum(len(sorted((x for piece in pieces for x in piece), key=key)) for pieces in arrived(written))


def sort_in_partitions(parts: Parts) -> int:
    return sum(len(sorted(part, key=itemgetter(0))) for part in moved(parts, hash))


WIDE = (
    Operation("reduceByKey", ("pairs",), lambda pairs: made(pairs.reduceByKey(add)), reduce_by_key(hash)),
    Operation("reduceByKey, few keys", ("few keys",), lambda pairs: made(pairs.reduceByKey(add)), reduce_by_key(hash)),
    Operation("reduceByKey, text keys", ("text keys",), lambda pairs: made(pairs.reduceByKey(add)), reduce_by_key(of_text)),
    Operation("reduceByKey, few text keys", ("few text keys",), lambda pairs: made(pairs.reduceByKey(add)),
              reduce_by_key(of_text)),
    Operation("foldByKey", ("pairs",), lambda pairs: made(pairs.foldByKey(0, add)), aggregate_by_key),
    Operation("aggregateByKey", ("pairs",), lambda pairs: made(pairs.aggregateByKey(0, add, add)), aggregate_by_key),
    Operation("aggregateByKey, few keys", ("few keys",), lambda pairs: made(pairs.aggregateByKey(0, add, add)),
              aggregate_by_key),
    Operation("combineByKey", ("pairs",), lambda pairs: made(pairs.combineByKey(in_list, append, extend)), combine_by_key),
    Operation("word count", ("lines",),
              lambda lines: made(lines.flatMap(str.split).map(with_one).reduceByKey(add)), word_count),
    Operation("groupByKey", ("pairs",), lambda pairs: made(pairs.groupByKey()),
              lambda parts: grouped(parts, len(parts), hash)),
    Operation("groupByKey, few keys", ("few keys",), lambda pairs: made(pairs.groupByKey()),
              lambda parts: grouped(parts, len(parts), hash)),
    Operation("groupByKey, text keys", ("text keys",), lambda pairs: made(pairs.groupByKey()),
              lambda parts: grouped(parts, len(parts), of_text)),
    Operation("groupBy", ("ints",), lambda ints: made(ints.groupBy(tens)),
              lambda parts: grouped(([(tens(x), x) for x in part] for part in parts), len(parts), hash)),
    Operation("distinct", ("ints",), lambda ints: made(ints.distinct()), distinct(hash)),
    Operation("distinct, few values", ("few ints",), lambda ints: made(ints.distinct()), distinct(hash)),
    Operation("distinct, few words", ("words",), lambda words: made(words.distinct()), distinct(of_text)),
    Operation("partitionBy", ("pairs",), lambda pairs: made(pairs.partitionBy(4)), partition_by(hash)),
    Operation("partitionBy, text keys", ("text keys",), lambda pairs: made(pairs.partitionBy(4)), partition_by(of_text)),
    Operation("repartition", ("ints",), lambda ints: made(ints.repartition(4)), repartition),
    Operation("sortBy", ("ints",), lambda ints: made(ints.sortBy(tens)), lambda parts: sort(parts, tens)),
    Operation("sortByKey", ("pairs",), lambda pairs: made(pairs.sortByKey()), lambda parts: sort(parts, itemgetter(0))),
    Operation("repartitionAndSortWithinPartitions", ("pairs",),
              lambda pairs: made(pairs.repartitionAndSortWithinPartitions(4)), sort_in_partitions),
)
